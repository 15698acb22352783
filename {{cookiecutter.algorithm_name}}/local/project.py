"""Template: where the project's things are, and the one exception for what a person can mend."""

import os
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
DATA = ROOT / "data"  # each folder in it is a channel
TREE = ROOT / (os.environ.get("OPT_ML") or "opt_ml")  # becomes /opt/ml
CONTAINER = os.environ.get("CONTAINER") or NAME
IMAGE = os.environ.get("IMAGE") or f"{NAME}:local"
VENV = ROOT / (os.environ.get("VENV") or ".venv")


class Mistake(Exception):
    """One sentence that says what is wrong and how to mend it."""
