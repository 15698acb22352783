"""`make check` and `make format`: plain code of the user's passes, the template's files are held to strict rules."""

import re
import shutil
from pathlib import Path

import pytest

from forms import long_after
from projects import make

ALGORITHM = """# Yours: an algorithm as it is written in a notebook
import os, sys
from sklearn.linear_model import LogisticRegression
from dataclasses import dataclass
import pandas as pd, numpy as np
import joblib
from helpers import *

@dataclass
class Hyperparameters:
    C: float=1.0

def train(job):
    df = pd.concat(job.channel('training').tables())
    X=df.drop(columns='diagnosis'); y=df['diagnosis']
    mask=y.notnull()==True
    n=len(df)
    best=None
    for C in [job.hyperparameters.C]:
        clf=LogisticRegression(C=C,max_iter=10000)
        clf.fit(standardise(X[mask]),y[mask])
        if best==None: best=clf
    print(f"done")
    return {'clf':best,'columns':list(X.columns)}

def save(model,directory):
    joblib.dump(model,directory/'model.joblib')

def load(directory):
    return joblib.load(directory/'model.joblib')

def features(model):
    return model['columns']

def predict(model, rows: pd.DataFrame):
    X=standardise(rows)
    try:
        labels=model['clf'].predict(X)
    except:
        raise
    return {'label':labels}
"""
HELPERS = "standardise = lambda X: X/1000.0\n"
TESTS = """# Yours: tests
import math, pytest
def test_it(algorithm,model,job):
    df=next(job.channel('validation').tables())
    assert len(algorithm.predict(model,df.drop(columns='diagnosis'))['label'])==len(df)
"""
UNFORMATTED = "\ndef plain(X, y):\n    z=X\n    return z+y\n"


@pytest.fixture
def plain(mine: Path) -> Path:
    """A project with plain code in it: no types, no docstrings, names such as X."""
    (mine / "container/program/algorithm.py").write_text(ALGORITHM, encoding="utf-8")
    (mine / "container/program/helpers.py").write_text(HELPERS, encoding="utf-8")
    (mine / "tests/test_algorithm.py").write_text(TESTS, encoding="utf-8")
    return mine


def test_plain_code_passes(plain: Path) -> None:
    done = make(plain, "check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "Your files could be formatted: `make format` does that."
    assert (plain / "container/program/algorithm.py").read_text(encoding="utf-8") == ALGORITHM


def test_format_sorts_what_plain_code_imports_and_it_still_works(plain: Path) -> None:
    before = {path: path.read_bytes() for path in plain.rglob("*") if path.is_file()}
    done = make(plain, "format")
    assert done.returncode == 0, done.stdout + done.stderr
    changed = {str(path.relative_to(plain)) for path, content in before.items() if path.read_bytes() != content}
    assert changed == {
        "container/program/algorithm.py", "container/program/helpers.py", "tests/test_algorithm.py"
    }  # fmt: skip
    head = (plain / "container/program/algorithm.py").read_text(encoding="utf-8").partition("\n\n\n")[0]
    assert head.splitlines()[1:] == [
        "from dataclasses import dataclass",
        "",
        "import joblib",
        "import pandas as pd",
        "from sklearn.linear_model import LogisticRegression",
        "",
        "from helpers import *",
    ]
    checked = make(plain, "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "make format" not in checked.stdout
    trained = make(plain, "train", DOCKER="no")
    assert trained.returncode == 0, trained.stderr


def test_a_likely_mistake_in_plain_code_is_found(plain: Path) -> None:
    source = plain / "container/program/helpers.py"
    source.write_text(HELPERS + "def scale(X): return X / factor\n", encoding="utf-8")
    done = make(plain, "check")
    assert done.returncode != 0
    assert "Undefined name `factor`" in done.stdout
    assert done.stdout.count("-->") == 1


def test_the_templates_files_are_held_to_strict_rules(mine: Path) -> None:
    ours = [
        path
        for path in mine.rglob("*")
        if path.is_file()
        and (path.suffix == ".py" or path.name in ("train", "serve"))
        and "Template" in "".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:2])
    ]
    assert len(ours) > 70
    for path in ours:
        path.write_text(path.read_text(encoding="utf-8") + UNFORMATTED, encoding="utf-8")
    names = [str(path.relative_to(mine)) for path in ours]
    said = make(mine, "--ignore-errors", "check").stdout
    linted, _, rest = said.partition("unformatted: File would be reformatted")
    for name in names:
        assert f"--> {name}:" in linted
        assert f"--> {name}:" in rest
        # gunicorn.conf.py is no name of a module, rehearsal/ has packages of its own, and parts of stack/ import others
        # that may be deleted: `make check` of the template types these two
        if name != "container/program/gunicorn.conf.py" and not name.startswith(("rehearsal/", "stack/")):
            assert re.search(rf"^{re.escape(name)}:\d+: error: Function is missing a type", rest, re.MULTILINE)


DELETED = [
    "container/build_and_push.sh container/build_and_push.py container/publishing"
    " deploy local notebooks rehearsal stack",
    "container/build_and_push.sh",
    "container/build_and_push.py",
    "container/build_and_push.py container/publishing",
    "deploy",
    "deploy rehearsal",
    "local",
    "notebooks",
    "rehearsal",
    "stack",
]


@pytest.mark.parametrize("names", long_after(1, DELETED))
def test_what_a_user_does_without_may_be_deleted(mine: Path, names: str) -> None:
    for path in (mine / name for name in names.split()):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    checked = make(mine, "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = make(mine, "test", DOCKER="no")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert re.search(r"\d+ passed", tested.stdout)
    left_out = "train and serve are not tested: local/, which runs them, was deleted"
    assert (left_out in tested.stdout) == ("local" in names.split())
