"""The control API, for tests in any language: what came, and what is to go wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, request

from pushover_logging.exceptions import ConfigurationError
from pushover_logging.inbox import rules
from pushover_logging.inbox.faults import Fault, Faults, Match

if TYPE_CHECKING:
    from pushover_logging.inbox.connections import ConnectionLog
    from pushover_logging.inbox.store import Store

_KINDS: dict[str, tuple[type, ...]] = {
    "status": (int,),
    "body": (str, dict),
    "headers": (dict,),
    "delay": (int, float),
    "hang": (bool,),
    "drip": (int, float),
    "reset": (bool,),
    "lost": (bool,),
    "times": (int,),
    "match": (dict,),
    "path": (str,),
}


def create_control(store: Store, faults: Faults, log: ConnectionLog) -> Blueprint:
    """Return the routes under ``/inbox/``."""
    routes = Blueprint("control", __name__, url_prefix="/inbox")

    @routes.get("/messages")
    def list_messages() -> Response:
        return _json(store.messages)

    @routes.delete("/messages")
    def clear_messages() -> Response:
        store.clear()
        return Response(status=204)

    @routes.get("/attempts")
    def list_attempts() -> Response:
        return _json([dataclasses.asdict(attempt) for attempt in store.attempts])

    @routes.post("/faults")
    def add_fault() -> Response:
        try:
            faults.add(fault_from(request.get_json(silent=True)))
        except ConfigurationError as error:
            return _json({"errors": [str(error)]}, 400)
        return Response(status=204)

    @routes.delete("/faults")
    def clear_faults() -> Response:
        faults.clear()
        return Response(status=204)

    @routes.get("/connections")
    def list_connections() -> Response:
        return _json([dataclasses.asdict(connection) for connection in log.connections])

    return routes


def fault_from(options: object) -> Fault:
    """Return the fault that a JSON object describes, its keys as ``Inbox.fail_with`` names them.

    ``match`` is a mapping of field to a text that the field contains.
    Raises ConfigurationError that names what cannot be.
    """
    if not isinstance(options, dict):
        text = "a fault is a JSON object"
        raise ConfigurationError(text)
    for name, value in options.items():
        kinds = _KINDS.get(name)
        if kinds is None:
            text = f"{name!r}: a fault has {', '.join(_KINDS)}"
            raise ConfigurationError(text)
        wrong = not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
        if wrong and not (value is None and name in {"status", "times"}):
            text = f"{name}: {value!r} is no {' or '.join(kind.__name__ for kind in kinds)}"
            raise ConfigurationError(text)
    return made_fault(**{**options, "match": _contains(options.get("match", {}))})


def made_fault(
    *,
    body: str | Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
    **traits: Any,  # noqa: ANN401 - the other fields of a Fault
) -> Fault:
    """Return a fault whose ``body`` may also be a mapping, which becomes JSON."""
    answered = {name: str(value) for name, value in (headers or {}).items()}
    if body is not None and not isinstance(body, str):
        answered = {"Content-Type": "application/json", **answered}
        body = rules.compact(body)
    if body is not None and traits.get("status") is None:
        traits["status"] = 200
    return Fault(body=body or "", headers=answered, **traits)


def _contains(wanted: Mapping[str, object]) -> Match | None:
    if not wanted:
        return None
    return lambda fields: all(str(text) in fields.get(name, "") for name, text in wanted.items())


def _json(body: object, status: int = 200) -> Response:
    return Response(rules.compact(body), status, content_type="application/json")
