"""Inbox: the stand-in service as an object, a real HTTP server on this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Collection, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

from pushover_logging.exceptions import ConfigurationError
from pushover_logging.inbox import rules
from pushover_logging.inbox.app import create_app
from pushover_logging.inbox.clock import SpeedableClock
from pushover_logging.inbox.connections import ClientConnection, ConnectionLog, most_open
from pushover_logging.inbox.emergencies import Emergencies
from pushover_logging.inbox.faults import MESSAGES_PATH, FaultQueue, Match, new_fault
from pushover_logging.inbox.http_server import InboxServer
from pushover_logging.inbox.store import Attempt, Decrypt, InboxState, Store

MAX_PORT = 65_535
# The address of this machine that a server on all addresses can be reached at.
_LOCAL = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  the user's choice

# Seconds until the server notices `close`, and for which `close` waits.
_POLL_INTERVAL = 0.05
_CLOSE_TIMEOUT = 5.0


class Inbox:
    """A stand-in for the Pushover service on ``host`` and ``port`` (0: a free one).

    A context manager that serves from entry to exit. ``refused`` are tokens and user keys to
    refuse although they are well-formed; you can change the set at any time. If it is ``strict``,
    the only valid token is that in ``environ``, and the only users are that in ``environ`` and
    those of `set_devices` and `set_group`; otherwise any well-formed key is valid. Its time passes
    ``speed`` times as fast as real time. With ``encryption_key`` (64 hexadecimal digits) it
    decrypts encrypted messages. After ``close``, ``start`` serves on the same port again, with all
    earlier messages. Raises ConfigurationError if port, speed or key is invalid.
    """

    def __init__(  # noqa: PLR0913  the options of `pushover-logging inbox`
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        refused: set[str] | None = None,
        strict: bool = False,
        speed: float = 1.0,
        encryption_key: str | None = None,
    ) -> None:
        if not 0 <= port <= MAX_PORT:
            text = f"port: {port} is not from 0 to {MAX_PORT}"
            raise ConfigurationError(text)
        self.host = host
        self.port: int = port
        self._encryption_key = encryption_key
        self._clock = SpeedableClock(speed)
        self._faults = FaultQueue()
        self._log = ConnectionLog()
        decrypt = None if encryption_key is None else _decrypter(encryption_key)
        self._store = Store(refused, clock=self._clock.time, decrypt=decrypt, strict=strict)
        self._state = InboxState(self._store, self._faults, self._log, self._clock)
        self._server: InboxServer | None = None
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
        """Start the server in a daemon thread; no effect if it runs already.

        Raises ConfigurationError if the address cannot be used.
        """
        if self._server is not None:
            return self
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            self.host.encode("idna")  # otherwise the socket that cannot encode it is left open
            listener = socket.create_server((self.host, self.port), family=family, backlog=128)
        except (OSError, UnicodeError) as error:
            text = f"the inbox cannot listen on {self.host} port {self.port}: {error}"
            raise ConfigurationError(text) from error
        with listener:
            app = create_app(self._state)
            self._server = InboxServer(listener, app, self._faults, self._log)
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
        """Stop the server and end all connections, also those whose requests hang, within 5 s."""
        server, thread = self._server, self._thread
        if server is None or thread is None:
            return
        self._server = self._thread = None
        server.shutdown()
        self._log.shut_down_all()
        self._faults.close()
        thread.join(_CLOSE_TIMEOUT)

    @property
    def url(self) -> str:
        """The base URL for programs on this machine, without a trailing slash.

        With port 0 it is known after `start`.
        """
        host = _LOCAL.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables that make a program use this inbox."""
        key = self._encryption_key
        more = {} if key is None else {"PUSHOVER_ENCRYPTION_KEY": key}
        return {**rules.environ(self.url), **more}

    @property
    def refused(self) -> set[str]:
        """The tokens and user keys to refuse; change the set in place."""
        return self._store.account.refused

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Copies of the accepted messages, oldest first; the last 10,000, or 128 MiB of them.

        Each has its fields as text, as received, and ``received`` (Unix time), ``request`` (the
        id in the answer) and ``attachment`` (name, type, size in bytes; or None). An emergency has
        its ``receipt``. An encrypted message has ``decrypted`` if the inbox has a key: its texts,
        or None if they cannot be decrypted.
        """
        return self._store.messages

    @property
    def attempts(self) -> list[Attempt]:
        """The requests to send a message, accepted or not, oldest first; the last 10,000."""
        return self._store.attempts

    @property
    def connections(self) -> list[ClientConnection]:
        """The TCP connections in the order of opening; of the closed ones the last 10,000."""
        return self._log.connections

    @property
    def most_open(self) -> int:
        """How many connections with API requests were open at the same time, at most."""
        return most_open(self._log.connections)

    def wait_for(self, count: int, timeout: float = 10.0) -> list[dict[str, Any]]:
        """Return the messages when there are ``count``.

        Raises AssertionError after ``timeout`` seconds, with what arrived instead.
        """
        return self._store.wait_for(count, timeout)

    def set_quota(
        self, *, limit: int | None = None, remaining: int | None = None, reset: float | None = None
    ) -> None:
        """Set messages a month, messages left, Unix time of the reset; None changes nothing."""
        with self._store.changing():
            self._store.account.set_quota(limit, remaining, reset)

    def set_devices(self, user: str, devices: Collection[str]) -> None:
        """Set the names of a user's devices; all other users have one device, ``phone``."""
        with self._store.changing():
            self._store.account.set_devices(user, devices)

    def set_group(self, group: str, members: Collection[str]) -> None:
        """Make ``group`` the key of a group; a message to it counts once for each member."""
        with self._store.changing():
            self._store.account.set_group(group, members)

    def acknowledge(self, receipt: str, by: str = "", device: str = "") -> None:
        """Acknowledge an emergency as user ``by`` (empty: its recipient) on ``device``.

        Raises LookupError if the receipt is unknown.
        """
        if not Emergencies(self._store).acknowledge(receipt, by, device):
            text = f"no emergency has the receipt {receipt!r}"
            raise LookupError(text)

    def advance(self, seconds: float) -> None:
        """Move the inbox's clock ahead, which affects repeats, expiry and quota."""
        self._clock.advance(seconds)

    def fail_with(  # noqa: PLR0913 - the options of a fault, as keywords
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
        answer. ``delay`` is the seconds before the answer; alone it makes the service slow.
        ``drip`` sends one byte of the body every so many seconds. ``hang`` never answers. ``reset``
        breaks the connection before anything is accepted. ``lost`` accepts the message and
        then ends the connection without an answer. ``match`` gets the fields of a request and
        returns True if the fault applies. ``path`` is the beginning of the request's path. If
        several faults apply, the oldest is used. Raises ConfigurationError for a fault that is
        contradictory or out of range.
        """
        fault = new_fault(
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
        """Remove all queued faults."""
        self._faults.clear()

    def clear(self) -> None:
        """Remove messages, attempts and closed connections; all else stays."""
        self._store.clear()
        self._log.clear()

    def reset(self) -> None:
        """Restore the initial state, also of quota, devices, groups, faults, refused and clock."""
        self._state.reset()


def _decrypter(key: str) -> Decrypt:
    """Return a function that decrypts a field, or raises ValueError.

    Raises ConfigurationError for an invalid key, and if the extra ``encryption`` is missing.
    """
    # Imported here because only an inbox with a key needs the extra.
    from pushover_logging.api.encryption import decrypt, parse_key  # noqa: PLC0415

    return partial(decrypt, key=parse_key(key))
