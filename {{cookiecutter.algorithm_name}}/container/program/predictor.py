"""Template: the Flask application: a request is decoded, predicted and encoded."""

import uuid

from flask import Flask, Response, json, request
from werkzeug.exceptions import HTTPException

from contract import predictions, rows
from contract.errors import RequestError, UserError
from contract.failure import describe
from contract.interface import Algorithm

CSV, JSON = "text/csv", "application/json"


def create_app(algorithm: Algorithm, model: object) -> Flask:
    """The application that serves ``model``."""
    app = Flask("predictor", static_folder=None)
    app.logger.setLevel("INFO")
    features = list(algorithm.features(model))

    @app.route("/ping", methods=["GET", "POST"])  # H-03
    def ping() -> Response:
        return Response(mimetype="text/plain")  # H-05: the application exists only once the model is loaded

    @app.post("/invocations")
    def invocations() -> Response:
        body = request.get_data(cache=False)
        given = content_type(body)
        wanted = accept(given)
        batch = decode(body, given, features)
        columns = predictions.check(algorithm.predict(model, batch), len(batch))
        encode = predictions.to_csv if wanted == CSV else predictions.to_json
        return Response(encode(columns), mimetype=wanted)  # H-25

    @app.after_request
    def log(response: Response) -> Response:
        if request.path != "/ping":  # P-54: it comes every few seconds
            app.logger.info("%s %s %s", request.method, request.path, response.status_code)
        return response

    @app.errorhandler(RequestError)
    def refuse(error: RequestError) -> Response:
        return failed(error.status, error.code, error.message)

    @app.errorhandler(HTTPException)
    def no_route(error: HTTPException) -> Response:
        return failed(error.code or 500, "no_route", "this server answers POST /invocations and GET /ping")

    @app.errorhandler(Exception)
    def bug(error: Exception) -> Response:
        number = uuid.uuid4().hex[:12]
        app.logger.error("error %s: %s", number, describe(error))
        if isinstance(error, UserError):
            return failed(500, "algorithm_error", str(error))
        return failed(500, "internal_error", f"the algorithm failed; the log says why under {number}")

    return app


def content_type(body: bytes) -> str:
    """The type of the request without parameters, in lower case (H-21); where none is given, a guess (H-22)."""
    given = request.mimetype or (JSON if body.lstrip()[:1] in (b"{", b"[") else CSV)
    if given not in (CSV, JSON):
        raise RequestError(415, "unsupported_media_type", f"send {CSV} or {JSON} and say so in Content-Type")
    return given


def accept(given: str) -> str:
    """The type to answer in: what Accept prefers; without a preference, the type of the request (H-24)."""
    if not request.accept_mimetypes:
        return given
    wanted = request.accept_mimetypes.best_match([given, JSON if given == CSV else CSV])
    if wanted is None:
        raise RequestError(406, "not_acceptable", f"the answer can be {CSV} or {JSON}: name one of them in Accept")
    return wanted


def decode(body: bytes, given: str, features: list[str]) -> rows.Rows:
    """The rows of the request (H-23)."""
    if given == CSV:
        return rows.from_csv(body, features, header=request.mimetype_params.get("header") == "present")
    return rows.from_json(body, features)


def failed(status: int, code: str, message: str) -> Response:
    """The one shape of all errors (H-55)."""
    body = json.dumps({"error": {"code": code, "message": message}}) + "\n"
    return Response(body, status, mimetype=JSON)
