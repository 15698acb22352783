"""The form of the tests that `make test` runs, and the long one."""

from collections.abc import Iterable
from typing import Any

import pytest


def long_after(count: int, values: Iterable[Any]) -> list[Any]:
    """Returns parameters of which those after the first ``count`` belong to the long form, `make test-all`."""
    several = list(values)
    rest = [pytest.param(*as_row(value), id=None, marks=pytest.mark.slow) for value in several[count:]]
    return [*several[:count], *rest]


def as_row(value: Any) -> tuple[Any, ...]:
    """The arguments that one entry of a parameter list stands for."""
    return value if type(value) is tuple else (value,)
