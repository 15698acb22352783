"""Copy an example over a new project: ``python examples/copy_example.py text ../my-project``."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent
TEMPLATE = EXAMPLES.parent / "{{cookiecutter.algorithm_name}}"


def main(name: str, directory: str) -> None:
    """Copy the example and say what to do next. Ends with a sentence if it cannot be copied."""
    example, project = EXAMPLES / name, Path(directory).expanduser()
    names = sorted(path.name for path in EXAMPLES.iterdir() if (path / "EXAMPLE.md").exists())
    if name not in names:
        sys.exit(f"There is no example {name!r}: choose one of {', '.join(names)}, as in NAME={names[0]}.")
    if not directory or not (project / "container/program/contract").is_dir():
        sys.exit(f"There is no generated project in {directory!r}: name the folder of one, as in DIR=../my-project.")
    changed = next(_changed(example, project), None)
    if changed:
        sys.exit(f"{changed} is not as in a new project, and would be lost: move it away, or take a new project.")
    copy(example, project)
    print(f"{project} is now the example {name}, which {project / 'EXAMPLE.md'} explains. Next: make lock")


def copy(example: Path, project: Path) -> None:
    """Copy each file of the example to its place in the project. A folder ``data`` replaces the project's."""
    if (example / "data").exists():
        shutil.rmtree(project / "data", ignore_errors=True)
    for source in _files(example):
        target = project / source.relative_to(example)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _changed(example: Path, project: Path) -> Iterator[Path]:
    """Yields the files that would be lost, but for those of a new project and of other examples."""
    data = _files(project / "data") if (example / "data").exists() else []
    for path in [*data, *(project / source.relative_to(example) for source in _files(example))]:
        origins = [folder / path.relative_to(project) for folder in (TEMPLATE, *EXAMPLES.iterdir())]
        if path.exists() and not any(_same(path, origin) for origin in origins):
            yield path


def _same(path: Path, origin: Path) -> bool:
    return origin.is_file() and path.read_bytes() == origin.read_bytes()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


if __name__ == "__main__":
    main(*(*sys.argv[1:], "", "")[:2])
