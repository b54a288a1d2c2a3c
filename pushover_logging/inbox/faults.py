"""The faults that the stand-in plays when it is told to: what a service and a network do wrong."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pushover_logging.exceptions import ConfigurationError

MESSAGES_PATH = "/1/messages.json"
# HTTP's own range; below 200 stand answers that only announce another one.
FIRST_STATUS, LAST_STATUS = 200, 599
# RFC 9110, section 5.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t -~\x80-\xff]*")

Match = Callable[[Mapping[str, str]], bool]
Judge = Callable[[bool], tuple[int, dict[str, object]]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, for the next ``times`` requests (None: until cleared) to ``path``.

    ``status``, ``body`` and ``headers`` are answered instead of the checks, and nothing else: no
    quota headers, nothing accepted; a body or headers without a status are answered with 200. With
    none of the three the service answers as ever, only ``delay`` seconds late, or its body one byte
    every ``drip`` seconds. ``hang`` never answers, ``reset`` breaks the connection (a TCP reset)
    before anything is accepted, ``lost`` accepts and keeps what came, and ends the connection in
    place of the answer. ``match`` says by a request's fields whether it is meant; ``path`` is what
    the request's path begins with, ``/1/`` for all of the API.
    Raises ConfigurationError for what could never be played.
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
        """Check the fault, and give an answer that has no status its 200."""
        if (self.times is not None and self.times < 1) or self.delay < 0 or self.drip < 0:
            text = (
                "a fault takes times >= 1 (or None), delay >= 0 and drip >= 0, "
                f"got {self.times}, {self.delay} and {self.drip}"
            )
            raise ConfigurationError(text)
        if self.status is None and (self.body or self.headers):
            object.__setattr__(self, "status", 200)
        if self.status is not None and not FIRST_STATUS <= self.status <= LAST_STATUS:
            text = f"status: {self.status} is not from {FIRST_STATUS} to {LAST_STATUS}"
            raise ConfigurationError(text)
        for name, value in self.headers.items():
            if not (_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value)):
                text = f"headers: {name!r:.100}: {value!r:.100} is no HTTP header"
                raise ConfigurationError(text)
        answered = self.status is not None or self.drip > 0
        ways = [self.hang, self.reset, self.lost, answered]
        if sum(ways) > 1:
            text = "a fault hangs, resets, loses its answer, or answers (status, drip): one of them"
            raise ConfigurationError(text)

    def meets(self, path: str, fields: Mapping[str, str]) -> bool:
        """Return whether a request to ``path`` with ``fields`` is meant."""
        return path.startswith(self.path) and (self.match is None or self.match(fields))


class Faults:
    """The queue of faults to be played, and the one place where they wait."""

    def __init__(self) -> None:
        # Over the queue: threads of the server take, threads of the tests add. Reentrant, so that
        # a fault's `match` may ask the inbox; nothing takes this lock while it holds the store's.
        self._lock = threading.RLock()
        self._queue: list[tuple[Fault, int | None]] = []
        self._closing = threading.Event()

    def add(self, fault: Fault) -> None:
        """Queue a fault behind the others."""
        with self._lock:
            self._queue.append((fault, fault.times))

    def play(
        self, path: str, fields: Mapping[str, str], judge: Judge, record: Callable[[int], None]
    ) -> tuple[int, dict[str, object], Fault | None]:
        """Answer a request: by ``judge``, unless a fault is meant for it; waits where that says so.

        ``judge`` is told whether its answer gets lost, and records for itself; ``record`` is told
        the status of what was not judged, 0 for no answer. Returns status, body and the fault.
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
        if self.wait(fault.delay):  # The inbox closes: nobody is told anything any more.
            record(0)
            return 0, {}, Fault(hang=True)
        return *judge(fault.lost), fault

    def take(self, path: str, fields: Mapping[str, str]) -> Fault | None:
        """Return the oldest fault that is meant for a request, which uses it up by one."""
        with self._lock:
            for number, (fault, left) in enumerate(self._queue):
                if fault.meets(path, fields):
                    if left is not None:
                        self._queue[number : number + 1] = [(fault, left - 1)] if left > 1 else []
                    return fault
            return None

    def clear(self) -> None:
        """Forget the faults that are queued; one that is being played goes on."""
        with self._lock:
            self._queue.clear()

    def wait(self, seconds: float | None) -> bool:
        """Wait (None: for ever); return whether the wait was ended early, by ``close``."""
        return self._closing.wait(seconds)

    def open(self) -> None:
        """Let faults wait (again)."""
        self._closing.clear()

    def close(self) -> None:
        """End each wait now."""
        self._closing.set()
