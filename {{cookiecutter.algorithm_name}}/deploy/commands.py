"""Template: the commands of ``python -m deploy``. Progress and errors go to stderr, the result to stdout."""

import sys

import click

from deploy.bootstrap import bootstrap
from deploy.delete import delete
from deploy.endpoint import deploy
from deploy.errors import EXPECTED, describe
from deploy.invoke import invoke
from deploy.permissions import policies
from deploy.train import train


@click.group()
def commands() -> None:
    """Train the image on SageMaker, deploy it, call it and delete it again."""


for command in (train, deploy, invoke, delete, policies, bootstrap):
    commands.add_command(command)


def main() -> None:
    """Run a command. An error prints one sentence and ends with a status other than 0."""
    try:
        commands.main(prog_name="python -m deploy", standalone_mode=False)
    except click.Abort:
        sys.exit("Interrupted: what was started on AWS goes on, and costs money.")
    except click.ClickException as error:
        sys.exit(error.format_message())
    except EXPECTED as error:
        sys.exit(describe(error))
