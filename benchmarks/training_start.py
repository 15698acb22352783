"""From `docker run IMAGE train` to the first line of the user's `train()`, beside `import sklearn.ensemble`.

    .venv/bin/python benchmarks/training_start.py IMAGE [repeats]

The container is given an `algorithm.py` whose `train()` ends the process at once, or after its own import of sklearn.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import report

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "{{cookiecutter.algorithm_name}}/container/program/algorithm.py"
IMPORT = "    from sklearn.ensemble import RandomForestClassifier  # imported here, since serving does not need it\n"
END = "    __import__('os')._exit(7)\n"


def main() -> None:
    """Measure both in turn and print a table in Markdown."""
    image, repeats = sys.argv[1], int((sys.argv[2:] or ["7"])[0])
    with tempfile.TemporaryDirectory() as scratch:
        source = SOURCE.read_text(encoding="utf-8")
        assert IMPORT in source
        at_once, after = Path(scratch) / "at_once.py", Path(scratch) / "after.py"
        at_once.write_text(source.replace(IMPORT, END), encoding="utf-8")
        after.write_text(source.replace(IMPORT, IMPORT + END), encoding="utf-8")
        commands = {
            "`true`": ([image, "true"], 0),
            "`python -c 'import sklearn.ensemble'`": ([image, "python", "-c", "import sklearn.ensemble"], 0),
            "`train`, to its first line": ([mounted(at_once), image, "train"], 7),
            "`train`, to its second, which follows `import sklearn.ensemble`": ([mounted(after), image, "train"], 7),
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(repeats):
            for name, (command, status) in commands.items():
                began = time.perf_counter()
                done = subprocess.run(["docker", "run", "--rm", *command], capture_output=True, check=False)
                seconds[name].append(time.perf_counter() - began)
                assert done.returncode == status, done.stderr.decode()
    bare = median(seconds["`python -c 'import sklearn.ensemble'`"])
    rows = [[name, report.spread_of(each), f"{median(each) / bare:.2f}x"] for name, each in seconds.items()]
    print(report.table(["in a new container", "s", "to sklearn's"], rows))


def mounted(algorithm: Path) -> str:
    """The option that puts a file in the place of the image's ``algorithm.py``."""
    return f"--volume={algorithm}:/opt/program/algorithm.py:ro"


if __name__ == "__main__":
    main()
