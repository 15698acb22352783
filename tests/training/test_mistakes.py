"""What a user reads who made a mistake: one sentence that names what is wrong and how to fix it.

docs/mistakes.md shows what `train` says to each mistake of mistakes.py. The tests here make them all and compare;
``UPDATE=1 .venv/bin/pytest tests/training/test_mistakes.py`` writes the page again from what they see.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from faults import eventually
from forms import long_after
from mistakes import HERE, IN_THE_CONTAINER, Job, Mistakes
from programs import lay_out, saved, serving_here, train_here
from projects import TEMPLATE

PAGE = TEMPLATE / "docs/mistakes.md"
TITLE = """# Mistakes

What ends a training job, with which exit status, and the first sentence of the log's end and of the failure file, which
SageMaker shows as the reason. The tests make each of these mistakes in the real `train` and write this page.

Where the cause may be a fault of the program, a traceback follows the sentence, marked here with *(traceback)*.
"""

Run = Callable[[Job], subprocess.CompletedProcess[str]]


def sections() -> dict[str, str]:
    """The page's tables by their headings."""
    parts = PAGE.read_text(encoding="utf-8").split("\n## ")[1:] if PAGE.exists() else []
    return {heading: table for heading, _, table in (part.partition("\n\n") for part in parts)}


def table_of(mistakes: Mistakes, project: Path, folder: Path, run: Run) -> str:
    """Make the mistakes, two at a time, and tabulate what is said."""

    def row(number: int, what: str) -> str:
        job = Job.lay_out(folder / str(number), project)
        mistakes[what](job)
        return f"| {what} | {seen(job, run(job))} |\n"

    with ThreadPoolExecutor(2) as pool:
        rows = pool.map(row, range(len(mistakes)), mistakes)
        return "| what is wrong | exit | what is said |\n| --- | --- | --- |\n" + "".join(rows)


def seen(job: Job, done: subprocess.CompletedProcess[str]) -> str:
    """Exit status and first sentence of a failed job, in which all else is as it must be (T-43, T-44)."""
    status = done.returncode if done.returncode >= 0 else 128 - done.returncode  # as a shell and Docker tell it
    file = job.tree / "output/failure"
    reason = file.read_text(encoding="utf-8") if file.is_file() else done.stderr
    if status == 1:
        assert reason.strip() in done.stderr, done.stderr  # the same in the log
    if (job.tree / "model").is_dir():
        assert saved(job.tree) == []
    sentence = job.plain(reason).partition("\n")[0]
    assert 20 < len(sentence) < 800, sentence
    trace = " *(traceback)*" if "Traceback (most" in reason else ""
    return f"{status} | {sentence.replace('|', chr(92) + '|').replace('<', '&lt;').replace('*', chr(92) + '*')}{trace}"


def compare(heading: str, table: str) -> None:
    """With what the page has under ``heading``."""
    shown = sections()
    if os.environ.get("UPDATE"):
        shown[heading] = table
        parts = [f"{name}\n\n{shown[name].strip()}\n" for name in [*HERE, *IN_THE_CONTAINER] if name in shown]
        PAGE.write_text("\n## ".join([TITLE, *parts]), encoding="utf-8")
    assert table.splitlines() == sections()[heading].strip().splitlines(), "UPDATE=1 writes the page again"


@pytest.mark.parametrize("group", long_after(5, sorted(HERE, key=lambda group: len(HERE[group]))))
def test_each_mistake_ends_training_with_the_sentence_that_the_page_shows(
    project: Path, tmp_path: Path, group: str
) -> None:
    """T-01, T-02, T-12, T-13, T-23, T-24, T-25, T-43, T-44, T-45, P-23, P-34, P-44; V-08, V-09."""
    compare(group, table_of(HERE[group], project, tmp_path, Job.run))


@pytest.mark.parametrize("group", IN_THE_CONTAINER)
def test_each_mistake_in_the_container_ends_with_the_sentence_that_the_page_shows(
    image: str, project: Path, tmp_path: Path, group: str
) -> None:
    """T-43, T-45, T-50, P-20, P-23, P-51: what takes a user without rights, a full disk, or too little memory."""
    compare(group, table_of(IN_THE_CONTAINER[group], project, tmp_path, lambda job: job.run_in(image)))


def test_the_page_shows_these_mistakes_and_no_others() -> None:
    assert list(sections()) == [*HERE, *IN_THE_CONTAINER]
    assert sum(map(len, [*HERE.values(), *IN_THE_CONTAINER.values()])) >= 40


def test_where_nothing_is_wrong_training_succeeds(project: Path, tmp_path: Path) -> None:
    """T-43, P-23: so that each mistake fails for what it is; the foreseen reason is taken back."""
    job = Job.lay_out(tmp_path, project)
    done = job.run()
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert saved(job.tree) == ["baseline.json", "manifest.json", "model.onnx", "signature.json"]
    assert not (job.tree / "output/failure").exists()


def test_a_job_that_is_killed_for_its_memory_has_said_how_much_there_was(
    image: str, project: Path, tmp_path: Path
) -> None:
    """T-45, P-51: the log's last lines tell the limit and the size of the data; nothing half done is left."""
    job = Job.lay_out(tmp_path, project)
    IN_THE_CONTAINER["In a small container"]["train() takes more memory than there is"](job)
    done = job.run_in(image)
    assert done.returncode == 137
    assert done.stdout.splitlines()[-2:] == ["memory: 200 MB", "training: 1 file, 0.00 MB"]
    assert saved(job.tree) == []
    reason = (job.tree / "output/failure").read_text(encoding="utf-8")
    assert "most likely because it used more memory than the 200 MB it has" in reason


@pytest.fixture
def mine(project: Path, tmp_path: Path) -> Path:
    """A project to make mistakes in."""
    return Path(shutil.copytree(project, tmp_path / "mine"))


def edit(project: Path, old: str, new: str) -> None:
    algorithm = project / "container/program/algorithm.py"
    text = algorithm.read_text(encoding="utf-8")
    assert old in text
    algorithm.write_text(text.replace(old, new), encoding="utf-8")


# Each with more than one row: what cannot predict the example of features() is not served at all.
SERVE = {
    "no dict": (
        '    return {"label": labels} |',
        '    if len(rows) > 1:\n        return labels[0]\n    return {"label": labels} |',
        500, "predict() in algorithm.py returned str: return a dict of named columns such as {\"label\": labels}.",
    ),
    "a row too few": (
        '    return {"label": labels} |', '    return {"label": labels[len(rows) > 1 :]} |',
        500, "predict() in algorithm.py returned the column 'label' with shape (51,) for 52 rows: "
        "return one value for each row.",
    ),
    "an exception": (
        "    labels, probabilities =",
        "    labels = rows.no_such_thing if len(rows) > 1 else 0\n    labels, probabilities =",
        500, "the algorithm failed; the log says why under ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", long_after(2, reversed(SERVE)))
def test_a_mistake_in_predict_is_named_to_the_client_or_in_the_log(mine: Path, tmp_path: Path, mistake: str) -> None:
    """H-46, H-55: no trace leaves the server, and the log has it under the id that the client got."""
    old, new, status, sentence = SERVE[mistake]
    tree = lay_out(tmp_path / "tree", mine)
    assert train_here(mine, tree).returncode == 0
    edit(mine, old, new)
    with serving_here(mine, tree, tmp_path / "serve.log") as server:
        answer = server.predict((mine / "data/predict.csv").read_bytes(), "text/csv; header=present")
        assert answer.status == status
        assert answer.message.startswith(sentence)
        if mistake == "an exception":
            identifier = answer.message.rsplit(" ", 1)[1]
            eventually(lambda: f'"id":"{identifier}","message":"predict() in algorithm.py, line ' in server.logged())
            assert "AttributeError: 'numpy.ndarray' object has no attribute 'no_such_thing'" in server.logged()
