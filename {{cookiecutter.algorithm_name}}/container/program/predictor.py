"""Template: the Flask application. Under gunicorn ``asgi.py`` answers /ping and /invocations, and hands on the rest."""

from collections.abc import Iterator
from concurrent.futures import Future
from itertools import chain
from typing import Any

from flask import Flask, request
from flask import Response as FlaskResponse
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from contract.errors import RequestError
from contract.serving import openapi
from contract.serving.batching import Job
from contract.serving.service import TIMED_OUT, Call, Response, Service, incomplete, refusal, settle

ROUTES = "this server answers POST /invocations and GET /ping, /execution-parameters and /openapi.json"


def create_app(service: Service) -> Flask:
    """The application that serves ``service``'s model."""
    app = Flask("predictor", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = service.settings.body_limit
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False

    @app.before_request
    def start() -> None:
        service.predictor.start(settle)  # not before: threads do not survive a server's fork

    @app.route("/ping", methods=["GET", "POST"])  # H-03
    def ping() -> FlaskResponse:
        return plain(service.health())

    @app.post("/invocations")
    def invocations() -> FlaskResponse:
        call = Call(lambda name: request.headers.get(name, ""))
        refused = service.admit(call.length)
        try:
            if refused:
                raise refused
            job = service.submit(call, request.get_data(cache=False), Future[None]())
            job.future.result(service.settings.timeout)
            return plain(service.respond(call, job), pieces(service, job) if job.pieces else ())
        except TimeoutError:
            return plain(service.respond(call, None, TIMED_OUT))
        except RequestError as error:
            return plain(service.respond(call, None, error))
        finally:
            if not refused:
                service.release(call.length)

    @app.get("/execution-parameters")
    def execution_parameters() -> dict[str, int]:
        return service.execution_parameters()

    @app.get("/openapi.json")
    def description() -> dict[str, Any]:
        return openapi.describe(service.predictor.schema)

    if service.settings.metrics:
        from contract.serving import metrics  # with its library, only where it is asked for

        service.observers.append(metrics.observe)
        app.add_url_rule("/metrics", view_func=metrics.answer)

    @app.errorhandler(HTTPException)
    def no_route(error: HTTPException) -> FlaskResponse:
        call = Call(lambda name: request.headers.get(name, ""))
        answer = plain(refusal(error.code or 500, "no_route", ROUTES, call.id))
        if isinstance(error, MethodNotAllowed):
            answer.allow.update(sorted(error.valid_methods or ()))
        return answer

    return app


def pieces(service: Service, job: Job) -> Iterator[bytes]:
    """The rest of a body that comes piece by piece (H-60)."""
    try:
        while job.answer:
            job.future = Future[None]()
            service.predictor.submit(job)
            job.future.result(service.settings.timeout)
            if job.error:
                raise incomplete(job)
            yield job.answer
    finally:
        job.pieces = None  # as in asgi.py


def plain(response: Response, rest: Iterator[bytes] | tuple[()] = ()) -> FlaskResponse:
    """The same as Flask has it."""
    headers = [(name.decode(), value.decode()) for name, value in response.headers]
    return FlaskResponse(chain([response.body], rest) if rest else response.body, response.status, headers)
