"""The manifest costs a job no time, and a stopped job never its model: the data is read while ``train`` runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs import changed, stop, until
from programs import lay_out, saved, train_here, training, with_train

TERABYTES = 8 * 2**40  # of nothing: a sparse file takes no room, and hours to read
CUT_OFF = "not all bytes were read before the job ended"


def big(tree: Path) -> Path:
    """The tree, with more in its training channel than anyone reads in a minute."""
    with (tree / "input/data/training/scan.bin").open("wb") as file:
        file.truncate(TERABYTES)
    return tree


def manifest(tree: Path) -> dict[str, Any]:
    about: dict[str, Any] = json.loads((tree / "model/manifest.json").read_text(encoding="utf-8"))
    return about


def test_a_stopped_job_with_a_big_channel_keeps_its_model(project: Path, tmp_path: Path) -> None:
    """P-27, T-46, T-47: the manifest is there too, and says that it lacks the digest."""
    mine = with_train(
        project,
        tmp_path,
        "import time; job.channel('training'); print('begun', flush=True)",
        "while not job.stopping: time.sleep(0.1)",
    )
    tree = big(lay_out(tmp_path / "tree", mine))
    with training(mine, tree) as process:
        until(process, "begun")
        output = stop(process)
    assert process.returncode == 0, output
    assert saved(tree) == ["baseline.json", "manifest.json", "model.onnx", "signature.json"]
    about = manifest(tree)["channels"]
    assert about["training"]["sha256"] is None
    assert about["training"]["sha256_missing"] == CUT_OFF
    assert (about["training"]["files"], about["training"]["bytes"] > TERABYTES) == (2, True)


def test_a_job_waits_for_the_digest_of_a_big_channel_only_so_long(project: Path, tmp_path: Path) -> None:
    """T-47: the model is in its place by then."""
    mine = changed(
        with_train(project, tmp_path),
        (
            "import onnxruntime\n",
            "import onnxruntime\nfrom contract.training import digests\ndigests.SECONDS_TO_WAIT = 1\n",
        ),
    )
    tree = big(lay_out(tmp_path / "tree", mine))
    with training(mine, tree) as process:
        until(process, "model saved in")
        assert saved(tree) == ["baseline.json", "manifest.json", "model.onnx", "signature.json"]
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert manifest(tree)["channels"]["training"]["sha256_missing"] == CUT_OFF
    assert manifest(tree)["channels"]["validation"] == {"mode": "File", "sha256": None, "sha256_missing": CUT_OFF}


def test_a_stop_ends_the_wait_for_the_digest(project: Path, tmp_path: Path) -> None:
    """P-21, T-47."""
    tree = big(lay_out(tmp_path / "tree", project))
    with training(project, tree) as process:
        until(process, "model saved in")
        output = stop(process, 20)
    assert process.returncode == 0, output
    assert saved(tree) == ["baseline.json", "manifest.json", "model.onnx", "signature.json"]


def test_data_that_changes_or_cannot_be_read_costs_no_model(project: Path, tmp_path: Path) -> None:
    """T-47: as where train() unpacks an archive in its channel and removes it."""
    mine = with_train(
        project,
        tmp_path,
        "import os, pathlib; folder = job.paths.channels / 'training'",
        "os.symlink('/proc/self/mem', folder / 'odd.bin')",
    )
    tree = lay_out(tmp_path / "tree", mine)
    done = train_here(mine, tree)
    assert done.returncode == 0, done.stderr
    assert manifest(tree)["channels"]["training"]["sha256"] is None
    assert manifest(tree)["channels"]["training"]["sha256_missing"] == f"{tree}/input/data/training: Input/output error"


@pytest.mark.parametrize("ending", ["raise UserError('There are too few rows.')", "import os; os._exit(3)"])
def test_a_job_that_fails_leaves_no_process_behind(project: Path, tmp_path: Path, ending: str) -> None:
    """P-23: outside of a container nobody else would end what reads the data."""
    mine = with_train(project, tmp_path, "job.channel('training')", ending)
    tree = big(lay_out(tmp_path / "tree", mine))
    with training(mine, tree) as process:
        output, _ = process.communicate(timeout=30)  # a process that is left would hold the pipe
    assert process.returncode, output
