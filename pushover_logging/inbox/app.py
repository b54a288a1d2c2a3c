"""The stand-in service's HTTP face: the calls of the API, under ``/1/``."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import HTTPException

from pushover_logging.exceptions import ConfigurationError
from pushover_logging.inbox import rules
from pushover_logging.inbox.account import SOUNDS
from pushover_logging.inbox.control import create_control, wrong
from pushover_logging.inbox.emergencies import Emergencies
from pushover_logging.inbox.page import create_page
from pushover_logging.inbox.parts import Parts
from pushover_logging.inbox.received import Received
from pushover_logging.inbox.serving import API, FAULTS, MAX_BODY_BYTES
from pushover_logging.inbox.store import Sent

Judged = Callable[[dict[str, str]], rules.Refusal]


def create_app(parts: Parts) -> Flask:
    """Return the WSGI application of an inbox that is made of ``parts``."""
    app = Flask(__name__, static_folder=None)
    # The second bounds one form field, which may be an attachment as Base64.
    app.config.update(MAX_CONTENT_LENGTH=MAX_BODY_BYTES, MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES)
    app.register_blueprint(_create_api(parts, Emergencies(parts.store)))
    app.register_blueprint(create_control(parts))
    app.register_blueprint(create_page(parts))
    app.register_error_handler(HTTPException, _refuse)
    app.register_error_handler(ConfigurationError, lambda error: wrong(str(error)))
    return app


def _create_api(parts: Parts, emergencies: Emergencies) -> Blueprint:
    routes = Blueprint("api", __name__, url_prefix="/1")

    @routes.post("/messages.json")
    def send_message() -> Response:
        return _send(parts)

    @routes.post("/users/validate.json")
    def validate_user() -> Response:
        return _call(
            parts,
            lambda fields: parts.store.account.validate(
                fields.get("user", ""), fields.get("device", "")
            ),
        )

    @routes.get("/apps/limits.json")
    def show_limits() -> Response:
        return _call(parts, lambda _fields: rules.success(parts.store.account.quota))

    @routes.get("/sounds.json")
    def list_sounds() -> Response:
        return _call(parts, lambda _fields: rules.success({"sounds": SOUNDS}))

    @routes.get("/receipts/<receipt>.json")
    def show_receipt(receipt: str) -> Response:
        return _call(parts, lambda fields: emergencies.state(receipt, fields["token"]))

    @routes.post("/receipts/<receipt>/cancel.json")
    def cancel_receipt(receipt: str) -> Response:
        return _call(parts, lambda fields: emergencies.cancel(receipt, fields["token"]))

    @routes.post("/receipts/cancel_by_tag/<path:tag>.json")
    def cancel_by_tag(tag: str) -> Response:
        return _call(parts, lambda fields: emergencies.cancel_by_tag(tag, fields["token"]))

    return routes


def _send(parts: Parts) -> Response:
    """Answer a request to send a message."""
    came = Received(request)
    address = request.environ.get("REMOTE_ADDR", ""), int(request.environ.get("REMOTE_PORT", 0))
    sent = Sent(came.fields, came.attachment, came.raw, address)
    attempt = parts.store.begin(sent)
    return _played(
        parts,
        came.fields,
        lambda lost: parts.store.judge(attempt, sent, lost=lost),
        lambda status: parts.store.record(attempt, status),
    )


def _call(parts: Parts, judged: Judged) -> Response:
    """Answer any other call: ``judged`` is asked where the token is one."""
    fields = Received(request).fields

    def judge(_lost: bool) -> rules.Refusal:  # noqa: FBT001 - faults.Judge
        with parts.store.changed:
            refusal = rules.check_token(fields, parts.store.account.refused)
            return refusal or judged(fields)

    return _played(parts, fields, judge, lambda _status: None)


def _played(
    parts: Parts,
    fields: dict[str, str],
    judge: Callable[[bool], rules.Refusal],
    record: Callable[[int], None],
) -> Response:
    status, body, fault = parts.faults.play(request.path, fields, judge, record)
    if fault:
        request.environ[FAULTS].append(fault)
        if not status or fault.status is not None:
            return Response(fault.body, fault.status or 503, fault.headers)
    with parts.store.changed:
        headers = parts.store.account.headers()
    return Response(rules.compact(body), status, headers)


def _refuse(error: HTTPException) -> Response:
    """Answer what no route takes: under the API in its own shape, elsewhere in a line of text."""
    status = error.code or 500
    told = f"{error.name}: {error.description or ''}".strip()
    if not request.path.startswith(API):
        response = Response(f"{told}\n", status, content_type="text/plain; charset=utf-8")
    else:
        body = {"errors": [told], "status": 0, "request": str(uuid.uuid4())}
        response = Response(rules.compact(body), status, content_type="application/json")
    if status == 405:  # noqa: PLR2004 - Method Not Allowed, which names the ones that are
        response.headers["Allow"] = dict(error.get_headers()).get("Allow", "")
    return response
