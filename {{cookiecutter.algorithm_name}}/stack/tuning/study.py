"""Template: a study of Optuna's, in a file: what was tried, what came of it, and what to try next."""

import argparse
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from local import runs, tracking
from local.__main__ import machine
from local.project import DATA, MODEL, PROGRAM, ROOT, RUNS, TREE, VENV, LocalError
from stack.tuning.trial import LOG, Trained, drop_model, train

FOLDER = TREE / "tuning"
WIDE = 1000  # a range whose ends are so many times apart is searched by orders of magnitude


class Search:
    """A study from its first trial, which has the defaults of ``algorithm.py``, to as many as are wanted."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments, self.name = arguments, arguments.study
        if not all(letter.isalnum() or letter in "-_" for letter in self.name):
            raise LocalError(f"--study is '{self.name}': give letters, digits, - and _.")
        for pair in arguments.hyperparameters:
            if "=" not in pair:
                raise LocalError(f"The hyperparameter {pair!r} has no value: write name=value.")
        self.fixed = dict(pair.split("=", 1) for pair in arguments.hyperparameters)
        self.space = asked(arguments, self.fixed)
        self.storage = f"sqlite:///{FOLDER / self.name}.db"
        self.study: Any = None
        self.logged = True

    def run(self) -> None:
        """Run the trials that are missing. Raises ``LocalError`` if none of them has a model."""
        chosen = machine()
        tracking.prepare()
        chosen.prepare()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with _alone(self.name):
            self.study = self._resumed() or self._begun(chosen)
            while len(self.done) < self.arguments.trials:
                self._try(chosen)
        best = self.best
        if best is None:
            raise LocalError(f"None of {len(self.done)} trials has a model: the lines above say why.")
        runs.use(_run_of(best))
        if os.environ.get("REGISTER"):
            self.logged &= tracking.log(_run_of(best), os.environ["REGISTER"])

    @property
    def done(self) -> list[FrozenTrial]:
        """The trials that have ended, well or not. One that was interrupted does not count."""
        trials = self.study.get_trials(deepcopy=False) if self.study else []
        return [each for each in trials if each.state.is_finished() and "run" in each.user_attrs]

    @property
    def best(self) -> FrozenTrial | None:
        """The best trial, if one has ended well."""
        return self.study.best_trial if any(each.state is TrialState.COMPLETE for each in self.done) else None

    def _resumed(self) -> Any:
        """The study, if it was begun. Raises ``LocalError`` if its trials would not be comparable with new ones."""
        known = {each.study_name for each in optuna.get_all_study_summaries(self.storage)}
        if self.name not in known:
            return None
        study = optuna.load_study(study_name=self.name, storage=self.storage)
        study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))  # the same one would repeat itself
        kept, wanted = study.user_attrs, self.space["objective"]
        if kept.get("about") != _about(self.space["ranges"], self.fixed) or wanted not in (None, kept["objective"]):
            raise LocalError(
                f"The study '{self.name}' was started with other ranges, hyperparameters, data, packages or code, so "
                "trials cannot be compared with new ones: give another name, OPTIONS='--study NAME'."
            )
        for trial in study.get_trials(states=[TrialState.RUNNING]):  # of a process that was killed
            study.tell(trial.number, state=TrialState.FAIL)
        return study

    def _begun(self, chosen: ModuleType) -> Any:
        """A new study, with the trial of the defaults, unless a hyperparameter has none."""
        objective = self.space["objective"]
        began = time.monotonic()
        first = train(chosen, self.fixed) if self.space["defaults"] else None
        if objective is None:
            if first is None or first.failure:
                reason = first.failure if first else "a hyperparameter has no default"
                raise LocalError(f"Name the metric to compare, OBJECTIVE=NAME: no trial shows it ({reason}).")
            objective = asked(self.arguments, self.fixed, list(first.metrics))["objective"]
        study = optuna.create_study(
            study_name=self.name,
            storage=self.storage,
            direction=objective["Type"].lower(),
            sampler=optuna.samplers.TPESampler(seed=0),
        )
        study.set_user_attr("about", _about(self.space["ranges"], self.fixed))
        study.set_user_attr("objective", objective)
        self.study = study
        if first:
            self._end(study.ask(), first, time.monotonic() - began)
        return study

    def _try(self, chosen: ModuleType) -> None:
        """One trial. Ctrl-C ends it, and it does not count."""
        trial, began = self.study.ask(distributions(self.space["ranges"])), time.monotonic()
        try:
            trained = train(chosen, self.fixed | trial.params)
        except BaseException:  # Ctrl-C too
            self.study.tell(trial, state=TrialState.FAIL)
            raise
        self._end(trial, trained, time.monotonic() - began)

    def _end(self, trial: Trial, trained: Trained, seconds: float) -> None:
        """Keep what came of a trial, and its model if it is the best so far."""
        metric, former = self.study.user_attrs["objective"]["MetricName"], self.best
        value = trained.metrics.get(metric)
        failure = trained.failure or (f"it logged no number as '{metric}'" if value is None else "")
        trial.set_user_attr("run", trained.run.name)
        if failure:
            self.study.tell(trial, state=TrialState.FAIL)
            said = f"failed: {failure} ({os.path.relpath(trained.run / LOG)})"
        else:
            self.study.tell(trial, value)
            said = f"{metric}={value:.6g}"
        best = self.best
        if best and best.number == trial.number:
            said += ", the best so far"
            runs.use(trained.run)
            if former:
                drop_model(_run_of(former))
        else:
            drop_model(trained.run)
        print(f"trial {trial.number}: {_words(trial.params)}: {said}, {seconds:.1f} s", file=sys.stderr, flush=True)
        self.logged &= tracking.log(trained.run, "", f"study={self.name}", f"trial={trial.number}")

    def tell(self) -> None:
        """Print the best trial so far; the last line is the folder of its model."""
        if best := self.best:
            metric = self.study.user_attrs["objective"]["MetricName"]
            words = f"{metric}={best.value:.6g} with {_words(best.params)}"
            print(f"best of {len(self.done)} trials is trial {best.number}: {words}", file=sys.stderr)
            print(f"{MODEL} has its model: `make serve` serves it, `make runs` compares all", file=sys.stderr)
            print(os.path.relpath(_run_of(best) / "model"))


def asked(arguments: argparse.Namespace, fixed: Mapping[str, str], logged: list[str] | None = None) -> dict[str, Any]:
    """What ``stack.tuning.space`` finds. Raises ``LocalError`` if it has printed what is wrong."""
    given = {"objective": arguments.objective, "maximize": arguments.maximize, "hyperparameters": dict(fixed)}
    given |= {"ranges": arguments.range, "metrics": arguments.metric, "logged": logged or []}
    command = [str(VENV / "bin/python"), "-m", "stack.tuning.space", json.dumps(given)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise LocalError("No trial was started: the lines above say why.")
    return dict(json.loads(done.stdout))


def distributions(ranges: Mapping[str, list[Mapping[str, Any]]]) -> dict[str, Any]:
    """SageMaker's ``ParameterRanges`` as Optuna has them."""
    found: dict[str, Any] = {}
    for kind, entries in ranges.items():
        for entry in entries:
            if kind.startswith("Categorical"):
                found[entry["Name"]] = CategoricalDistribution(entry["Values"])
                continue
            low, high = float(entry["MinValue"]), float(entry["MaxValue"])
            wide = low > 0 and high / low >= WIDE
            if kind.startswith("Integer"):
                found[entry["Name"]] = IntDistribution(int(low), int(high), log=wide)
            else:
                found[entry["Name"]] = FloatDistribution(low, high, log=wide)
    return found


def _words(parameters: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in parameters.items()) or "the defaults"


def _run_of(trial: FrozenTrial) -> Path:
    """The folder of a trial's run. Raises ``LocalError`` if it was deleted."""
    run: Path = RUNS / trial.user_attrs["run"]
    if not (run / "model").is_dir():
        raise LocalError(f"{run}, which had the best model so far, no longer exists: give another --study NAME.")
    return run


def _about(*settings: object) -> str:
    """A digest of all that trials must have in common to be compared."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in sorted([*PROGRAM.rglob("*.py"), *PROGRAM.parent.glob("*.lock")]):
        digest.update(path.read_bytes())
    for path in sorted(DATA.rglob("*")):
        digest.update(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    return digest.hexdigest()


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Raises ``LocalError`` if another process works on the study."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalError(f"Another `make tune` is running the study '{name}': wait until it ends.") from None
        yield
