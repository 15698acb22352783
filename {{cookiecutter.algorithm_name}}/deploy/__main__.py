"""Template: ``python -m deploy``."""

import sys

try:
    from deploy.commands import main

    if __name__ == "__main__":
        main()
except ModuleNotFoundError as error:
    sys.exit(f"`python -m deploy` needs the package '{error.name}': run `make setup`, then use the Python it made.")
