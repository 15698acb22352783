"""Template: what a command is about to change: shown as a difference, checked, and then done or printed.

A command adds its requests to a ``Plan`` and calls ``run()``. With ``--dry-run`` the requests are printed as JSON.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from deploy import prices, tags
from deploy.context import Context
from deploy.errors import DeployError, describe
from deploy.limits import filled, valid_request
from deploy.waiting import held_interrupt, print_progress, unless_absent

Request = dict[str, Any]
_HIDDEN = (  # what is the same each time
    *("Tags", "AlgorithmSpecification.MetricDefinitions", "Dimensions", "EvaluationPeriods", "Namespace", "Period"),
    *("TreatMissingData", "ComparisonOperator"),
)
LOOK = "`python -m deploy list` shows what is there, `python -m deploy delete` deletes it."


@dataclass(frozen=True)
class Step:
    """One request, or one upload."""

    operation: str
    request: Request
    service: str = "sagemaker"
    before: Mapping[str, Any] | None = None
    """What is there now, as Describe tells it; None for what is new."""
    undo: tuple[str, Request] | None = None
    """The request that takes it back, if a later step is refused."""
    action: Callable[[], None] | None = None
    """What to do instead of just sending ``request``, such as an upload."""


class Plan:
    """The steps of a command, in their order."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.steps: list[Step] = []
        self.costs: list[prices.Cost] = []
        self.notes: list[str] = []
        self.answers: dict[str, Any] = {}
        """What AWS answered, by operation."""

    def add(
        self,
        operation: str,
        request: Request,
        service: str = "sagemaker",
        before: Mapping[str, Any] | None = None,
        undo: str = "",
        action: Callable[[], None] | None = None,
    ) -> Request:
        """Add a request, without its empty members, with tags and what ``--with`` gives for it.

        Raises ``DeployError`` if AWS would refuse it.
        ``undo`` is the operation that takes it back, which needs the thing's name alone. ``action`` sends it, if that
        is not all there is to do.
        """
        client = self.context.client(service)
        request = _merged(filled(client, operation, request), self.context.overlay.get(operation, {}))
        if before and operation.startswith("Create"):  # the request that made what is there
            before = filled(client, operation, before)
        if operation.startswith(("Create", "Put")):
            request |= tags.member(client, operation, self.context, request)
        valid_request(client, operation, request)
        name = next(iter(request))
        taken_back = (undo, {name: request[name]}) if undo else None
        self.steps.append(Step(operation, request, service, before, taken_back, action))
        return request

    def upload(self, source: str, address: str, action: Callable[[], None]) -> None:
        """Add something to do that is no request."""
        self.steps.append(Step("Upload", {"From": source, "To": address}, action=action))

    def request(self, operation: str) -> Request:
        """The request of that operation."""
        return next(step.request for step in self.steps if step.operation == operation)

    def run(self, ask: str = "") -> bool:
        """Show the plan, ``ask`` whether to go on, and do it. False if that is not wanted, or ``--dry-run`` printed it.

        If AWS refuses a step, or on Ctrl-C, the steps before it that can be taken back are, and the error goes on.
        """
        unknown = self.context.overlay.keys() - {step.operation for step in self.steps}
        if unknown:
            sent = ", ".join(dict.fromkeys(step.operation for step in self.steps))
            raise DeployError(f"--with names {min(unknown)}, which this command does not send: it sends {sent}.")
        self.show()
        if self.context.dry_run:
            click.echo(json.dumps([{step.operation: step.request} for step in self.steps], indent=2, default=str))
            return False
        if ask and not sys.stdin.isatty():
            raise DeployError("There is no terminal to ask at: add --yes.")
        if ask and not click.confirm(ask, err=True):
            return False
        said = ""
        try:
            with ExitStack() as undo:
                for step in self.steps:
                    said = _interrupted(step, bool(self.answers))
                    if step.action:
                        step.action()
                    else:
                        self._send(step, undo)
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(str(interrupt) or said) from None
        return True

    def _send(self, step: Step, undo: ExitStack) -> None:
        """Send a request, and remember how to take it back. Ctrl-C waits until AWS has answered."""
        with held_interrupt():
            try:
                self.answers[step.operation] = self.context.call(step.operation, step.request, step.service)
            except (BotoCoreError, ClientError, KeyboardInterrupt) as error:
                if _is_done_perhaps(error) and step.undo:
                    self._take_back(step)
                elif _is_done_perhaps(error):  # what it needs must stay
                    undo.pop_all()
                    print_progress(f"AWS may have done this, or not: {next(lines(step))}. {LOOK}")
                raise
            if step.undo:
                undo.callback(self._take_back, step)
            if step is self.steps[-1]:
                undo.pop_all()

    def show(self) -> None:
        """Print each step, what it changes, and what it will cost."""
        print_progress(f"Plan for {self.context.stage} in {self.context.session.region_name}:")
        for step in self.steps:
            for line in lines(step):
                print_progress(f"  {line}")
        for line in (*map(str, self.costs), *self.notes):
            print_progress(f"  {line}")

    def _take_back(self, step: Step) -> None:
        """Cleaning up must not hide the error that it follows."""
        operation, request = step.undo or ("", {})
        name = next(lines(step))[2:]
        try:
            with held_interrupt():
                unless_absent(lambda: self.context.call(operation, request, step.service))
            print_progress(f"{name}: deleted again")
        except (BotoCoreError, ClientError) as error:
            print_progress(f"{name} could not be deleted again: {describe(error)}")


def _interrupted(step: Step, begun: bool) -> str:
    """What to say after Ctrl-C at a step."""
    if step.operation == "Upload" and not begun:
        return f"Interrupted in the upload to {step.request['To']}: nothing was started; its files stay there."
    return f"Interrupted at: {next(lines(step))}. {LOOK}"


def _is_done_perhaps(error: BaseException) -> bool:
    """Whether AWS may have done what it did not confirm: the answer was lost, maybe before botocore sent it again."""
    if not isinstance(error, ClientError):
        return True
    sent_again = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)
    return bool(sent_again) and "already exist" in error.response["Error"]["Message"]


def lines(step: Step) -> Iterator[str]:
    """A step as a person reads it: a sign, what and its name; then each field that differs."""
    wanted, there = dict(flat(step.request)), dict(flat(step.before or {}))
    name = next(iter(wanted.values()), "")
    noun = re.sub("^(Create|Update|Delete|Put|Register|Deregister)", "", step.operation)
    deletes = step.operation.startswith(("Delete", "Deregister"))
    words = re.sub("(?<=[a-z])(?=[A-Z])", " ", noun).lower()
    sign = "-" if deletes else "+" if step.before is None else "~"
    yield f"{sign} {words} {name}"
    for field, value in [] if deletes else list(wanted.items())[1:]:
        old = there.get(field)
        if old != value and not field.startswith(_HIDDEN):
            yield f"    {field}: {value}" if field not in there else f"    {field}: {old} -> {value}"
    for field in there.keys() - wanted.keys() if step.operation.startswith("Create") else ():
        yield f"    {field}: {there[field]} -> none"


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a request, each with its path, such as ``ProductionVariants[0].InstanceType``."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from flat(inner, f"{path}[{number}]")
    else:
        yield path, value


def _merged(request: Any, extra: Any) -> Any:
    """``request`` with ``extra`` laid over it: objects by key, lists of objects by position, all else replaced."""
    if isinstance(request, Mapping) and isinstance(extra, Mapping):
        keys = [*request, *(key for key in extra if key not in request)]
        return {key: _merged(request.get(key), extra[key]) if key in extra else request[key] for key in keys}
    if isinstance(request, list) and isinstance(extra, list) and all(isinstance(each, Mapping) for each in extra):
        return (
            [_merged(*pair) for pair in zip(request, extra, strict=False)]
            + request[len(extra) :]
            + extra[len(request) :]
        )
    return extra
