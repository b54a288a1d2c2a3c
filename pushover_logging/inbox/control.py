"""The control API, for tests in any language: what came, and what is to go wrong."""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, request

from pushover_logging.exceptions import ConfigurationError
from pushover_logging.inbox import rules
from pushover_logging.inbox.callbacks import is_loopback
from pushover_logging.inbox.emergencies import Emergencies
from pushover_logging.inbox.parts import Parts
from pushover_logging.inbox.told import Told, fault_from

# How long one request may wait for messages, in seconds.
MAX_WAIT = 60.0
DEFAULT_WAIT = 10.0


def create_control(parts: Parts) -> Blueprint:
    """Return the routes under ``/inbox/``."""
    routes = Blueprint("control", __name__, url_prefix="/inbox")
    routes.before_request(own_pages_only)
    _add_messages(routes, parts)
    _add_state(routes, parts)
    _add_keys(routes, parts)
    return routes


def _add_messages(routes: Blueprint, parts: Parts) -> None:
    store = parts.store

    @routes.get("/messages")
    def list_messages() -> Response:
        asked = Told(request.args.to_dict())
        count = asked.whole("count", 0, low=0)
        try:
            timeout = asked.number("timeout", DEFAULT_WAIT, high=MAX_WAIT)
            return json_of(store.wait_for(count, timeout))
        except AssertionError as error:
            return json_of({"errors": [str(error)], "messages": store.messages}, 408)

    @routes.delete("/messages")
    def clear_messages() -> Response:
        store.clear()
        return _done()

    @routes.get("/attempts")
    def list_attempts() -> Response:
        return json_of([dataclasses.asdict(attempt) for attempt in store.attempts])

    @routes.post("/receipts/<receipt>/acknowledge")
    def acknowledge(receipt: str) -> Response:
        asked = Told(_body(optional=True))
        by, device = asked.text("by", ""), asked.text("device", "")
        if not Emergencies(store).acknowledge(receipt, by, device):
            return wrong(f"no emergency has the receipt {receipt!r}", 404)
        return _done()


def _add_state(routes: Blueprint, parts: Parts) -> None:
    @routes.post("/faults")
    def add_fault() -> Response:
        parts.faults.add(fault_from(_body()))
        return _done()

    @routes.delete("/faults")
    def clear_faults() -> Response:
        parts.faults.clear()
        return _done()

    @routes.get("/connections")
    def list_connections() -> Response:
        return json_of([dataclasses.asdict(connection) for connection in parts.log.connections])

    @routes.get("/clock")
    def show_clock() -> Response:
        return json_of({"time": parts.clock.time(), "speed": parts.clock.speed})

    @routes.post("/clock")
    def set_clock() -> Response:
        asked = Told(_body())
        speed, advance = asked.number("speed", parts.clock.speed), asked.number("advance", 0.0)
        parts.clock.set_speed(speed)
        parts.clock.advance(advance)
        return show_clock()

    @routes.post("/reset")
    def reset() -> Response:
        parts.reset()
        return _done()


def _add_keys(routes: Blueprint, parts: Parts) -> None:
    account, changing = parts.store.account, parts.store.changing

    @routes.get("/quota")
    def show_quota() -> Response:
        with changing():
            return json_of(account.quota)

    @routes.put("/quota")
    def set_quota() -> Response:
        asked = Told(_body())
        numbers = {name: asked.whole(name) for name in ("limit", "remaining", "reset")}
        with changing():
            account.set_quota(**{name: each for name, each in numbers.items() if name in asked})
        return show_quota()

    @routes.put("/refused")
    def set_refused() -> Response:
        refused = Told({"refused": _json()}).texts("refused")
        with changing():
            account.refused.clear()
            account.refused.update(refused)
        return _done()

    @routes.put("/users/<user>")
    def set_devices(user: str) -> Response:
        devices = Told(_body()).texts("devices")
        with changing():
            account.set_devices(user, devices)
        return _done()

    @routes.put("/groups/<group>")
    def set_group(group: str) -> Response:
        members = Told(_body()).texts("members")
        with changing():
            account.set_group(group, members)
        return _done()


def json_of(body: object, status: int = 200) -> Response:
    """Return an answer in JSON."""
    return Response(rules.compact(body), status, content_type="application/json")


def own_pages_only() -> Response | None:
    """Refuse what another site's page, open in the same browser, sends here.

    Also where that site's name leads to this machine by now: who is here says its address, or
    localhost.
    """
    origin = request.headers.get("Origin", "")
    try:
        foreign = bool(origin) and urlsplit(origin).netloc != request.host
        foreign = foreign or is_rebound()
    except ValueError:
        foreign = True
    if not foreign and request.headers.get("Sec-Fetch-Site") != "cross-site":
        return None
    return wrong("not for the pages of another site", 403)


def is_rebound() -> bool:
    """Tell whether a browser of this machine was led here by the name of another site."""
    here = ipaddress.ip_address(request.remote_addr or "").is_loopback
    return here and not is_loopback(f"http://{request.host}")


def _body(*, optional: bool = False) -> dict[str, Any]:
    """Return the JSON object that came."""
    body = _json()
    if body is None and optional:
        return {}
    if not isinstance(body, dict):
        text = "the body is to be a JSON object"
        raise ConfigurationError(text)
    return body


def _json() -> object:
    """Return what came as JSON; None where it is broken, or too deep to be read."""
    try:
        return request.get_json(silent=True)
    except RecursionError:
        return None


def _done() -> Response:
    return Response(status=204)


def wrong(text: str, status: int = 400) -> Response:
    """Return an answer that says what was wrong."""
    return json_of({"errors": [text]}, status)
