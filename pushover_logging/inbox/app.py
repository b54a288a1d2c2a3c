"""The stand-in service's HTTP face: the API's call to send, and a page to look at what came."""

from __future__ import annotations

import datetime as dt
import secrets
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response, render_template, request

from pushover_logging.inbox import rules
from pushover_logging.inbox.control import create_control
from pushover_logging.inbox.serving import FAULTS, MAX_BODY_BYTES

if TYPE_CHECKING:
    from pushover_logging.inbox.connections import ConnectionLog
    from pushover_logging.inbox.faults import Faults
    from pushover_logging.inbox.store import Store

# What a page that is loaded every two seconds shows.
SHOWN = 200


def create_app(store: Store, faults: Faults, log: ConnectionLog) -> Flask:
    """Return the WSGI application that fills ``store``, shows what is in it, and is told faults."""
    app = Flask(__name__, static_folder=None)
    # The second bounds one form field, which may be an attachment as Base64.
    app.config.update(MAX_CONTENT_LENGTH=MAX_BODY_BYTES, MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES)

    @app.post("/1/messages.json")
    def post_message() -> Response:
        address = request.environ.get("REMOTE_ADDR", "")
        port = int(request.environ.get("REMOTE_PORT", 0))
        answer = store.answer(_fields(request), _attachment(request), (address, port))
        if answer.fault:
            request.environ[FAULTS].append(answer.fault)
        response = Response(answer.body, answer.status)
        response.headers.update(answer.headers)
        return response

    app.register_blueprint(create_control(store, faults, log))

    @app.get("/")
    def show_messages() -> Response:
        messages = store.messages
        nonce = secrets.token_urlsafe(16)
        newest = [_shown(message) for message in reversed(messages[-SHOWN:])]
        page = render_template("messages.html", messages=newest, count=len(messages), nonce=nonce)
        policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"}
        return Response(page, headers={**headers, "Cache-Control": "no-store"})

    return app


def _fields(received: Request) -> dict[str, str]:
    if not received.is_json:
        return received.form.to_dict()
    body = received.get_json(silent=True)
    if not isinstance(body, dict):
        return {}
    return {name: _text(value) for name, value in body.items() if value is not None}


def _text(value: object) -> str:
    # JSON's true stands for the form's 1.
    return str(int(value)) if isinstance(value, bool) else str(value)


def _attachment(received: Request) -> rules.Attachment | None:
    file = received.files.get("attachment")
    if file is None:
        return None
    return rules.Attachment(file.filename or "", file.mimetype, len(file.read()))


def _shown(message: dict[str, Any]) -> dict[str, Any]:
    came = dt.datetime.fromtimestamp(message["received"], dt.timezone.utc)
    priority = rules.PRIORITIES[message.get("priority") or "0"]
    return {**message, "priority_name": priority, "came": came.astimezone()}
