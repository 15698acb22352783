"""From `docker run IMAGE train` to the first line of the user's `train()`, beside `import sklearn` in the same image.

    .venv/bin/python benchmarks/training_start.py IMAGE [repeats]

The container is given an `algorithm.py` whose `train()` ends the process at once.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "{{cookiecutter.algorithm_name}}/container/program/algorithm.py"
BEGIN = "    settings = job.hyperparameters\n"


def main() -> None:
    """Measure both in turn and print a table in Markdown."""
    image, repeats = sys.argv[1], int((sys.argv[2:] or ["7"])[0])
    with tempfile.TemporaryDirectory() as scratch:
        mine = Path(scratch) / "algorithm.py"
        source = SOURCE.read_text(encoding="utf-8")
        assert BEGIN in source
        mine.write_text(source.replace(BEGIN, "    __import__('os')._exit(7)\n"), encoding="utf-8")
        mount = f"--volume={mine}:/opt/program/algorithm.py:ro"
        commands = {
            "`true`": ([image, "true"], 0),
            "`python -c 'import sklearn'`": ([image, "python", "-c", "import sklearn"], 0),
            "`train`, to its first line": ([mount, image, "train"], 7),
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(repeats):
            for name, (command, status) in commands.items():
                began = time.perf_counter()
                done = subprocess.run(["docker", "run", "--rm", *command], capture_output=True, check=False)
                seconds[name].append(time.perf_counter() - began)
                assert done.returncode == status, done.stderr.decode()
    bare = median(seconds["`python -c 'import sklearn'`"])
    print("| in a new container | s | to sklearn's |\n| --- | ---: | ---: |")
    for name, values in seconds.items():
        spread = f"{median(values):.2f} [{min(values):.2f}..{max(values):.2f}]"
        print(f"| {name} | {spread} | {median(values) / bare:.2f}x |")


if __name__ == "__main__":
    main()
