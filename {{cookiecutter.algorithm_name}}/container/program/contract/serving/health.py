"""Template: whether this process can predict. Results alone change it (H-05)."""

import threading


class Health:
    """Loading at first, then well, or ill for a reason."""

    def __init__(self) -> None:
        self.problem = "the model is loading"
        """Why it cannot predict; empty when it can."""
        self.known = threading.Event()
        """Set once a first prediction has worked or failed."""

    def succeeded(self) -> None:
        """A prediction has worked: whatever was wrong has passed."""
        if self.problem:
            self.problem = ""
            self.known.set()

    def failed(self, problem: str) -> None:
        """The example cannot be predicted."""
        self.problem = problem
        self.known.set()
