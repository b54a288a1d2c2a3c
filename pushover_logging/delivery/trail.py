"""The trail: what one task, request or thread logged below the handler's level before a problem."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from pushover_logging.identity.record_parts import message_text

LINES = 64  # of a context that are remembered
CONTEXTS = 256
MAX_AGE = 300.0  # seconds
_MAX_TEXT = 500  # characters of a line; fewer are shown
_EVICTED_AT_ONCE = CONTEXTS // 16
_MODULES = sys.modules

_NOTHING: Callable[[], Any] = lambda: None  # noqa: E731  stands for a reference
_Line = tuple[float, str, str, str]
"""The time of a record, its level's name, its logger's, and its text."""


class _Context:
    """What the lines of a trail have in common: a task, else a thread, and a request if any.

    A thread is not of the task that hands it its context: whether that task is the one that logged
    there first, or one that inherited the context from it, cannot be seen.
    """

    __slots__ = ("_request", "_task", "_thread")

    def __init__(self, task: Any, request: object) -> None:  # noqa: ANN401  an asyncio.Task
        self._thread = threading.get_ident()
        self._task = _NOTHING if task is None else weakref.ref(task)
        self._request = _NOTHING if request is None else weakref.ref(request)

    def is_current(self, task: object, request: object) -> bool:
        return (
            self._thread == threading.get_ident()
            and (self._task is _NOTHING if task is None else self._task() is task)
            and (self._request is _NOTHING if request is None else self._request() is request)
        )


_CONTEXT: ContextVar[_Context | None] = ContextVar("pushover_logging_trail", default=None)
"""Set at a context's first line; a task or thread that inherits another's replaces that."""
_SIGNALS = {
    "django.core.signals": ("request_started",),
    "celery.signals": ("task_prerun", "task_postrun"),
}
"""They begin a context: Django has no variable for a request, and Celery's for a job is slow."""
_FOLLOWED: set[str] = set()  # of them, those that `_begin` is connected to


class Trail:
    """Remembers lines for one handler; the last ``count`` are shown.

    Any thread may call, and a signal handler may interrupt: each step is one operation of a dict or
    a deque, and two threads that forget contexts at once forget some more. The lines' texts are
    made at once, because arguments can change; secrets are removed by the formatter. A fork's child
    calls `clear`; at exit nothing here has to be closed.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        # By context; empty until a line is remembered.
        self.rings: dict[_Context, deque[_Line]] = {}

    def take(self, record: logging.LogRecord) -> None:
        """Remember a record below the handler's level."""
        try:
            text = record.getMessage() if type(record.msg) is str else message_text(record)
            ring = self.rings.get(_context()) or self._new_ring()
            ring.append((float(record.created), record.levelname, record.name, text[:_MAX_TEXT]))
        except Exception:  # noqa: BLE001, S110  no text, no line; `suppress` costs as much
            pass

    def lines(self, record: logging.LogRecord) -> list[str]:
        """Return the last lines of a record's context that are older, at most five minutes.

        No lines for a record of another thread or task, as a queue hands it over, and for one of
        asyncio's own, which reports a task when another one has its turn. Never raises.
        """
        try:
            return self._lines(record)
        except Exception:  # noqa: BLE001  a name without a text, or a framework's own changes
            return []

    def _lines(self, record: logging.LogRecord) -> list[str]:
        task, named = _task(), getattr(record, "taskName", None)
        if (
            record.name == "asyncio"
            or record.thread not in {None, threading.get_ident()}
            or (named is not None and (task is None or task.get_name() != named))
        ):
            return []
        end = record.created
        return [
            f"{time.strftime('%H:%M:%S', time.localtime(created))} {level} {name}: "
            + " ".join(text.split())
            for created, level, name, text in self.rings.get(_context(), deque()).copy()
            if end - MAX_AGE <= created <= end
        ][-self._count :]

    def clear(self) -> None:
        """Forget all lines."""
        self.rings = {}

    def _new_ring(self) -> deque[_Line]:
        if len(self.rings) >= CONTEXTS:
            self._make_room()
        return self.rings.setdefault(_context(), deque(maxlen=LINES))

    def _make_room(self) -> None:
        """Forget the contexts that were silent for longest."""
        ranked = sorted(self.rings.copy().items(), key=lambda item: item[1][-1][0])
        for context, _ in ranked[:_EVICTED_AT_ONCE]:
            self.rings.pop(context, None)


@contextlib.contextmanager
def elsewhere() -> Iterator[None]:
    """Give what is logged within the block no trail: the garbage collector runs in any context."""
    token = _CONTEXT.set(None)
    try:
        yield
    finally:
        _CONTEXT.reset(token)


def _context() -> _Context:
    """Return the current context, a new one if the last line was another's."""
    for name in _SIGNALS:
        if name in _MODULES and name not in _FOLLOWED:
            _follow(name)
    task, request = _task(), _request()
    context = _CONTEXT.get()
    if context is None or not context.is_current(task, request):
        context = _Context(task, request)
        _CONTEXT.set(context)
    return context


def _task() -> Any:  # noqa: ANN401  an asyncio.Task, whose import most programs do without
    """Return the task that runs in this thread, or None."""
    asyncio = _MODULES.get("asyncio")
    loop = asyncio._get_running_loop() if asyncio is not None else None  # noqa: SLF001
    return None if asyncio is None or loop is None else asyncio.current_task(loop)


def _request() -> object:
    """Return what stands for Flask's request that a thread works on, or None."""
    flask = _MODULES.get("flask.globals")
    if flask is None:
        return None
    variable = getattr(flask, "_cv_request", None) or flask._cv_app  # noqa: SLF001
    return variable.get(None)


def _follow(name: str) -> None:
    """Begin a context with each request or job of a framework, from now on."""
    signals = [getattr(_MODULES[name], signal) for signal in _SIGNALS[name]]
    _FOLLOWED.add(name)  # first: a signal handler's line would wait for the lock of `connect`
    for signal in signals:
        signal.connect(_begin)


def _begin(**_: object) -> None:
    _CONTEXT.set(None)
