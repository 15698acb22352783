"""Template: the Flask application. gunicorn's worker itself answers /ping and POST /invocations, as this does too."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from flask import Flask, request
from flask import Response as FlaskResponse
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from contract.errors import RequestError
from contract.serving import openapi
from contract.serving.response import Response
from contract.serving.service import Service

ROUTES = "this server answers POST /invocations and GET /ping, /execution-parameters and /openapi.json"


def create_app(service: Service) -> Flask:
    """The application that serves ``service``'s model."""
    app = Flask("predictor", static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.extensions["service"] = service

    @app.route("/ping", methods=["GET", "POST"])  # H-03
    def ping() -> FlaskResponse:
        service.start()
        return flask_response(service.health())

    @app.post("/invocations")
    def invocations() -> FlaskResponse:
        service.start()
        return flask_response(*service.answer(headers(), request.stream))

    @app.get("/execution-parameters")
    def execution_parameters() -> dict[str, int]:
        return service.execution_parameters()

    @app.get("/openapi.json")
    def description() -> dict[str, Any]:
        return openapi.describe(service.inference.schema)

    if service.settings.metrics:
        from contract.serving import metrics  # imports a library, so only if it is set

        service.observers.append(metrics.observe)
        app.add_url_rule("/metrics", view_func=metrics.answer)

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> FlaskResponse:
        status = error.code or 500
        known = {404: ("no_route", ROUTES), 405: ("no_route", ROUTES), 500: ("internal_error", "the log says why")}
        code, message = known.get(status, ("bad_request", error.description or error.name))
        response = flask_response(service.refuse(RequestError(status, code, message), headers()))
        if isinstance(error, MethodNotAllowed):
            response.allow.update(sorted(error.valid_methods or ()))
        return response

    return app


def headers() -> dict[bytes, bytes]:
    """The headers of the request."""
    return {name.lower().encode(): value.encode("latin-1", "replace") for name, value in request.headers}


def flask_response(response: Response, rest: Iterator[bytes] | None = None) -> FlaskResponse:
    """The same response for Flask."""
    named = [(name.decode(), value.decode()) for name, value in response.headers]
    return FlaskResponse(chain([response.body], rest) if rest else response.body, response.status, named)
