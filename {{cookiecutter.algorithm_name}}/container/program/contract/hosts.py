"""Template: the hosts of a training job."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract.errors import UserError


@dataclass(frozen=True)
class Hosts:
    """Who trains: names as the platform gives them, whatever they look like (T-05)."""

    current: str
    names: tuple[str, ...]
    """All hosts, sorted."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Hosts":
        """As ``resourceconfig.json`` says; without it one host (T-02).

        Raises ``UserError`` where it would have nobody train, or everybody.
        """
        current = config.get("current_host") or "algo-1"
        hosts = config.get("hosts") or [current]
        if not isinstance(hosts, list) or current not in hosts:
            raise UserError(
                f"resourceconfig.json has {config.get('current_host')!r} as current_host and {hosts!r} as hosts: "
                "list the current host among the others, or leave the file out."
            )
        return cls(str(current), tuple(sorted(map(str, hosts))))

    @property
    def leader(self) -> str:
        """The host that saves the model (T-06, T-48)."""
        return self.names[0]

    @property
    def leads(self) -> bool:
        """Whether this is the leader."""
        return self.current == self.leader
