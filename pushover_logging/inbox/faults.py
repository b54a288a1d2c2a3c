"""InjectedFault and FaultQueue: the faults of a service or network that a test asks for."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pushover_logging.exceptions import ConfigurationError
from pushover_logging.inbox import rules

MESSAGES_PATH = "/1/messages.json"
# The final status codes of HTTP; those below 200 only announce another answer.
MIN_STATUS, MAX_STATUS = 200, 599
# RFC 9110, section 5.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_JSON_TYPES: dict[str, tuple[type, ...]] = {
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

Match = Callable[[Mapping[str, str]], bool]
Judge = Callable[[bool], rules.ApiAnswer]


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """One fault, for the next ``times`` requests (None: until cleared) to ``path``.

    ``status``, ``body`` and ``headers`` replace the answer: nothing is checked or accepted, and
    there are no quota headers. A body or headers without a status have status 200. Without
    the three, the answer is the usual one, ``delay`` seconds late, or its body one byte every
    ``drip`` seconds. ``hang`` never answers. ``reset`` breaks the connection (a TCP reset) before
    anything is accepted. ``lost`` accepts the message and ends the connection without an answer.
    ``match`` decides by a request's fields whether the fault applies. ``path`` is the beginning of
    the request's path, ``/1/`` for all of the API.
    Raises ConfigurationError for a fault that is contradictory or out of range.
    """

    status: int | None = None
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    hang: bool = False
    drip: float = 0.0
    reset: bool = False
    lost: bool = False
    times: int | None = 1
    match: Match | None = None
    path: str = MESSAGES_PATH

    def __post_init__(self) -> None:
        """Check the fault, and set the default status of a body or headers."""
        if (self.times is not None and self.times < 1) or self.delay < 0 or self.drip < 0:
            text = (
                "a fault takes times >= 1 (or None), delay >= 0 and drip >= 0, "
                f"got {self.times}, {self.delay} and {self.drip}"
            )
            raise ConfigurationError(text)
        if self.status is None and (self.body or self.headers):
            object.__setattr__(self, "status", 200)
        if self.status is not None and not MIN_STATUS <= self.status <= MAX_STATUS:
            text = f"status: {self.status} is not from {MIN_STATUS} to {MAX_STATUS}"
            raise ConfigurationError(text)
        for name, value in self.headers.items():
            if not (_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value)):
                text = f"headers: {name!r:.100}: {value!r:.100} is not an HTTP header"
                raise ConfigurationError(text)
        answers = self.status is not None or self.drip > 0
        if sum((self.hang, self.reset, self.lost, answers)) > 1:
            text = "a fault takes only one of hang, reset, lost, and an answer (status or drip)"
            raise ConfigurationError(text)

    def applies_to(self, path: str, fields: Mapping[str, str]) -> bool:
        """Return True if the fault applies to a request to ``path`` with ``fields``."""
        return path.startswith(self.path) and (self.match is None or self.match(fields))


def new_fault(
    *,
    body: str | Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
    **options: Any,  # noqa: ANN401 - the other fields of an InjectedFault
) -> InjectedFault:
    """Return a fault; a mapping as ``body`` becomes JSON."""
    texts = {name: str(value) for name, value in (headers or {}).items()}
    if body is not None and not isinstance(body, str):
        texts = {"Content-Type": "application/json", **texts}
        body = rules.compact_json(body)
    if body is not None and options.get("status") is None:
        options["status"] = 200
    return InjectedFault(body=body or "", headers=texts, **options)


def fault_from_json(options: Mapping[str, Any]) -> InjectedFault:
    """Return the fault that a JSON object describes, with the parameters of ``Inbox.fail_with``.

    ``match`` maps fields to texts that they contain. Raises ConfigurationError that names the wrong
    parameter.
    """
    for name, value in options.items():
        types = _JSON_TYPES.get(name)
        if types is None:
            text = f"{name!r:.100}: a fault has {', '.join(_JSON_TYPES)}"
            raise ConfigurationError(text)
        is_wrong = not isinstance(value, types) or (isinstance(value, bool) and bool not in types)
        if is_wrong and not (value is None and name in {"status", "times"}):
            text = f"{name}: {value!r:.100} is not {' or '.join(each.__name__ for each in types)}"
            raise ConfigurationError(text)
    return new_fault(**{**options, "match": _contains(options.get("match"))})


def _contains(texts: Mapping[str, object] | None) -> Match | None:
    if not texts:
        return None
    return lambda fields: all(str(text) in fields.get(name, "") for name, text in texts.items())


class FaultQueue:
    """The queued faults; all waits of faults happen here, so that `close` can end them."""

    def __init__(self) -> None:
        # Protects the queue: server threads take from it, tests add to it. Reentrant, so that a
        # fault's `match` can call the inbox. Never acquired while holding the store's lock.
        self._lock = threading.RLock()
        self._queue: list[tuple[InjectedFault, int | None]] = []
        self._closing = threading.Event()

    def add(self, fault: InjectedFault) -> None:
        """Append a fault to the queue."""
        with self._lock:
            self._queue.append((fault, fault.times))

    def answer(
        self, path: str, fields: Mapping[str, str], judge: Judge, record: Callable[[int], None]
    ) -> tuple[int, dict[str, object], InjectedFault | None]:
        """Answer a request with ``judge``, or with the fault that applies; wait as it asks.

        ``judge`` gets True if its answer is lost, and records the status itself. ``record`` gets
        the status of any other answer, 0 for none. Returns status, body and the fault.
        """
        fault = self.take(path, fields)
        if fault is None:
            return *judge(False), None  # noqa: FBT003 - as Judge says
        if fault.status is not None:
            record(fault.status)
            self.wait(fault.delay)
            return fault.status, {}, fault
        if fault.hang or fault.reset:
            record(0)
            self.wait(None if fault.hang else fault.delay)
            return 0, {}, fault
        if self.wait(fault.delay):  # the inbox closes: nothing is answered any more
            record(0)
            return 0, {}, InjectedFault(hang=True)
        return *judge(fault.lost), fault

    def take(self, path: str, fields: Mapping[str, str]) -> InjectedFault | None:
        """Return the oldest fault that applies to a request, and count it as used once."""
        with self._lock:
            for number, (fault, left) in enumerate(self._queue):
                if fault.applies_to(path, fields):
                    if left is not None:
                        self._queue[number : number + 1] = [(fault, left - 1)] if left > 1 else []
                    return fault
            return None

    def clear(self) -> None:
        """Remove all queued faults; requests that already have one are not affected."""
        with self._lock:
            self._queue.clear()

    def wait(self, seconds: float | None) -> bool:
        """Wait (None: for ever); return True if `close` ended the wait."""
        return self._closing.wait(seconds)

    def open(self) -> None:
        """Allow waits again after `close`."""
        self._closing.clear()

    def close(self) -> None:
        """End all waits now."""
        self._closing.set()
