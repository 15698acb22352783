"""Template: the commands of ``python -m deploy``. Progress and errors go to stderr, the result to stdout."""

import importlib
import sys

import click

from deploy.errors import EXPECTED, describe

MODULES = {
    "endpoint": ("deploy",),
    "jobs": ("logs", "stop", "wait"),
    "listing": ("cost", "list"),
    "lock": ("unlock",),
    "permissions": ("policies",),
    "registry": ("approve", "promote", "register"),
    "releases": ("releases", "rollback"),
}
NAMED_ALIKE = ("autoscale", "batch", "bootstrap", "delete", "init", "invoke", "status", "train", "tune", "update")
"""The commands whose modules have their names."""


class Commands(click.Group):
    """The commands, each imported when it is asked for."""

    modules = {name: module for module, names in MODULES.items() for name in names} | {
        each: each for each in NAMED_ALIKE
    }

    def list_commands(self, context: click.Context) -> list[str]:
        """All names."""
        return sorted(self.modules)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command of that name."""
        if name not in self.modules:
            return None
        module = importlib.import_module(f"deploy.{self.modules[name]}")
        found: click.Command = getattr(module, "list_all" if name == "list" else name)  # list is Python's own
        return found


@click.group(cls=Commands, context_settings={"max_content_width": 120})
def commands() -> None:
    """Train the image on SageMaker, deploy it, update it, call it and delete it again. docs/deploy.md has the whole."""


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
