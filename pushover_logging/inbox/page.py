"""The page, and what keeps it live: its files, the stream of events, older messages, raw requests.

The stream's events are ``reset`` (the newest messages, in place of all that the page shows) and
``changes`` (what came or changed since). Each has the memory's version as its id, which a browser
that comes back after a break sends along: so it catches up, or is told all anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, abort, render_template, request, send_from_directory

from pushover_logging.inbox import rules, view
from pushover_logging.inbox.control import is_rebound, json_of, own_pages_only, wrong
from pushover_logging.inbox.history import Filter, Kept
from pushover_logging.inbox.parts import Parts
from pushover_logging.inbox.told import MAX_WHOLE, Told

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
# Messages in one answer: more come when the reader scrolls to them.
AT_ONCE = 50
# How many changes the page is told one by one, and how often, in seconds: it follows a flood.
MAX_CHANGES = 100
PACE = 0.2
# A stream says at least this often that it lives, in seconds, so that a dead one is noticed.
HEARTBEAT = 10.0


def create_page(parts: Parts) -> Blueprint:
    """Return the routes of the page."""
    routes = Blueprint("page", __name__, static_folder=None, template_folder="templates")
    routes.before_request(_below_inbox)
    routes.after_request(_with_headers)

    @routes.get("/")
    def show_page() -> str:
        url = request.host_url.rstrip("/")
        return render_template("inbox.html", environ=rules.environ(url).items())

    @routes.get("/inbox/static/<path:name>")
    def show_file(name: str) -> Response:
        return send_from_directory("static", name)

    @routes.get("/inbox/events")
    def stream_events() -> Response:
        events = Events(parts, _wanted()).stream(request.headers.get("Last-Event-ID", ""))
        return Response(events, content_type="text/event-stream")

    @routes.get("/inbox/older")
    def list_older() -> Response:
        before = Told(request.args.to_dict()).whole("before", MAX_WHOLE)
        return json_of(_older(parts, before, _wanted()))

    @routes.get("/inbox/messages/<int:number>/raw")
    def show_raw(number: int) -> Response:
        return Response(_kept(parts, number).raw, content_type="text/plain; charset=utf-8")

    @routes.get("/inbox/messages/<int:number>/picture")
    def show_picture(number: int) -> Response:
        picture = _kept(parts, number).picture
        kind = view.picture_type(picture) or abort(404)
        return Response(picture, content_type=kind)

    return routes


class Events:
    """The stream of one page that shows what ``wanted`` lets through."""

    def __init__(self, parts: Parts, wanted: Filter) -> None:
        self._parts = parts
        self._store = parts.store
        self._wanted = wanted

    def stream(self, last: str) -> Iterator[bytes]:
        """Yield events until the inbox closes; ``last`` is the id of the last one that was got."""
        epoch, _, version = last.partition(".")
        known = epoch == self._store.epoch and version.isascii() and version.isdecimal()
        seen = int(version[:15]) if known else -1
        yield b"retry: 1000\n\n"
        while True:
            seen, event = self._next(seen)
            yield event
            # A flood is told in lots, so that page and sender both get their time.
            if self._parts.faults.wait(PACE):
                return
            with self._store.changed:
                if self._store.history.version == seen:
                    self._store.changed.wait(HEARTBEAT)

    def _next(self, seen: int) -> tuple[int, bytes]:
        with self._store.changed:
            history = self._store.history
            version = history.version
            changed = history.changed_since(seen, MAX_CHANGES)
            now = self._store.now()
            if changed is None:
                name, body = "reset", _older(self._parts, MAX_WHOLE, self._wanted)
            else:
                passing = [kept for kept in changed if self._wanted.passes(kept.message)]
                name = "changes"
                body = {"messages": [view.shown(kept, now) for kept in passing]}
            body |= {
                "total": len(history),
                "first": history.first,
                "quota": self._store.account.quota,
                "now": now,
                "speed": self._parts.clock.speed,
            }
        lines = f"id: {self._store.epoch}.{version}\nevent: {name}\ndata: {json.dumps(body)}\n\n"
        return version, lines.encode()


def _older(parts: Parts, before: int, wanted: Filter) -> dict[str, Any]:
    with parts.store.changed:
        found, more = parts.store.history.before(before, wanted, AT_ONCE)
        now = parts.store.now()
        return {"messages": [view.shown(kept, now) for kept in found], "more": more}


def _wanted() -> Filter:
    numbers = {name: number for number, name in rules.PRIORITIES.items()}
    asked = request.args.get("priority", "").split(",")
    return Filter(
        request.args.get("text", "").strip()[:1000],
        frozenset(numbers[name] for name in asked if name in numbers),
    )


def _kept(parts: Parts, number: int) -> Kept:
    with parts.store.changed:
        return parts.store.history.number(number) or abort(404)


def _below_inbox() -> Response | None:
    if request.path.startswith("/inbox/"):
        return own_pages_only()
    return wrong("known here by its address, or as localhost", 403) if is_rebound() else None


def _with_headers(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response
