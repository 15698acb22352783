"""Template: ``make tune``, in its own environment with Optuna. Each trial is a training like `make train`."""

import argparse
import os
import sys

from local import environments
from local.project import ROOT, exit_status
from local.tracking import NOT_LOGGED

VARIED = "Vary only these; by default all with a Range or a Literal in algorithm.py, except seeds."


@exit_status
def main(given: list[str]) -> int:
    """Run or go on with a study. An error prints one sentence and returns 1; 3 says that MLflow lacks something."""
    arguments = parsed(given)
    environments.enter("stack.tuning")
    from stack.tuning.study import Search

    search = Search(arguments)
    try:
        search.run()
    except KeyboardInterrupt:
        print("Interrupted: finished trials are kept, and the same command continues.", file=sys.stderr)
        return 130
    finally:
        search.tell()
    return 0 if search.logged else NOT_LOGGED


def parsed(given: list[str]) -> argparse.Namespace:
    """The command line. Its options mean what they mean for ``python -m deploy tune``."""
    parser = argparse.ArgumentParser(prog="python3 -m stack.tuning", description=__doc__)
    parser.add_argument("hyperparameters", nargs="*", metavar="name=value", help="Hyperparameters for all trials.")
    parser.add_argument("--trials", type=_count, default=20, metavar="N", help="Trials in all, by default 20.")
    parser.add_argument(
        "--objective", metavar="METRIC", help="The metric to compare; by default the first that is logged."
    )
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument(
        "--maximize", action="store_true", default=None, help="By default what the metric's name suggests."
    )
    ways.add_argument("--minimize", action="store_false", dest="maximize")
    parser.add_argument("--range", action="append", default=[], metavar="NAME[=LOW:HIGH|=A,B]", help=VARIED)
    parser.add_argument("--metric", action="append", default=[], help="Instead of those that algorithm.py logs.")
    parser.add_argument("--study", default="study", metavar="NAME", help="Another name starts a new study.")
    return parser.parse_args(given)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
