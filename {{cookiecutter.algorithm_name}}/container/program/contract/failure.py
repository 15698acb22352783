"""Template: what a failed job says, in the log and in the failure file (T-43, T-44)."""

import sys
import traceback
from pathlib import Path

from contract.errors import UserError
from contract.interface import origin


def describe(error: BaseException) -> str:
    """One sentence for a user's mistake; for anything else a sentence and then the traceback."""
    if isinstance(error, UserError):
        return str(error)
    trace = "".join(traceback.format_exception(error))
    return f"{origin(error)} raised {type(error).__name__}: {error}\n\n{trace}"


def report(error: BaseException, path: Path) -> None:
    """Log the reason, then write it to the failure file. A file that cannot be written hides nothing."""
    reason = describe(error)
    print(reason, file=sys.stderr, flush=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(reason, encoding="utf-8")
    except OSError as unwritable:
        print(f"The failure file {path} cannot be written: {unwritable.strerror}.", file=sys.stderr, flush=True)
