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
GTHREAD_WORKER = "--preload --worker-class gthread --threads 8"
# Without --preload, because gevent has to replace Python's locks before the application makes its own.
WORKERS = {"sync": "--preload --worker-class sync", "gthread": GTHREAD_WORKER, "gevent": "--worker-class gevent"}


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


def limits(images: Images) -> list[Server]:
    """What no application can pass: nginx alone, and nginx with gunicorn and an application that does nothing."""
    # The worker that the product has: coroutines if uvloop is in its image, else threads.
    asgi = images.has_module("uvloop")
    worker, application = (ASGI_WORKER, "empty:asgi") if asgi else (GTHREAD_WORKER, "empty:wsgi")
    kind = "asgi with uvloop" if asgi else "gthread"
    return [
        Server("nginx, fixed answer", f"exec {NGINX}/fixed.conf"),
        Server(f"nginx, gunicorn {kind}, empty application", gunicorn(worker, application, behind_nginx=True)),
    ]


def others(images: Images) -> list[Server]:
    """Other ways to serve the product's own applications."""
    listen = f"--host 0.0.0.0 --port 8080 --workers {CPUS}"
    servers = [Server("granian, wsgi:app", f"exec granian --interface wsgi {listen} wsgi:app")]
    for behind in (False, True):
        front = "nginx, " if behind else ""
        for name, worker in WORKERS.items():
            servers.append(Server(f"{front}gunicorn {name}, wsgi:app", gunicorn(worker, "wsgi:app", behind)))
        if images.has_module("asgi"):
            servers.append(Server(f"{front}gunicorn asgi, asgi:app", gunicorn(ASGI_WORKER, "asgi:app", behind)))
    servers.append(Server("uvicorn with a2wsgi, wsgi:app", f"exec uvicorn {listen} bridged:app"))
    if images.has_module("asgi"):
        servers.append(Server("uvicorn, asgi:app", f"exec uvicorn {listen} asgi:app"))
    # It cannot host an application: what is measured is the same model, with a reader of its own that checks nothing.
    servers.append(Server("mosec, own worker", f"exec python /benchmark/mosec_worker.py {CPUS}", ping="/"))
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
