"""Template: a raw request or answer, for algorithms that do not read tables."""

import json
from typing import Any, NamedTuple

from werkzeug.http import parse_options_header

from contract.errors import BadInput


class Payload(NamedTuple):
    """Bytes and their content type, such as ``image/png`` or ``text/plain; charset=utf-8``."""

    body: bytes
    content_type: str

    @property
    def text(self) -> str:
        """The body as text, in the charset of its content type or UTF-8. Raises ``BadInput`` if it is not text."""
        charset = parse_options_header(self.content_type)[1].get("charset", "utf-8")
        try:
            return self.body.decode("utf-8-sig" if charset.lower() == "utf-8" else charset)
        except (UnicodeError, LookupError):
            raise BadInput(f"the body cannot be read as text in {charset}") from None

    def json(self) -> Any:
        """The JSON document in the body. Raises ``BadInput`` if it is not JSON."""
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            raise BadInput("the body is not JSON") from None
