"""The inbox's page: its files, the event stream, older messages, raw requests and pictures.

The stream's events are ``reset`` (the newest messages, which replace all on the page) and
``changes`` (messages added or changed since). The id of an event contains the history's version.
A browser that reconnects sends the last id, and gets the changes since then, or a ``reset``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, abort, render_template, request, send_from_directory

from pushover_logging.inbox import rules, view
from pushover_logging.inbox.control import (
    error_response,
    is_rebound,
    json_response,
    refuse_other_sites,
)
from pushover_logging.inbox.history import MessageFilter, StoredMessage
from pushover_logging.inbox.parameters import MAX_WHOLE, Parameters
from pushover_logging.inbox.store import InboxState

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
DOCS = "https://pypi.org/project/pushover-logging/"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
# Messages in one answer; the page asks for more when it is scrolled.
PAGE_SIZE = 50
# If there are more changes, the page gets a reset.
MAX_CHANGES = 100
# Seconds between events: at least, so that a flood is sent in batches, and at most, so that the
# page notices a dead stream.
MIN_INTERVAL = 0.2
MAX_INTERVAL = 10.0


def create_page(state: InboxState) -> Blueprint:
    """Return the routes of the page."""
    routes = Blueprint("page", __name__, static_folder=None, template_folder="templates")
    routes.before_request(_check_origin)
    routes.after_request(_add_headers)

    @routes.get("/")
    def show_page() -> str:
        url = request.host_url.rstrip("/")
        return render_template("inbox.html", docs=DOCS, environ=rules.environ(url).items())

    @routes.get("/inbox/static/<path:name>")
    def show_file(name: str) -> Response:
        return send_from_directory("static", name)

    @routes.get("/inbox/events")
    def stream_events() -> Response:
        events = EventStream(state, _selected()).events(request.headers.get("Last-Event-ID", ""))
        return Response(events, content_type="text/event-stream")

    @routes.get("/inbox/older")
    def list_older() -> Response:
        before = Parameters(request.args.to_dict()).whole("before", MAX_WHOLE)
        return json_response(_older(state, before, _selected()))

    @routes.get("/inbox/messages/<int:number>/raw")
    def show_raw(number: int) -> Response:
        return Response(_message(state, number).raw, content_type="text/plain; charset=utf-8")

    @routes.get("/inbox/messages/<int:number>/picture")
    def show_picture(number: int) -> Response:
        picture = _message(state, number).picture
        kind = view.picture_type(picture) or abort(404)
        return Response(picture, content_type=kind)

    return routes


class EventStream:
    """The event stream of one page that shows the ``selected`` messages."""

    def __init__(self, state: InboxState, selected: MessageFilter) -> None:
        self._state = state
        self._store = state.store
        self._selected = selected

    def events(self, last_id: str) -> Iterator[bytes]:
        """Yield events until the inbox closes; ``last_id`` is the id of the last received event."""
        epoch, _, version = last_id.partition(".")
        is_known = epoch == self._store.epoch and version.isascii() and version.isdecimal()
        sent = int(version[:15]) if is_known else -1
        yield b"retry: 1000\n\n"
        while True:
            sent, event = self._next(sent)
            yield event
            if self._state.faults.wait(MIN_INTERVAL):
                return
            with self._store.changed:
                if self._store.history.version == sent:
                    self._store.changed.wait(MAX_INTERVAL)

    def _next(self, sent: int) -> tuple[int, bytes]:
        with self._store.changed:
            history = self._store.history
            version = history.version
            changed = history.changed_since(sent, MAX_CHANGES)
            now = self._store.now()
            if changed is None:
                name, body = "reset", _older(self._state, MAX_WHOLE, self._selected)
            else:
                selected = [each for each in changed if self._selected.passes(each.fields)]
                name = "changes"
                body = {"messages": [view.message_view(each, now) for each in selected]}
            body |= {
                "total": len(history),
                "first": history.first,
                "quota": self._store.account.quota,
                "now": now,
                "speed": self._state.clock.speed,
            }
        lines = f"id: {self._store.epoch}.{version}\nevent: {name}\ndata: {json.dumps(body)}\n\n"
        return version, lines.encode()


def _older(state: InboxState, before: int, selected: MessageFilter) -> dict[str, Any]:
    with state.store.changed:
        found, more = state.store.history.before(before, selected, PAGE_SIZE)
        now = state.store.now()
        return {"messages": [view.message_view(each, now) for each in found], "more": more}


def _selected() -> MessageFilter:
    numbers = {name: number for number, name in rules.PRIORITIES.items()}
    names = request.args.get("priority", "").split(",")
    return MessageFilter(
        request.args.get("text", "").strip()[:1000],
        frozenset(numbers[name] for name in names if name in numbers),
    )


def _message(state: InboxState, number: int) -> StoredMessage:
    with state.store.changed:
        return state.store.history.number(number) or abort(404)


def _check_origin() -> Response | None:
    if request.path.startswith("/inbox/"):
        return refuse_other_sites()
    if is_rebound():
        return error_response("open this page by its IP address, or as localhost", 403)
    return None


def _add_headers(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response
