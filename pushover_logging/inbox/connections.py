"""The log of the stand-in's connections: who was there, from when to when."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Connection:
    """One TCP connection of a client.

    ``address`` is the client's address and port, ``opened`` and ``closed`` are seconds of
    ``time.monotonic`` (``closed`` None while it is open), ``requests`` counts the requests to the
    API (paths under ``/1/``) that came on it: those of the page and of a test's own are none.
    """

    address: tuple[str, int]
    opened: float
    closed: float | None = None
    requests: int = 0


def most_open(connections: Iterable[Connection]) -> int:
    """Return how many of the connections that carried API requests were open at the same time."""
    changes = []
    for one in connections:
        if one.requests:
            changes.append((one.opened, 1))
            if one.closed is not None:
                changes.append((one.closed, -1))
    most = now = 0
    # Where one ends in the moment in which the next begins, the end comes first.
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


class ConnectionLog:
    """The open connections and the last 10,000 that were closed."""

    def __init__(self) -> None:
        # Over both: the accepting thread opens, one thread a connection counts and closes.
        self._lock = threading.Lock()
        self._open: dict[socket.socket, Connection] = {}
        self._closed: deque[Connection] = deque(maxlen=KEPT)

    @property
    def connections(self) -> list[Connection]:
        """All that is known, by the time of opening."""
        with self._lock:
            self._notice_ends(time.monotonic())
            known = [*self._closed, *self._open.values()]
        return sorted(known, key=lambda one: one.opened)

    def opened(self, peer: socket.socket, address: tuple[str, int]) -> None:
        """Note a connection that was accepted."""
        now = time.monotonic()
        with self._lock:
            # A client that ended one connection before it opened this one had but one: that the
            # other's thread has not read of its end yet is this server's matter.
            self._notice_ends(now)
            self._open[peer] = Connection(address[:2], now)

    def requested(self, peer: socket.socket) -> None:
        """Count a request to the API."""
        with self._lock:
            one = self._open[peer]
            self._open[peer] = dataclasses.replace(one, requests=one.requests + 1)

    def closed(self, peer: socket.socket) -> None:
        """Note that a connection has ended; no effect on one that is not known."""
        with self._lock:
            self._end(peer, time.monotonic())

    def forget(self) -> None:
        """Forget the closed connections, and the requests of the open ones."""
        with self._lock:
            self._closed.clear()
            for peer, one in self._open.items():
                self._open[peer] = dataclasses.replace(one, requests=0)

    def end_all(self) -> None:
        """End the connections that clients keep open, and the ones whose requests hang."""
        with self._lock:
            for peer in self._open:
                with contextlib.suppress(OSError):  # The client was first.
                    peer.shutdown(socket.SHUT_RDWR)

    def _notice_ends(self, now: float) -> None:
        for peer, one in self._open.items():
            if one.closed is None and _has_ended(peer):
                self._open[peer] = dataclasses.replace(one, closed=now)

    def _end(self, peer: socket.socket, now: float) -> None:
        one = self._open.pop(peer, None)
        if one is not None:
            self._closed.append(dataclasses.replace(one, closed=one.closed or now))


def _has_ended(peer: socket.socket) -> bool:
    """Return whether the client has closed, as far as the system knows; waits for nothing.

    One call, and not a look whether there is something to read before it: the connection's own
    thread may read that in between, and the log, with all who want its lock, would wait for more.
    """
    try:
        return not peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except (BlockingIOError, AttributeError):  # Windows cannot tell; the thread reads the end soon
        return False
    except OSError:
        return True
