"""Template: the hosts of a training job."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Hosts:
    """Who trains: names as the platform gives them, whatever they look like (T-05)."""

    current: str
    names: tuple[str, ...]
    """All hosts, sorted."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Hosts":
        """As ``resourceconfig.json`` says; without it one host (T-02)."""
        current = str(config.get("current_host") or "algo-1")
        return cls(current, tuple(sorted({current, *map(str, config.get("hosts") or [])})))

    @property
    def leader(self) -> str:
        """The host that saves the model (T-06, T-48)."""
        return self.names[0]

    @property
    def leads(self) -> bool:
        """Whether this is the leader."""
        return self.current == self.leader
