"""The control API under ``/inbox/``: what ``Inbox`` offers in Python, for tests in any language."""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, request

from pushover_logging.exceptions import ConfigurationError
from pushover_logging.inbox import rules
from pushover_logging.inbox.emergencies import Emergencies, is_loopback
from pushover_logging.inbox.faults import fault_from_json
from pushover_logging.inbox.parameters import Parameters
from pushover_logging.inbox.store import InboxState

# Seconds for which a request can wait for messages.
MAX_WAIT = 60.0
DEFAULT_WAIT = 10.0


def create_control(state: InboxState) -> Blueprint:
    """Return the routes under ``/inbox/``."""
    routes = Blueprint("control", __name__, url_prefix="/inbox")
    routes.before_request(refuse_other_sites)
    _add_messages(routes, state)
    _add_faults_and_clock(routes, state)
    _add_account(routes, state)
    return routes


def _add_messages(routes: Blueprint, state: InboxState) -> None:
    store = state.store

    @routes.get("/messages")
    def list_messages() -> Response:
        parameters = Parameters(request.args.to_dict())
        count = parameters.whole("count", 0, low=0)
        timeout = parameters.number("timeout", DEFAULT_WAIT, high=MAX_WAIT)
        try:
            return json_response(store.wait_for(count, timeout))
        except AssertionError as error:
            return json_response({"errors": [str(error)], "messages": store.messages}, 408)

    @routes.delete("/messages")
    def clear_messages() -> Response:
        store.clear()
        return _done()

    @routes.get("/attempts")
    def list_attempts() -> Response:
        return json_response([dataclasses.asdict(attempt) for attempt in store.attempts])

    @routes.post("/receipts/<receipt>/acknowledge")
    def acknowledge(receipt: str) -> Response:
        parameters = Parameters(_body(optional=True))
        by, device = parameters.text("by", ""), parameters.text("device", "")
        if not Emergencies(store).acknowledge(receipt, by, device):
            return error_response(f"no emergency has the receipt {receipt!r}", 404)
        return _done()


def _add_faults_and_clock(routes: Blueprint, state: InboxState) -> None:
    @routes.post("/faults")
    def add_fault() -> Response:
        state.faults.add(fault_from_json(_body()))
        return _done()

    @routes.delete("/faults")
    def clear_faults() -> Response:
        state.faults.clear()
        return _done()

    @routes.get("/connections")
    def list_connections() -> Response:
        connections = state.log.connections
        return json_response([dataclasses.asdict(connection) for connection in connections])

    @routes.get("/clock")
    def show_clock() -> Response:
        return json_response({"time": state.clock.time(), "speed": state.clock.speed})

    @routes.post("/clock")
    def set_clock() -> Response:
        parameters = Parameters(_body())
        speed = parameters.number("speed", state.clock.speed)
        advance = parameters.number("advance", 0.0)
        state.clock.set_speed(speed)
        state.clock.advance(advance)
        return show_clock()

    @routes.post("/reset")
    def reset() -> Response:
        state.reset()
        return _done()


def _add_account(routes: Blueprint, state: InboxState) -> None:
    account, changing = state.store.account, state.store.changing

    @routes.get("/quota")
    def show_quota() -> Response:
        with changing():
            return json_response(account.quota)

    @routes.put("/quota")
    def set_quota() -> Response:
        parameters = Parameters(_body())
        numbers = {name: parameters.whole(name) for name in ("limit", "remaining", "reset")}
        with changing():
            account.set_quota(
                **{name: number for name, number in numbers.items() if name in parameters}
            )
        return show_quota()

    @routes.put("/refused")
    def set_refused() -> Response:
        refused = Parameters({"refused": _json()}).texts("refused")
        with changing():
            account.refused.clear()
            account.refused.update(refused)
        return _done()

    @routes.put("/users/<user>")
    def set_devices(user: str) -> Response:
        devices = Parameters(_body()).texts("devices")
        with changing():
            account.set_devices(user, devices)
        return _done()

    @routes.put("/groups/<group>")
    def set_group(group: str) -> Response:
        members = Parameters(_body()).texts("members")
        with changing():
            account.set_group(group, members)
        return _done()


def json_response(body: object, status: int = 200) -> Response:
    """Return a response with ``body`` as JSON."""
    return Response(rules.compact_json(body), status, content_type="application/json")


def error_response(text: str, status: int = 400) -> Response:
    """Return a response whose ``errors`` has this text."""
    return json_response({"errors": [text]}, status)


def refuse_other_sites() -> Response | None:
    """Refuse requests of another site's page in a browser on this machine, else return None."""
    error = other_site()
    return error_response(error, 403) if error else None


def other_site() -> str:
    """Return the error if the request is of another site's page in a browser, else ""."""
    origin = request.headers.get("Origin", "")
    try:
        is_foreign = bool(origin) and urlsplit(origin).netloc != request.host
        is_foreign = is_foreign or is_rebound()
    except ValueError:
        is_foreign = True
    # "same-site" is another port of this machine; only browsers send the header.
    site = request.headers.get("Sec-Fetch-Site", "none")
    if is_foreign or site not in {"none", "same-origin"}:
        return "pages of other sites have no access"
    return ""


def is_rebound() -> bool:
    """Return True if a local client uses a host name other than localhost (DNS rebinding)."""
    is_local = ipaddress.ip_address(request.remote_addr or "").is_loopback
    return is_local and not is_loopback(f"http://{request.host}")


def _body(*, optional: bool = False) -> dict[str, Any]:
    """Return the JSON object in the request's body."""
    body = _json()
    if body is None and optional:
        return {}
    if not isinstance(body, dict):
        text = "the body is not a JSON object"
        raise ConfigurationError(text)
    return body


def _json() -> object:
    """Return the JSON in the request's body; None if it is invalid or nested too deeply."""
    try:
        return request.get_json(silent=True)
    except RecursionError:
        return None


def _done() -> Response:
    return Response(status=204)
