"""Template: whether this process can predict. Only results change it (H-05)."""

import threading


class Health:
    """Loading at first, then healthy, or unhealthy for a reason."""

    def __init__(self) -> None:
        self.problem = "the model is loading"
        """Why it cannot predict; empty when it can."""
        self.known = threading.Event()
        """Set once a first prediction has worked or failed."""

    def succeeded(self) -> None:
        """A prediction has worked, so the model is healthy."""
        if self.problem:
            self.problem = ""
            self.known.set()

    def failed(self, problem: str) -> None:
        """The example cannot be predicted."""
        self.problem = problem
        self.known.set()
