"""The stand-in service as an object: a real HTTP server on this machine, for a test or a person."""

from __future__ import annotations

import socket
import threading
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pushover_logging.exceptions import ConfigurationError
from pushover_logging.inbox import rules
from pushover_logging.inbox.app import create_app
from pushover_logging.inbox.clock import SpeedableClock
from pushover_logging.inbox.connections import Connection, ConnectionLog, most_open
from pushover_logging.inbox.decryption import decrypter
from pushover_logging.inbox.emergencies import Emergencies
from pushover_logging.inbox.faults import MESSAGES_PATH, Faults, Match
from pushover_logging.inbox.parts import Parts
from pushover_logging.inbox.serving import Server
from pushover_logging.inbox.store import Attempt, Store
from pushover_logging.inbox.told import made_fault

if TYPE_CHECKING:  # no dependency, and Python 3.10 has none of its own
    from typing_extensions import Self

HIGHEST_PORT = 65_535
# Who listens on every address is reached on this one, from this machine.
_HERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  the user's choice

# How soon the server notices that it is to close, and how long closing may take; in seconds.
_POLL_INTERVAL = 0.05
_CLOSE_TIMEOUT = 5.0


class Inbox:
    """A stand-in for the Pushover service on ``host`` and ``port`` (0: one that is free).

    A context manager that serves from its entry to its exit. ``refused`` are tokens and user keys
    that it refuses although they are well shaped; the set may be changed at any time. Its time
    passes ``speed`` times as fast as the real one. With ``encryption_key`` (64 hexadecimal digits)
    it shows encrypted messages in the clear. After ``close``, ``start`` serves on the same port
    again and still knows what came before.
    Raises ConfigurationError for a number that is no port, a speed or a key that cannot be.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        refused: set[str] | None = None,
        speed: float = 1.0,
        encryption_key: str | None = None,
    ) -> None:
        if not 0 <= port <= HIGHEST_PORT:
            text = f"port: {port} is not from 0 to {HIGHEST_PORT}"
            raise ConfigurationError(text)
        self.host = host
        self.port: int = port
        self._key = encryption_key
        self._clock = SpeedableClock(speed)
        self._faults = Faults()
        self._log = ConnectionLog()
        decrypt = None if encryption_key is None else decrypter(encryption_key)
        self._store = Store(refused, clock=self._clock.time, decrypt=decrypt)
        self._parts = Parts(self._store, self._faults, self._log, self._clock)
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Begin to serve, in a daemon thread; no effect on an inbox that does.

        Raises ConfigurationError where the address cannot be used.
        """
        if self._server is not None:
            return self
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            listener = socket.create_server((self.host, self.port), family=family, backlog=128)
        except OSError as error:
            text = f"the inbox cannot listen on {self.host} port {self.port}: {error}"
            raise ConfigurationError(text) from error
        with listener:
            app = create_app(self._parts)
            self._server = Server(listener, app, self._faults, self._log)
        self.port = self._server.port
        self._faults.open()
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(_POLL_INTERVAL,),
            name="pushover-inbox",
            daemon=True,
        )
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop serving and end all connections, also those whose requests hang; within 5 s."""
        server, thread = self._server, self._thread
        if server is None or thread is None:
            return
        self._server = self._thread = None
        server.shutdown()
        self._log.end_all()
        self._faults.close()
        thread.join(_CLOSE_TIMEOUT)

    @property
    def url(self) -> str:
        """The address for programs of this machine, without a slash at its end.

        With port 0 known once started.
        """
        host = _HERE.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables that point a program at this inbox."""
        key = {} if self._key is None else {"PUSHOVER_ENCRYPTION_KEY": self._key}
        return {**rules.environ(self.url), **key}

    @property
    def refused(self) -> set[str]:
        """The tokens and user keys to refuse; change it in place."""
        return self._store.account.refused

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The accepted messages, oldest first, copied; the last 10,000, or 128 MiB of them.

        Each has its fields as text, as they were received, and ``received`` (Unix time),
        ``request`` (the answer's id), ``attachment`` (name, type, size in bytes; or None), an
        emergency its ``receipt``, an encrypted one ``decrypted`` (its fields in the
        clear, None where they cannot be), if the inbox has the key.
        """
        return self._store.messages

    @property
    def attempts(self) -> list[Attempt]:
        """All requests to send a message, oldest first; at most the last 10,000."""
        return self._store.attempts

    @property
    def connections(self) -> list[Connection]:
        """The TCP connections, by the time of opening; of the closed ones the last 10,000."""
        return self._log.connections

    @property
    def most_open(self) -> int:
        """How many connections that carried API requests were open at the same time, at most."""
        return most_open(self._log.connections)

    def wait_for(self, count: int, timeout: float = 10.0) -> list[dict[str, Any]]:
        """Return the messages once there are ``count``; AssertionError after ``timeout`` s."""
        return self._store.wait_for(count, timeout)

    def set_quota(
        self, *, limit: int | None = None, remaining: int | None = None, reset: float | None = None
    ) -> None:
        """Set messages a month, messages left, Unix time of the reset; None leaves one as it is."""
        with self._store.changing():
            self._store.account.set_quota(limit, remaining, reset)

    def set_devices(self, user: str, devices: Collection[str]) -> None:
        """Give a user devices of these names; any other user has one, ``phone``."""
        with self._store.changing():
            self._store.account.set_devices(user, devices)

    def set_group(self, group: str, members: Collection[str]) -> None:
        """Make a key a group's, with its members' user keys: a message costs one for each."""
        with self._store.changing():
            self._store.account.set_group(group, members)

    def acknowledge(self, receipt: str, by: str = "", device: str = "") -> None:
        """Acknowledge an emergency, as ``by`` (empty: its user) would on ``device``.

        Raises LookupError for an unknown receipt.
        """
        if not Emergencies(self._store).acknowledge(receipt, by, device):
            text = f"no emergency has the receipt {receipt!r}"
            raise LookupError(text)

    def advance(self, seconds: float) -> None:
        """Let that much time pass for the inbox at once: repeats, expiry, quota."""
        self._clock.advance(seconds)

    def fail_with(  # noqa: PLR0913 - each is one trait of a fault, by its keyword
        self,
        status: int | None = None,
        body: str | Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        delay: float = 0.0,
        hang: bool = False,
        drip: float = 0.0,
        reset: bool = False,
        lost: bool = False,
        times: int | None = 1,
        match: Match | None = None,
        path: str = MESSAGES_PATH,
    ) -> None:
        """Queue a fault for the next ``times`` requests (None: until cleared) that ``match``.

        ``status``, ``body`` (text, or a mapping that becomes JSON) and ``headers`` replace the
        answer, ``delay`` (seconds) comes before it and alone makes the service slow, ``drip`` sends
        the body a byte in so many seconds, ``hang`` never answers, ``reset`` breaks the connection
        before anything is accepted, ``lost`` accepts the message and then ends the connection
        without an answer. ``path`` is what the request's path begins with. The oldest fault that
        matches is played. Raises ConfigurationError for what could never be played.
        """
        fault = made_fault(
            status=status,
            body=body,
            headers=headers,
            delay=delay,
            hang=hang,
            drip=drip,
            reset=reset,
            lost=lost,
            times=times,
            match=match,
            path=path,
        )
        self._faults.add(fault)

    def clear_faults(self) -> None:
        """Forget the queued faults."""
        self._faults.clear()

    def clear(self) -> None:
        """Forget messages, attempts and closed connections; quota, faults and refused stay."""
        self._store.clear()
        self._log.forget()

    def reset(self) -> None:
        """Be as new: also quota, devices, groups, faults, what is refused, and the clock."""
        self._parts.reset()
