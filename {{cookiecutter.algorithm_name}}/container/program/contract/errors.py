"""Template: one exception type for each audience. Everything else is a bug and looks like one."""


def counted(number: int, noun: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{number} {noun}{'s' * (number != 1)}"


class UserError(Exception):
    """A mistake that the person who starts the job or writes ``algorithm.py`` can fix.

    The message is one sentence that names what is wrong and how to fix it. It reaches the log
    and the failure file without a traceback (T-44).
    """


class RequestError(Exception):
    """A mistake in a request, answered with a 4xx and one JSON object (H-55, H-56).

    ``status`` is the HTTP status, ``code`` a stable word for programs, ``message`` the sentence.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class BadInput(RequestError):
    """Raised by ``predict`` for a request that it cannot answer: status 400; other requests are still answered.

    ``message`` completes a sentence, such as ``is not a photo of a leaf``. ``row`` counts from 0 in the rows that
    ``predict`` got. Leave it out if the request is not a table.
    """

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(400, "bad_input", message if row is None else f"row {row + 1} {message}")
        self._rest, self._row = message, row

    def among(self, rows: int) -> RequestError:
        """Return the error for a request of ``rows`` rows, which may not have the row that ``predict`` named."""
        if self._row is None or 0 <= self._row < rows:
            return self
        about = f"which one is unknown, as predict() in algorithm.py named row={self._row} of {counted(rows, 'row')}"
        return RequestError(400, self.code, f"a row {self._rest}; {about}")
