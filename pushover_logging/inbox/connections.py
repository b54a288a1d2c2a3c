"""The log of the inbox's TCP connections, with which tests check how a client uses them."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

MAX_CLOSED = 10_000


@dataclass(frozen=True, slots=True)
class ClientConnection:
    """One TCP connection of a client.

    ``address`` is the client's address and port. ``opened`` and ``closed`` are seconds of
    ``time.monotonic``; ``closed`` is None while it is open. ``requests`` counts its requests to the
    API (paths under ``/1/``), not those of the page and of the control API.
    """

    address: tuple[str, int]
    opened: float
    closed: float | None = None
    requests: int = 0


def most_open(connections: Iterable[ClientConnection]) -> int:
    """Return how many connections with API requests were open at the same time, at most."""
    changes = []
    for connection in connections:
        if connection.requests:
            changes.append((connection.opened, 1))
            if connection.closed is not None:
                changes.append((connection.closed, -1))
    most = now = 0
    # At equal times, -1 sorts first: a connection closed as another opens does not overlap it.
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


class ConnectionLog:
    """The open connections and the last 10,000 closed ones."""

    def __init__(self) -> None:
        # Protects both: the accepting thread opens, each connection's thread counts and closes.
        self._lock = threading.Lock()
        self._open: dict[socket.socket, ClientConnection] = {}
        self._closed: deque[ClientConnection] = deque(maxlen=MAX_CLOSED)

    @property
    def connections(self) -> list[ClientConnection]:
        """All logged connections, in the order in which they were opened."""
        with self._lock:
            self._detect_closed(time.monotonic())
            connections = [*self._closed, *self._open.values()]
        return sorted(connections, key=lambda connection: connection.opened)

    def opened(self, peer: socket.socket, address: tuple[str, int]) -> None:
        """Add a connection that was accepted."""
        now = time.monotonic()
        with self._lock:
            # A client that closed one connection before it opened this one had only one open, even
            # if the thread of the other has not noticed its end yet.
            self._detect_closed(now)
            self._open[peer] = ClientConnection(address[:2], now)

    def requested(self, peer: socket.socket) -> None:
        """Count a request to the API."""
        with self._lock:
            connection = self._open[peer]
            self._open[peer] = dataclasses.replace(connection, requests=connection.requests + 1)

    def closed(self, peer: socket.socket) -> None:
        """Mark a connection as closed; no effect on an unknown one."""
        now = time.monotonic()
        with self._lock:
            connection = self._open.pop(peer, None)
            if connection is not None:
                closed = connection.closed or now
                self._closed.append(dataclasses.replace(connection, closed=closed))

    def clear(self) -> None:
        """Remove the closed connections, and reset the request counts of the open ones."""
        with self._lock:
            self._closed.clear()
            for peer, connection in self._open.items():
                self._open[peer] = dataclasses.replace(connection, requests=0)

    def shut_down_all(self) -> None:
        """Shut down all open connections, also those whose requests hang."""
        with self._lock:
            for peer in self._open:
                with contextlib.suppress(OSError):  # the client has closed it already
                    peer.shutdown(socket.SHUT_RDWR)

    def _detect_closed(self, now: float) -> None:
        for peer, connection in self._open.items():
            if connection.closed is None and _is_closed(peer):
                self._open[peer] = dataclasses.replace(connection, closed=now)


def _is_closed(peer: socket.socket) -> bool:
    """Return True if the client is known to have closed the connection; never blocks.

    This is one non-blocking call instead of a check for data followed by a read: the connection's
    own thread might read the data in between, and the read would block while holding the lock. It
    needs a socket object of its own, because the timeout of ``peer`` is the connection's.
    """
    try:
        alias = socket.socket(fileno=peer.fileno())
    except (OSError, ValueError):  # closed by the connection's own thread
        return True
    try:
        alias.settimeout(0)  # for the system, a socket with a timeout is that already
        return not alias.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        alias.detach()
