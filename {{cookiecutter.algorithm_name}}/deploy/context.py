"""Template: what each command works with: its settings, AWS's clients, and the flags that all commands share."""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import click
from botocore import xform_name
from botocore.config import Config

from deploy import config, names
from deploy.config import Settings
from deploy.waiting import print_progress, retry_until_visible, unless_absent

ADAPTIVE: Any = {"mode": "adaptive", "total_max_attempts": 10}
# A prediction may take 60 seconds, and a request that was only slow must not be sent five times (H-11).
RUNTIME = Config(read_timeout=70, retries={"mode": "standard", "total_max_attempts": 2})
PATIENT = Config(retries={"mode": "adaptive"} if "AWS_MAX_ATTEMPTS" in os.environ else ADAPTIVE)


@dataclass(frozen=True)
class Context:
    """One run of a command."""

    settings: Settings
    stage: str
    session: boto3.Session
    overlay: dict[str, Any] = field(default_factory=dict)
    """What ``--with`` adds to requests, by operation."""
    dry_run: bool = False
    detach: bool = False
    given: dict[str, Any] = field(default_factory=dict)
    """The settings that ``deploy.toml`` or a flag gives, for a command that has defaults of its own for the rest."""

    def client(self, service: str = "sagemaker") -> Any:
        """The client of a service, by boto3's name of it."""
        return _client(self.session, service)

    def call(self, operation: str, request: dict[str, Any], service: str = "sagemaker") -> Any:
        """Send a request, and send it again while AWS does not see what was created a moment ago (C-09)."""
        return retry_until_visible(getattr(self.client(service), xform_name(operation)), **request)

    def items(self, operation: str, service: str = "sagemaker", **request: Any) -> Iterator[Any]:
        """Each item of a list, over all its pages; the operation is named as boto3's paginators are."""
        pages = self.client(service).get_paginator(operation)
        yield from filter(None, pages.paginate(**request).search(f"{pages.result_keys[0].expression}[]"))

    def describe(self, noun: str, name: str) -> Any:
        """What AWS says of a thing, such as an ``Endpoint``; None if there is none of that name."""
        return unless_absent(getattr(self.client(), xform_name(f"Describe{noun}")), **{f"{noun}Name": name})

    @functools.cached_property
    def caller(self) -> str:
        """ARN of the person or program that runs the command."""
        return str(self.client("sts").get_caller_identity()["Arn"])


@functools.cache
def _client(session: Any, service: str) -> Any:
    return session.client(service, config=RUNTIME if service == "sagemaker-runtime" else PATIENT)


def pairs(context: click.Context, option: click.Parameter, given: Sequence[str]) -> dict[str, str] | None:
    """NAME=VALUE, several times, as a mapping; None if there is none."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals or name in found:
            raise click.BadParameter(f"'{text}': give NAME=VALUE, and each name once.", param=option)
        found[name] = value
    return found or None


def verb(
    *fields: str, table: str = "", changes: bool = True, stage: str = "--stage", endpoint: bool = False
) -> Callable[[Callable[..., None]], click.Command]:
    """Make a command of a function of a ``Context`` and of its own options.

    ``fields`` are the settings that it uses, each a flag of its own. ``table`` is the table of ``deploy.toml`` for a
    command that has no stage, and ``stage`` the flag of one that has. One that ``changes`` something has
    ``--dry-run``, ``--detach`` and ``--with``. One for an ``endpoint`` gets its name.
    """
    shared = [_setting_option(name) for name in (*fields, "region")]
    if not table:
        more: Any = {"default": "dev", "show_default": True} if stage == "--stage" else {"required": True}
        shared.append(click.option(stage, "stage", help="A table of deploy.toml.", **more))
    if endpoint:
        shared.append(click.option("--endpoint", help="Its name, by default the project's name and the stage."))
    if changes:
        file = click.Path(exists=True, dir_okay=False, path_type=Path)
        shared += [
            click.option("--with", "overlay", type=file, help="JSON to merge into requests, by operation."),
            click.option("--dry-run", is_flag=True, help="Print the requests as JSON and send none."),
            click.option("--detach", is_flag=True, help="Do not wait for the end."),
        ]

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(
            overlay: Path | None = None, dry_run: bool = False, detach: bool = False, stage: str = table, **given: Any
        ) -> None:
            found = config.load(stage, {name: _given(given.pop(name)) for name in (*fields, "region")})
            if endpoint:
                given["endpoint"] = given["endpoint"] or names.endpoint(stage)
            session, extra = _session(found.get("region", "")), config.overlay(overlay)
            function(Context(Settings(**found), stage, session, extra, dry_run, detach, found), **given)

        for option in reversed(shared):
            option(run)
        return click.command()(run)

    return decorate


def _given(value: Any) -> Any:
    """None for an option that may be repeated and was not given."""
    return None if value == () else value


def _session(region: str) -> boto3.Session:
    session = boto3.Session(region_name=region or os.environ.get("AWS_REGION") or None)
    if session.region_name:
        return session
    print_progress("No region is set, so us-west-2 is used. Choose another with --region or AWS_REGION.")
    return boto3.Session(region_name="us-west-2")


def _inference_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--serverless`` and others in place of ``--inference serverless``."""
    for kind, text in config.INFERENCE.items():
        function = click.option(f"--{kind}", "inference", flag_value=kind, default=None, help=text)(function)
    return function


def _setting_option(name: str) -> Callable[..., Any]:
    """The flag of a setting. Its default is None, so that what is not given leaves ``deploy.toml`` as it is."""
    if name == "inference":
        return _inference_options
    known = {each.name: each for each in dataclasses.fields(Settings)}[name]
    flag, text = f"--{name.replace('_', '-')}", config.description(name)
    if known.default_factory is dict:
        return click.option(flag, multiple=True, callback=pairs, metavar="NAME=VALUE", help=text)
    if isinstance(known.default, bool):
        return click.option(f"{flag}/--no{flag[1:]}", default=None, help=text)
    if isinstance(known.default, int):
        return click.option(flag, type=click.IntRange(min=0), help=f"{text} By default {known.default}.")
    if isinstance(known.default, tuple):
        return click.option(flag, multiple=True, default=None, help=text)
    return click.option(flag, help=f"{text} By default {known.default}." if known.default else text)
