"""Template: a request or an answer as it is, for algorithms that read other things than tables."""

import json
from typing import Any, NamedTuple

from contract.errors import BadInput


class Payload(NamedTuple):
    """Bytes and their content type, such as ``image/png`` or ``text/plain; charset=utf-8``."""

    body: bytes
    content_type: str

    @property
    def text(self) -> str:
        """The body as text in UTF-8. Raises ``BadInput`` if it is none."""
        try:
            return self.body.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise BadInput(f"the body is not UTF-8: byte {error.start + 1} cannot be read") from None

    def json(self) -> Any:
        """The JSON document in the body. Raises ``BadInput`` if it holds none."""
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            raise BadInput("the body is not JSON") from None
