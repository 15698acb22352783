"""What the product is compared with besides the plain container: limits of the machine, and other servers."""

import os
from contextlib import ExitStack
from dataclasses import dataclass

import engine
from images import HERE, Images, build

CPUS = len(os.sched_getaffinity(0))
MOUNT = (f"--volume={engine.MOUNTED}:/benchmark:ro", "--env=PYTHONPATH=/opt/program:/benchmark")
NGINX = "nginx -e stderr -c /benchmark"
ASGI_WORKER = "--preload --worker-class asgi --asgi-loop uvloop"
WORKERS = {
    "sync": "--preload --worker-class sync",
    "gthread": "--preload --worker-class gthread --threads 8",
    # Without --preload, because gevent has to replace Python's locks before the application makes its own.
    "gevent": "--worker-class gevent",
}
WITHOUT_NGINX = "product without nginx"
MOSEC = "mosec"
MOSEC_BATCHES = (1, 8)  # its default, best at one connection; and the best of 4, 8, 16 and 32 at 16 connections


@dataclass(frozen=True)
class Server:
    """A program that serves in the product's image."""

    name: str
    command: str
    ping: str = "/ping"


def gunicorn(worker: str, application: str, behind_nginx: bool = False) -> str:
    """The command for gunicorn; its settings but these are its defaults."""
    bind = "unix:/tmp/application.sock" if behind_nginx else "0.0.0.0:8080"
    command = f"gunicorn --workers {CPUS} --no-control-socket {worker} --bind {bind} {application}"
    return f"{NGINX}/front.conf & exec {command}" if behind_nginx else f"exec {command}"


LIMITS = [
    Server("nginx, fixed answer", f"exec {NGINX}/fixed.conf"),
    Server(
        "nginx, gunicorn asgi with uvloop, empty application", gunicorn(ASGI_WORKER, "empty:asgi", behind_nginx=True)
    ),
]


def others() -> list[Server]:
    """Other ways to serve the product's application, and mosec, which hosts none, with the same model."""
    listen = f"--host 0.0.0.0 --port 8080 --workers {CPUS}"
    servers = [
        Server(WITHOUT_NGINX, "rm /usr/sbin/nginx && exec serve"),
        Server("granian, wsgi:app", f"exec granian --interface wsgi {listen} wsgi:app"),
    ]
    for behind in (False, True):
        front = "nginx, " if behind else ""
        for name, worker in WORKERS.items():
            servers.append(Server(f"{front}gunicorn {name}, wsgi:app", gunicorn(worker, "wsgi:app", behind)))
    servers.append(Server("uvicorn with a2wsgi, wsgi:app", f"exec uvicorn {listen} bridged:app"))
    for batch in MOSEC_BATCHES:
        command = f"exec python /benchmark/mosec_worker.py {CPUS} {batch}"
        servers.append(Server(f"{MOSEC}, max_batch_size={batch}", command, ping="/"))
    return servers


def image_of_others(images: Images) -> str:
    """The product's image with the other servers' packages."""
    return build("servers", HERE / "servers", f"--build-arg=PRODUCT={images.product}")


def start(
    stack: ExitStack, servers: list[Server], image: str, options: tuple[str, ...] = ()
) -> dict[str, engine.Container]:
    """The containers of those that come up, for as long as ``stack`` is open."""
    containers = {}
    for server in servers:
        command = ("sh", "-c", server.command)
        serving = engine.serving("server", image, *command, options=(*MOUNT, *options), ping=server.ping)
        try:
            containers[server.name] = stack.enter_context(serving)
        except engine.NotServing as failure:
            engine.say(f"{server.name}: {failure}")  # One that does not run should not keep back the others' figures.
    return containers
