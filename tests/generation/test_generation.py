"""What `cookiecutter` makes of the answers, and what it refuses."""

import json
import os
import re
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from faults import SOAK
from projects import TEMPLATE, Bake, bake_into
from repositories import run_cookiecutter

FOLDER = "{{cookiecutter.algorithm_name}}"
QUESTIONS = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
RENDERED = {"README.md", "pyproject.toml", "container/Dockerfile"}
RUNNABLE = {
    "container/build_and_push.py",
    "container/build_and_push.sh",
    "container/program/serve",
    "container/program/train",
}
RECORD = ".cruft.json"  # which the hook writes: it holds the answers, and where the template was
FILES = RUNNABLE | RENDERED | {RECORD} | {
    ".gitattributes",
    ".github/CODEOWNERS",
    ".github/dependabot.yml",
    ".github/workflows/audit.yml",
    ".github/workflows/image.yml",
    ".github/workflows/monitor.yml",
    ".github/workflows/retrain.yml",
    ".gitignore",
    "Makefile",
    "SECURITY.md",
    "container/.dockerignore",
    "container/apt.txt",
    "container/build-args.txt",
    "container/install.sh",
    "container/lifecycle-policy.json",
    "container/program/algorithm.py",
    "container/program/contract/__init__.py",
    "container/program/contract/algorithm_interface.py",
    "container/program/contract/api.py",
    "container/program/contract/errors.py",
    "container/program/contract/failure.py",
    "container/program/contract/feature.py",
    "container/program/contract/libraries.py",
    "container/program/contract/paths.py",
    "container/program/contract/payload.py",
    "container/program/contract/predictions.py",
    "container/program/contract/resources.py",
    "container/program/contract/schema.py",
    "container/program/contract/serving/__init__.py",
    "container/program/contract/serving/capture.py",
    "container/program/contract/serving/capture_files.py",
    "container/program/contract/serving/connection.py",
    "container/program/contract/serving/crash_record.py",
    "container/program/contract/serving/csv_decoder.py",
    "container/program/contract/serving/encoder.py",
    "container/program/contract/serving/exchange.py",
    "container/program/contract/serving/formats.py",
    "container/program/contract/serving/health.py",
    "container/program/contract/serving/incoming.py",
    "container/program/contract/serving/inference.py",
    "container/program/contract/serving/json_decoder.py",
    "container/program/contract/serving/log.py",
    "container/program/contract/serving/log_pipe.py",
    "container/program/contract/serving/master.py",
    "container/program/contract/serving/metrics.py",
    "container/program/contract/serving/negotiation.py",
    "container/program/contract/serving/openapi.py",
    "container/program/contract/serving/prediction_queue.py",
    "container/program/contract/serving/request.py",
    "container/program/contract/serving/response.py",
    "container/program/contract/serving/service.py",
    "container/program/contract/serving/worker.py",
    "container/program/contract/serving/worker_states.py",
    "container/program/contract/settings.py",
    "container/program/contract/training/__init__.py",
    "container/program/contract/training/baseline.py",
    "container/program/contract/training/channels.py",
    "container/program/contract/training/checkpoints.py",
    "container/program/contract/training/cluster.py",
    "container/program/contract/training/csv_files.py",
    "container/program/contract/training/digests.py",
    "container/program/contract/training/evaluation.py",
    "container/program/contract/training/hosts.py",
    "container/program/contract/training/hyperparameters.py",
    "container/program/contract/training/job.py",
    "container/program/contract/training/main.py",
    "container/program/contract/training/manifest.py",
    "container/program/contract/training/probabilities.py",
    "container/program/contract/training/report.html",
    "container/program/contract/training/report.py",
    "container/program/contract/training/saving.py",
    "container/program/contract/training/signature.py",
    "container/program/contract/training/sigterm.py",
    "container/program/contract/training/tables.py",
    "container/program/gunicorn.conf.py",
    "container/program/nginx.conf",
    "container/program/predictor.py",
    "container/program/wsgi.py",
    "container/publishing/__init__.py",
    "container/publishing/building.py",
    "container/publishing/commands.py",
    "container/publishing/contents.py",
    "container/publishing/ecr.py",
    "container/publishing/options.py",
    "container/publishing/project.py",
    "container/publishing/registry.py",
    "container/push-policy.json",
    "container/requirements-serving.lock",
    "container/requirements-serving.txt",
    "container/requirements-training.lock",
    "container/requirements-training.txt",
    "container/requirements.lock",
    "container/requirements.txt",
    "data/predict.csv",
    "data/training/breast_cancer.csv",
    "data/validation/breast_cancer.csv",
    "deploy/__init__.py",
    "deploy/__main__.py",
    "deploy/autoscale.py",
    "deploy/batch.py",
    "deploy/bootstrap.py",
    "deploy/bootstrap.yml",
    "deploy/commands.py",
    "deploy/config.py",
    "deploy/context.py",
    "deploy/controls.py",
    "deploy/delete.py",
    "deploy/diagnosis.py",
    "deploy/endpoint.py",
    "deploy/errors.json",
    "deploy/errors.py",
    "deploy/form.txt",
    "deploy/found.py",
    "deploy/guard.py",
    "deploy/images.py",
    "deploy/init.py",
    "deploy/invoke.py",
    "deploy/jobs.py",
    "deploy/limits.py",
    "deploy/listing.py",
    "deploy/lock.py",
    "deploy/logs.py",
    "deploy/metrics.py",
    "deploy/models.py",
    "deploy/names.py",
    "deploy/permissions.py",
    "deploy/plan.py",
    "deploy/policies/ci.json",
    "deploy/policies/execution-role.json",
    "deploy/policies/person.json",
    "deploy/prices.json",
    "deploy/prices.py",
    "deploy/registry.py",
    "deploy/release.py",
    "deploy/releases.py",
    "deploy/schema.py",
    "deploy/splitting.py",
    "deploy/status.py",
    "deploy/storage.py",
    "deploy/tags.py",
    "deploy/tracking.py",
    "deploy/train.py",
    "deploy/tune.py",
    "deploy/update.py",
    "deploy/waiting.py",
    "docs/algorithm.md",
    "docs/apptainer.md",
    "docs/capture.md",
    "docs/contract.md",
    "docs/deploy.md",
    "docs/files.md",
    "docs/github.md",
    "docs/kubernetes.md",
    "docs/monitoring.md",
    "docs/packages.md",
    "docs/publishing.md",
    "docs/retraining.md",
    "docs/serving.md",
    "docs/stack.md",
    "docs/systems.md",
    "docs/tracking.md",
    "docs/training.md",
    "docs/tuning.md",
    "docs/updating.md",
    "local/__init__.py",
    "local/__main__.py",
    "local/archive.py",
    "local/building.py",
    "local/client.py",
    "local/container.py",
    "local/environments.py",
    "local/git.py",
    "local/hyperparameters.py",
    "local/lock.py",
    "local/merging.py",
    "local/notebook.py",
    "local/pins.py",
    "local/progress.py",
    "local/project.py",
    "local/runs.py",
    "local/served.py",
    "local/template.py",
    "local/tracking.py",
    "local/tree.py",
    "local/update.py",
    "local/virtualenv.py",
    "local/watching.py",
    "notebooks/sagemaker.ipynb",
    "rehearsal/__init__.py",
    "rehearsal/__main__.py",
    "rehearsal/alarms.py",
    "rehearsal/asynchronous.py",
    "rehearsal/batch.py",
    "rehearsal/calls.py",
    "rehearsal/containers.py",
    "rehearsal/findings.py",
    "rehearsal/handlers.py",
    "rehearsal/hosting.py",
    "rehearsal/jsonpath.py",
    "rehearsal/logs.py",
    "rehearsal/permissions.py",
    "rehearsal/records.py",
    "rehearsal/registry.py",
    "rehearsal/requirements.lock",
    "rehearsal/requirements.txt",
    "rehearsal/service_model.py",
    "rehearsal/simulator.py",
    "rehearsal/streaming.py",
    "rehearsal/training.py",
    "rehearsal/tuning.py",
    "rehearsal/updates.py",
    "requirements-dev.lock",
    "requirements-dev.txt",
    "stack/__init__.py",
    "stack/__main__.py",
    "stack/compose.gpu.yaml",
    "stack/compose.yaml",
    "stack/database/__init__.py",
    "stack/database/__main__.py",
    "stack/database/captured.py",
    "stack/database/loading.py",
    "stack/database/migrations/001_predictions.sql",
    "stack/database/migrations/002_truth.sql",
    "stack/database/requirements.lock",
    "stack/database/requirements.txt",
    "stack/database/sources.py",
    "stack/database/tables.py",
    "stack/database/truth.py",
    "stack/dotenv.py",
    "stack/kubernetes.Dockerfile",
    "stack/kubernetes.yaml",
    "stack/mlflow/Dockerfile",
    "stack/mlflow/database.sql",
    "stack/mlflow/requirements.lock",
    "stack/mlflow/requirements.txt",
    "stack/monitoring/__init__.py",
    "stack/monitoring/__main__.py",
    "stack/monitoring/bodies.py",
    "stack/monitoring/captures.py",
    "stack/monitoring/drift.py",
    "stack/monitoring/model.py",
    "stack/monitoring/requirements.lock",
    "stack/monitoring/requirements.txt",
    "stack/monitoring/telling.py",
    "stack/monitoring/window.py",
    "stack/report/__init__.py",
    "stack/report/__main__.py",
    "stack/report/requirements.lock",
    "stack/report/requirements.txt",
    "stack/retraining/__init__.py",
    "stack/retraining/__main__.py",
    "stack/retraining/evaluation.py",
    "stack/retraining/service.py",
    "stack/retraining/steps.py",
    "stack/retraining/verdict.py",
    "stack/swarm.yaml",
    "stack/tracking/__init__.py",
    "stack/tracking/__main__.py",
    "stack/tracking/jobs.py",
    "stack/tracking/mlmodel.py",
    "stack/tracking/requirements.lock",
    "stack/tracking/requirements.txt",
    "stack/tracking/runs.py",
    "stack/tracking/server.py",
    "stack/tuning/__init__.py",
    "stack/tuning/__main__.py",
    "stack/tuning/requirements.lock",
    "stack/tuning/requirements.txt",
    "stack/tuning/space.py",
    "stack/tuning/study.py",
    "stack/tuning/trial.py",
    "tests/conftest.py",
    "tests/test_algorithm.py",
    "tests/test_programs.py",
}  # fmt: skip

names = st.from_regex(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", fullmatch=True).filter(lambda name: 2 <= len(name) <= 39)
quick = settings(
    max_examples=100 if SOAK else 8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def replay(template: Path, directory: Path, **answers: str) -> Path:
    """Generate with ``answers`` taken as they are, as typed answers are; others would be read as Jinja."""
    context = QUESTIONS | {"python_version": QUESTIONS["python_version"][0]} | answers
    answer_file = directory / "answers.json"
    answer_file.write_text(json.dumps({"cookiecutter": context}), encoding="utf-8")
    done = run_cookiecutter(directory, "--replay-file", str(answer_file), str(template))
    assert done.returncode == 0, done.stderr
    return directory / answers.get("algorithm_name", "my-algorithm")


def contents(project: Path, *but: str) -> dict[str, bytes]:
    """File → what is in it, except the files ``but``."""
    found = {path.relative_to(project).as_posix(): path for path in project.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name not in but}


def runnable(project: Path) -> set[str]:
    return {name for name in contents(project) if os.access(project / name, os.X_OK)}


def test_exactly_these_files_are_generated(project: Path) -> None:
    assert set(contents(project)) == FILES


def test_the_programs_and_scripts_can_be_run(project: Path) -> None:
    assert runnable(project) == RUNNABLE


@pytest.mark.parametrize("version", QUESTIONS["python_version"])
def test_the_chosen_python_is_the_images_python(bake: Bake, version: str) -> None:
    dockerfile = (bake(python_version=version) / "container/Dockerfile").read_text(encoding="utf-8")
    assert f"ARG PYTHON_VERSION={version}\n" in dockerfile
    assert "ARG BASE_IMAGE=python:${PYTHON_VERSION}-slim-bookworm\n" in dockerfile


@quick
@given(name=names)
@example(name="ab")
@example(name="a" * 39)
@example(name="a-1-b")
def test_a_good_name_stands_in_the_readme_in_pyproject_and_in_the_record_alone(
    template: Path, name: str, tmp_path_factory: pytest.TempPathFactory, project: Path
) -> None:
    generated = contents(bake_into(template, tmp_path_factory.mktemp("name"), algorithm_name=name))
    assert tomllib.loads(generated["pyproject.toml"].decode())["project"]["name"] == name
    assert generated["README.md"].startswith(f"# {name}\n".encode())
    default = contents(project)
    changed = {file for file in generated if generated[file] != default[file]}
    assert changed <= {"README.md", "pyproject.toml", RECORD}


@pytest.mark.parametrize(
    "name",
    [
        *["a", "a" * 40, "Churn", "my_algorithm", "my.algorithm", "-a", "a-", "a--b", "1a", "a b", "a\nb", "ab\n"],
        *["模型", "../up", "a/b", "a'b", 'a"b', "a\\b", "$(id)", "a;b", "{{cookiecutter}}", "con", "lpt1"],
    ],
)
def test_a_bad_name_is_refused_with_what_is_allowed_and_leaves_no_file(
    template: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "answers.json").write_text(
        json.dumps({"cookiecutter": QUESTIONS | {"algorithm_name": name}}),
        encoding="utf-8",
    )
    done = run_cookiecutter(folder, "--replay-file", str(tmp_path / "answers.json"), str(template))
    assert done.returncode != 0
    allowed = "give 2 to 39 lower-case .*|Windows keeps it .*"
    assert re.fullmatch(rf"The algorithm_name .* cannot be used: ({allowed})\.", done.stderr.splitlines()[0])
    assert [path for path in tmp_path.rglob("*") if path.is_file() and ".home" not in path.parts] == [
        tmp_path / "answers.json"
    ]


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_is_a_folder_already_is_refused(template: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    done = run_cookiecutter(folder, "--no-input", str(template), f"algorithm_name={name}")
    assert done.returncode != 0
    assert "already exists" in done.stdout
    assert [path for path in tmp_path.iterdir() if path != folder] == []


@quick
@given(description=st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
@example(description="""Kim's "best" \\n C:\\new model""")
@example(description="{{ 7 * 7 }} {% if x %} {# note #} {{")
@example(description="two\nlines\r\nand a tab\t")
@example(description="😀 🇩🇪 \u202e \x00 \x1b[31m")
@example(description="$(touch pwned) `id` ; rm -rf ~ && echo $HOME | tee > x < y !! \"\"\" ''' ")
def test_any_description_arrives_in_the_readme_and_the_record_and_changes_nothing_else(
    template: Path, description: str, tmp_path_factory: pytest.TempPathFactory, project: Path
) -> None:
    generated = contents(replay(template, tmp_path_factory.mktemp("description"), description=description))
    assert description.encode() in generated.pop("README.md")
    assert json.loads(generated.pop(RECORD))["context"]["cookiecutter"]["description"] == description
    assert generated == contents(project, "README.md", RECORD)


def test_typed_answers_are_taken_and_the_next_steps_work_when_pasted(template: Path, tmp_path: Path) -> None:
    typed = run_cookiecutter(tmp_path, str(template), stdin='churn-forest\nSays "who" leaves {{ soon }}\n2\n')
    assert typed.returncode == 0, typed.stderr
    assert 'Says "who" leaves {{ soon }}' in (tmp_path / "churn-forest/README.md").read_text(encoding="utf-8")
    steps = re.findall(r"^ {4}(\S.*?)(?: +#.*)?$", typed.stdout.partition("Next:")[2], re.MULTILINE)
    assert steps == ["cd churn-forest", "make train", "make serve", "make predict"]
    targets = " ".join(step.removeprefix("make ") for step in steps[1:])
    pasted = ["bash", "-c", f"{steps[0]} && make --dry-run {targets}"]
    assert subprocess.run(pasted, cwd=tmp_path, capture_output=True, check=False).returncode == 0


def test_next_steps_name_a_folder_elsewhere_in_full(template: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    elsewhere = tmp_path / "else where"
    done = run_cookiecutter(tmp_path / "here", "--no-input", "--output-dir", str(elsewhere), str(template))
    assert f"cd '{elsewhere}/my-algorithm'" in done.stdout


def test_an_existing_project_is_left_as_it_is(template: Path, tmp_path: Path) -> None:
    mine = bake_into(template, tmp_path) / "container/program/algorithm.py"
    mine.write_text("mine", encoding="utf-8")
    done = run_cookiecutter(tmp_path, "--no-input", str(template))
    assert done.returncode != 0
    assert 'my-algorithm" directory already exists' in done.stdout
    assert mine.read_text(encoding="utf-8") == "mine"


def test_generating_over_a_project_on_demand_gives_the_same_again(template: Path, tmp_path: Path) -> None:
    first = contents(bake_into(template, tmp_path))
    done = run_cookiecutter(tmp_path, "--no-input", "--overwrite-if-exists", str(template))
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "my-algorithm") == first
    assert runnable(tmp_path / "my-algorithm") == RUNNABLE


def test_a_git_address_gives_the_same_project(tmp_path: Path, repository: Path, project: Path) -> None:
    done = run_cookiecutter(tmp_path, "--no-input", f"file://{repository}")
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "my-algorithm", RECORD) == contents(project, RECORD)
    assert runnable(tmp_path / "my-algorithm") == RUNNABLE


def test_a_zip_without_mode_bits_gives_the_same_project(
    template: Path, tmp_path: Path, repository: Path, project: Path
) -> None:
    archive = tmp_path / "template.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.mkdir("template")
        for name, body in contents(template).items():
            zipped.writestr(f"template/{name}", body)
    done = run_cookiecutter(tmp_path, "--no-input", str(archive))
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "my-algorithm", RECORD) == contents(project, RECORD)
    assert runnable(tmp_path / "my-algorithm") == RUNNABLE


def test_refused_hooks_give_the_same_files(template: Path, tmp_path: Path, project: Path) -> None:
    done = run_cookiecutter(tmp_path, "--no-input", "--accept-hooks=no", str(template))
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "my-algorithm", RECORD) == contents(project, RECORD)


def test_no_template_file_holds_a_jinja_block_and_few_hold_an_expression(template: Path, project: Path) -> None:
    """But the page of the report, which is Jinja for `train`, and arrives as it is."""
    page = "container/program/contract/training/report.html"
    assert contents(project)[page] == contents(template / FOLDER)[page]
    texts = {name: body.decode() for name, body in contents(template / FOLDER).items() if name != page}
    assert [name for name, text in texts.items() if "{%" in text or "{#" in text.replace("${#", "")] == []
    assert {name for name, text in texts.items() if "cookiecutter." in text and "{{" in text} == RENDERED


def test_no_jinja_is_left_in_a_project(project: Path) -> None:
    left = [name for name, body in contents(project).items() if b"{{ cookiecutter" in body or b"{{cookie" in body]
    assert left == []


def test_every_name_can_stand_on_windows_and_every_line_ends_in_lf(project: Path) -> None:
    for name, body in contents(project).items():
        assert not re.search(r'[<>:"\\|?*\x00-\x1f]|[. ](/|$)', name), name
        assert not re.search(r"(^|/)(con|prn|aux|nul|com\d|lpt\d)(\.|/|$)", name, re.IGNORECASE), name
        assert b"\r" not in body, name
    assert len({name.lower() for name in FILES}) == len(FILES)
    for attributes in (TEMPLATE / ".gitattributes", project / ".gitattributes"):
        assert "* text=auto eol=lf" in attributes.read_text(encoding="utf-8")


def test_every_file_says_who_owns_it(template: Path, project: Path) -> None:
    """The first lines of a file that a person may open say whether it is theirs or the template's."""
    for name in FILES:
        if name.endswith(
            (
                ".py",
                ".conf",
                ".html",
                ".toml",
                ".txt",
                ".yml",
                ".yaml",
                "contract.md",
                "Makefile",
                "Dockerfile",
                "train",
                "serve",
                ".sh",
            )
        ):
            head = "".join((project / name).read_text(encoding="utf-8").splitlines()[:2])
            assert "Yours" in head or "Template" in head, name
    skipped = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["cruft"]["skip"]
    made_later = ["deploy.toml"]  # by `python -m deploy init`
    assert [path for path in skipped if not (project / path).exists()] == made_later
    yours = {name for name in FILES if (project / name).read_bytes()[:200].find(b"Yours: ") >= 0}
    assert yours <= {name for name in FILES for path in skipped if name == path or name.startswith(path + "/")}


def test_the_data_is_scikit_learns_breast_cancer_data_set(project: Path) -> None:
    import numpy as np
    import pandas as pd
    from sklearn.datasets import load_breast_cancer

    parts = [pd.read_csv(path) for path in sorted((project / "data").rglob("*.csv"))]
    rows = pd.concat([part.drop(columns="diagnosis", errors="ignore") for part in parts]).to_numpy()
    known = load_breast_cancer().data
    assert np.array_equal(rows[np.lexsort(rows.T)], known[np.lexsort(known.T)])
    assert "diagnosis" not in pd.read_csv(project / "data/predict.csv")
