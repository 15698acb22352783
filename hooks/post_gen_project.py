"""Set the run bits, which a zip or Windows may have dropped, and say what to do next."""

import os
import shlex
from pathlib import Path

PROGRAMS = [
    "container/program/train",
    "container/program/serve",
    "container/build_and_push.sh",
    "container/build_and_push.py",
]

for program in map(Path, PROGRAMS):
    program.chmod(program.stat().st_mode | 0o111)

# Short where the project lies below the caller's directory, and right in any case.
project = Path.cwd()
caller = Path(os.environ.get("PWD", os.sep))
folder = project.relative_to(caller) if project.is_relative_to(caller) else project

print(f"""
The project is ready. Next:

    cd {shlex.quote(str(folder))}
    make train     # on the data that comes with it; in a container where Docker answers
    make serve
    make predict

Then make container/program/algorithm.py your own; README.md tells how. `make` lists all commands.""")
