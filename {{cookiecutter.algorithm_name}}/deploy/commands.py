"""Template: the commands of ``python -m deploy``. Progress and errors go to stderr, the result to stdout."""

import sys

import click

from deploy.autoscale import autoscale
from deploy.batch import batch
from deploy.bootstrap import bootstrap
from deploy.delete import delete
from deploy.endpoint import deploy
from deploy.errors import EXPECTED, describe
from deploy.init import init
from deploy.invoke import invoke
from deploy.jobs import logs, stop, wait
from deploy.listing import cost, list_all
from deploy.lock import unlock
from deploy.permissions import policies
from deploy.registry import approve, promote, register
from deploy.releases import releases, rollback
from deploy.status import status
from deploy.train import train
from deploy.tune import tune
from deploy.update import update


@click.group(context_settings={"max_content_width": 120})
def commands() -> None:
    """Train the image on SageMaker, deploy it, update it, call it and delete it again. docs/deploy.md has the whole."""


for command in (
    init,
    train,
    tune,
    register,
    approve,
    deploy,
    promote,
    autoscale,
    invoke,
    batch,
    status,
    cost,
    logs,
    wait,
    stop,
    delete,
    update,
    releases,
    rollback,
    unlock,
    policies,
    bootstrap,
):
    commands.add_command(command)
commands.add_command(list_all, "list")  # whose name would hide Python's own


def main() -> None:
    """Run a command. An error prints one sentence and ends with a status other than 0."""
    try:
        commands.main(prog_name="python -m deploy", standalone_mode=False)
    except click.Abort as abort:  # of a KeyboardInterrupt, which may say more
        sys.exit(str(abort.__cause__ or "") or "Interrupted: nothing was started.")
    except click.ClickException as error:
        sys.exit(error.format_message())
    except EXPECTED as error:
        sys.exit(describe(error))
