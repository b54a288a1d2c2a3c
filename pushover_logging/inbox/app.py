"""The inbox's WSGI application: the Pushover API under ``/1/``, the control API and the page."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import HTTPException

from pushover_logging.exceptions import ConfigurationError
from pushover_logging.inbox import rules
from pushover_logging.inbox.account import SOUNDS
from pushover_logging.inbox.control import create_control, error_response, other_site
from pushover_logging.inbox.emergencies import Emergencies
from pushover_logging.inbox.http_server import API, FAULTS, MAX_BODY_BYTES
from pushover_logging.inbox.incoming import IncomingRequest
from pushover_logging.inbox.page import create_page
from pushover_logging.inbox.store import InboxState, IncomingMessage

# Not a 501, which a client would try again.
_NOT_SERVED = (
    "not served here: the inbox serves messages, users/validate, sounds, apps/limits and receipts"
)


def create_app(state: InboxState) -> Flask:
    """Return the WSGI application of the inbox with this state."""
    app = Flask(__name__, static_folder=None)
    # The second limits one form field, which can be an attachment as Base64.
    app.config.update(MAX_CONTENT_LENGTH=MAX_BODY_BYTES, MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES)
    app.register_blueprint(_create_api(state, Emergencies(state.store)))
    app.register_blueprint(create_control(state))
    app.register_blueprint(create_page(state))
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(ConfigurationError, lambda error: error_response(str(error)))
    return app


def _create_api(state: InboxState, emergencies: Emergencies) -> Blueprint:
    routes = Blueprint("api", __name__, url_prefix="/1")
    account = state.store.account

    @routes.before_request
    def refuse_other_sites() -> Response | None:
        error = other_site()
        return _refusal(error, HTTPStatus.FORBIDDEN) if error else None

    @routes.post("/messages.json")
    def send_message() -> Response:
        return _send(state)

    @routes.post("/users/validate.json")
    def validate_user() -> Response:
        return _call(
            state,
            lambda fields: account.validate(fields.get("user", ""), fields.get("device", "")),
        )

    @routes.get("/apps/limits.json")
    def show_limits() -> Response:
        return _call(state, lambda _fields: rules.success(account.quota))

    @routes.get("/sounds.json")
    def list_sounds() -> Response:
        return _call(state, lambda _fields: rules.success({"sounds": SOUNDS}))

    @routes.get("/receipts/<receipt>.json")
    def show_receipt(receipt: str) -> Response:
        return _call(state, lambda fields: emergencies.state(receipt, fields["token"]))

    @routes.post("/receipts/<receipt>/cancel.json")
    def cancel_receipt(receipt: str) -> Response:
        return _call(state, lambda fields: emergencies.cancel(receipt, fields["token"]))

    @routes.post("/receipts/cancel_by_tag/<path:tag>.json")
    def cancel_by_tag(tag: str) -> Response:
        return _call(state, lambda fields: emergencies.cancel_by_tag(tag, fields["token"]))

    return routes


def _send(state: InboxState) -> Response:
    """Answer a request to send a message."""
    came = IncomingRequest(request)
    address = request.environ.get("REMOTE_ADDR", ""), int(request.environ.get("REMOTE_PORT", 0))
    message = IncomingMessage(came.fields, came.attachment, came.raw, address)
    attempt = state.store.begin(message)
    return _respond(
        state,
        came.fields,
        lambda lost: state.store.judge(attempt, message, lost=lost),
        lambda status: state.store.record(attempt, status),
    )


def _call(state: InboxState, answer: Callable[[dict[str, str]], rules.ApiAnswer]) -> Response:
    """Answer any other call with ``answer`` if its token is valid."""
    fields, account = IncomingRequest(request).fields, state.store.account

    def judge(_lost: bool) -> rules.ApiAnswer:  # noqa: FBT001 - faults.Judge
        with state.store.changed:
            refusal = rules.check_token(fields, account.takes_token)
            return refusal or answer(fields)

    return _respond(state, fields, judge, lambda _status: None)


def _respond(
    state: InboxState,
    fields: dict[str, str],
    judge: Callable[[bool], rules.ApiAnswer],
    record: Callable[[int], None],
) -> Response:
    status, body, fault = state.faults.answer(request.path, fields, judge, record)
    if fault:
        request.environ[FAULTS].append(fault)
        if not status or fault.status is not None:
            return Response(fault.body, fault.status or 503, fault.headers)
    with state.store.changed:
        headers = state.store.account.headers()
    return Response(rules.compact_json(body), status, headers)


def _http_error(error: HTTPException) -> Response:
    """Answer a request without a route: with JSON under the API, else with a line of text."""
    status = error.code or 500
    text = f"{error.name}: {error.description or ''}".strip()
    if request.path.startswith(API):
        response = _refusal(_NOT_SERVED if status == HTTPStatus.NOT_FOUND else text, status)
    else:
        response = Response(f"{text}\n", status, content_type="text/plain; charset=utf-8")
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = dict(error.get_headers()).get("Allow", "")
    return response


def _refusal(text: str, status: int) -> Response:
    _, body = rules.refusal({}, text)
    return Response(rules.compact_json(body), status, content_type="application/json")
