"""Template: the application as gunicorn runs it: requests wait on an event loop, predictions run in a thread beside it.

So ``/ping`` never waits for a prediction (H-07). What is neither ``/ping`` nor ``/invocations`` is Flask's.
"""

import asyncio
import atexit
import gc
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any, cast

from a2wsgi import WSGIMiddleware

from contract.errors import RequestError
from contract.serving.batching import Job
from contract.serving.negotiation import too_large
from contract.serving.service import TIMED_OUT, Call, Response, incomplete, settle
from wsgi import app as flask_app
from wsgi import service

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

CANNOT_BOOT = 3  # gunicorn ends where a worker ends so, and serve with it (H-09)

flask: Any = WSGIMiddleware(cast(Any, flask_app), workers=1)
service.predictor.rehearse()
atexit.register(service.log.flush)
gc.collect()
gc.freeze()  # P-51: workers share what is loaded, which the collector would touch


async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """The ASGI application."""
    path, method = scope.get("path"), scope.get("method")
    if path == "/invocations" and method == "POST":
        await invocations(scope, receive, send)
    elif path == "/ping" and method in ("GET", "HEAD", "POST"):  # H-03
        await reply(service.health(), send)
    elif scope["type"] == "lifespan":
        await live(receive, send)
    else:
        await flask(scope, receive, send)


async def live(receive: Receive, send: Send) -> None:
    """Take no requests before a prediction has worked (H-05); then watch that none takes too long."""
    await receive()
    loop = asyncio.get_running_loop()
    service.log.later = loop.call_later
    service.predictor.start(lambda jobs: loop.call_soon_threadsafe(settle, jobs))
    while service.predictor.ill and service.predictor.busy:
        await asyncio.sleep(0.002)
    if service.predictor.ill:
        os._exit(CANNOT_BOOT)
    watcher = asyncio.create_task(watch())
    await send({"type": "lifespan.startup.complete"})
    await receive()
    watcher.cancel()
    await send({"type": "lifespan.shutdown.complete"})


async def watch() -> None:
    """End this process where a prediction hangs. Its requests are told so, nginx asks other workers for the rest."""
    while True:
        await asyncio.sleep(1)
        for since, jobs in list(service.predictor.busy.values()):
            if perf_counter() - since > service.settings.timeout:
                for job in jobs if len(jobs) == 1 else ():  # which of several it was nginx will find out
                    job.error = TIMED_OUT
                    settle([job])
                print(f"{TIMED_OUT.message}: this worker is replaced", file=sys.stderr, flush=True)
                asyncio.get_running_loop().call_later(0.5, os._exit, 1)
                return


async def invocations(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """Predict."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    call = Call(lambda name: headers.get(name.encode(), b"").decode("latin-1"))
    refused = service.admit(call.length)
    job = None
    try:
        body = await read(receive, keep=not refused)
        if refused:
            raise refused
        job = service.submit(call, body, asyncio.get_running_loop().create_future())
        await job.future
        response = service.respond(call, job)
    except RequestError as error:
        response = service.respond(call, None, error)
    finally:
        if not refused:
            service.release(call.length)
    more = bool(job and job.pieces and job.answer)
    await reply(response, send, more)
    if job and more:
        await stream(job, receive, send)


async def read(receive: Receive, keep: bool) -> bytes:
    """The whole body; what is not kept is read too, so that the connection can be used again."""
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        chunk, more = message.get("body", b""), message.get("more_body", False)
        size += len(chunk)
        if keep:
            chunks.append(chunk)
            if size > service.settings.body_limit:
                raise too_large(service.settings.body_limit)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def reply(response: Response, send: Send, more: bool = False) -> None:
    """Send an answer, or the begin of one."""
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": more})


async def stream(job: Job, receive: Receive, send: Send) -> None:
    """Send the rest of an answer piece by piece, each computed when the one before has gone (H-60, H-61)."""
    gone = asyncio.ensure_future(receive())
    try:
        while job.answer and not gone.done():
            job.future = asyncio.get_running_loop().create_future()
            service.predictor.submit(job)
            await job.future
            if job.error:
                raise incomplete(job)
            await send({"type": "http.response.body", "body": job.answer, "more_body": bool(job.answer)})
    finally:
        gone.cancel()
        job.pieces = None  # the iterator knows the job: apart they end at once, with what predict() has to clean up
