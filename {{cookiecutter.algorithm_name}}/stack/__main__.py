"""Template: ``python3 -m stack up|down|clean``: what `make stack`, `stack-down` and `stack-clean` do."""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from local import client, container, runs, served, tree
from local.progress import follow
from local.project import IMAGE, NAME, ROOT, TREE, LocalError, choice, exit_status, wants_gpu
from stack import dotenv

FOLDER = ROOT / "stack"
CAPTURES = TREE / "captured"
INSIDE = {"serving": 8080, "mlflow": 5000, "postgres": 5432}  # the ports in the containers
SECONDS_TO_START = 600


@exit_status
def main() -> int:
    """Run one command. An error prints one sentence and returns exit status 1."""
    parser = argparse.ArgumentParser(prog="python3 -m stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up").add_argument("hyperparameters", nargs="*", metavar="name=value")
    for name in ("down", "clean"):
        commands.add_parser(name)
    arguments = vars(parser.parse_args())
    command = globals()[arguments.pop("command")]
    require_compose()
    command(**arguments)
    return 0


def up(hyperparameters: list[str]) -> None:
    """Start all services and return when they are healthy. If there is no model, train one first."""
    if not dotenv.FILE.exists():
        require_no_volumes()
        dotenv.make()
    settings = dotenv.read()
    os.environ |= settings | {"IMAGE": IMAGE, "CAPTURES": str(CAPTURES)}  # Compose reads them
    require_free_ports(settings)
    container.prepare()
    build_mlflow()
    folder = model(hyperparameters)
    os.environ |= {"MODEL": str(folder), "MODEL_STATE": state(folder)}
    CAPTURES.mkdir(parents=True, exist_ok=True)  # Docker would make it root's
    if not compose("up", "--detach", "--wait", f"--wait-timeout={SECONDS_TO_START}"):
        compose("logs", "--tail=20")
        raise LocalError("The stack did not become healthy: the lines above say why.")
    port = settings["SERVING_PORT"]
    print(
        f"serving     http://localhost:{port}: `make predict{'' if port == '8080' else f' PORT={port}'}` uses it\n"
        f"MLflow      http://localhost:{settings['MLFLOW_PORT']}\n"
        f"PostgreSQL  localhost:{settings['POSTGRES_PORT']}\n"
        "`set -a; . stack/.env` sets MLFLOW_TRACKING_URI and DATABASE_URL; `make stack-down` stops all and keeps data"
    )


def down() -> None:
    """Stop all services. Their data stay."""
    remove()
    print("stopped: `make stack` starts all again with the same data, `make stack-clean` removes the data")


def clean() -> None:
    """Stop all services, and remove their data and MLflow's image."""
    remove("--volumes", "--rmi=local")
    shutil.rmtree(CAPTURES, ignore_errors=True)
    print("removed: the databases, MLflow's files and its image, the captured requests")


def remove(*options: str) -> None:
    """Remove the containers and networks, and what the options say."""
    os.environ |= dotenv.read() if dotenv.FILE.exists() else dotenv.stand_in()
    if not compose("down", "--remove-orphans", *options):
        raise LocalError("The stack was not stopped: the lines above say why.")


def model(hyperparameters: list[str]) -> Path:
    """The folder of the model to serve, which is trained if there is none, or if ``TRAIN=yes`` asks for it."""
    given, trains = os.environ.get("MODEL"), choice("TRAIN", "no", "yes") == "yes"
    if given and trains:
        raise LocalError("MODEL names a model, but TRAIN=yes trains another one: leave one of them out.")
    if not trains and (given or there_is_a_model()):
        if hyperparameters:
            raise LocalError("There is a model, so HYPERPARAMETERS would not be used: add TRAIN=yes to train again.")
    else:
        run = tree.new_run(hyperparameters)
        container.docker(*composing("run", "--rm", *container.job(run), "training"), failure="Training failed")
        runs.use(run)
    return (served.base() / "model").resolve()


def there_is_a_model() -> bool:
    """Whether there is one to serve if MODEL is not set."""
    try:
        return served.base().is_dir()
    except LocalError:
        return False


def state(folder: Path) -> str:
    """Another text for another model. A folder that was replaced counts too: a container would keep the old one."""
    files = sorted((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*"))
    return hashlib.sha256(repr((folder.stat().st_ino, files)).encode()).hexdigest()


def require_compose() -> None:
    """Raise ``LocalError`` where Docker or its plugin is missing."""
    if problem := container.problem():
        raise LocalError(f"The stack runs in Docker. {problem}")
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0:
        raise LocalError("The stack needs Docker Compose: install its plugin, such as docker-compose-plugin.")


def require_no_volumes() -> None:
    """Raise ``LocalError`` if there is data of this name, for which new passwords would not do."""
    label = f"--filter=label=com.docker.compose.project={NAME}"
    found = subprocess.run(["docker", "volume", "ls", "--quiet", label], capture_output=True, text=True, check=False)
    if found.stdout:
        raise LocalError(
            f"The volumes of a stack {NAME} are here ({', '.join(found.stdout.split())}), but stack/.env with their "
            "passwords is not: bring that file back, or remove the volumes with `make stack-clean`."
        )


def require_free_ports(settings: dict[str, str]) -> None:
    """Raise ``LocalError`` if another program has a port; the stack's own containers may have it."""
    for service, name in dotenv.PORTS.items():
        asked = ["docker", *composing("port", service, str(INSIDE[service]))]
        mine = subprocess.run(asked, capture_output=True, text=True, check=False)
        if mine.stdout.strip() != f"127.0.0.1:{settings[name]}":
            client.require_free_port(int(settings[name]), f"set {name} in stack/.env to another")


def build_mlflow() -> None:
    """Build MLflow's image. Docker builds again only what has changed."""
    done = follow(["docker", *composing("build", "mlflow")])
    if done.status != 0:
        sys.stderr.write(done.log)
        raise LocalError("MLflow's image was not built: the lines above say why.")


def compose(*arguments: str) -> bool:
    """Whether a command of Compose's goes well."""
    return subprocess.run(["docker", *composing(*arguments)], check=False).returncode == 0


def composing(*arguments: str) -> list[str]:
    """Docker's arguments for a command of Compose's, with the files that count."""
    files = [FOLDER / "compose.yaml", *[FOLDER / "compose.gpu.yaml"] * wants_gpu(), FOLDER / "compose.override.yaml"]
    return ["compose", *(f"--file={file}" for file in files if file.exists()), *arguments]


if __name__ == "__main__":
    sys.exit(main())
