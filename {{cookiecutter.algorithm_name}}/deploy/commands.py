"""Template: the commands of ``python -m deploy``. Progress and errors go to stderr, the result to stdout."""

import sys

import click

from deploy.autoscale import autoscale
from deploy.batch import batch
from deploy.delete import delete
from deploy.endpoint import deploy
from deploy.errors import EXPECTED, describe
from deploy.init import init
from deploy.invoke import invoke
from deploy.jobs import logs, stop, wait
from deploy.plan import interrupted
from deploy.registry import approve, promote, register
from deploy.train import train
from deploy.tune import tune


@click.group()
def commands() -> None:
    """Train the image on SageMaker, deploy it, call it and delete it again."""


for command in (
    train,
    deploy,
    invoke,
    batch,
    autoscale,
    delete,
    init,
    register,
    approve,
    promote,
    tune,
    wait,
    logs,
    stop,
):
    commands.add_command(command)


def main() -> None:
    """Run a command. An error prints one sentence and ends with a status other than 0."""
    try:
        commands.main(prog_name="python -m deploy", standalone_mode=False)
    except click.Abort:
        sys.exit(interrupted())
    except click.ClickException as error:
        sys.exit(error.format_message())
    except EXPECTED as error:
        sys.exit(describe(error))
