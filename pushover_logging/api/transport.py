"""Transport: HTTP over kept-alive connections, with a deadline and a size limit per answer.

The transports of a process share the connections that nobody uses just now.
"""

from __future__ import annotations

import codecs
import contextlib
import email.utils
import http.client
import io
import logging
import math
import os
import socket
import ssl
import threading
import weakref
import zlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import Timeout
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError
from urllib3.util import ssl_ as urllib3_ssl

from pushover_logging.api.quota import quota_of
from pushover_logging.clock import Clock, snapshot
from pushover_logging.exceptions import TemporaryError

codecs.lookup("idna")  # the codec of host names, which the end of an interpreter cannot import

IDLE = 30.0  # seconds after which a connection is not used again: a router may have dropped it
MAX_ANSWER = 64 * 1024  # bytes
UPLOAD_RATE = 64 * 1024  # bytes a second: the timeout of an upload is extended by size / rate
# Seconds. The quota is a month's: https://pushover.net/api#limits
MAX_RESET = 32 * 86_400.0
MAX_RETRY_AFTER = 3600.0
DEFAULT_RETRY_AFTER = 60.0
MIN_RETRY_AFTER = 5.0  # https://pushover.net/api#friendly
_ANY_HEADER = 32  # zlib's flag for the formats of zlib and gzip

_FAILURES = (requests.RequestException, HTTPError, OSError)
# Failures before the request is sent.
_NOT_SENT = (
    requests.ConnectTimeout, requests.exceptions.InvalidURL, requests.exceptions.ProxyError,
    requests.exceptions.SSLError,
)  # fmt: skip


class HttpResponse(NamedTuple):
    """An HTTP answer, its body cut at `MAX_ANSWER` bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def retry_delay(self, now: float) -> float:
        """Return for how many seconds nothing may be sent after a 429; ``now`` is Unix time."""
        quota = quota_of(self.headers)
        if quota is not None and quota.reset > now:
            return max(MIN_RETRY_AFTER, min(quota.reset - now, MAX_RESET))
        value = self.headers.get("Retry-After", "")
        try:
            seconds = float(value)
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(value).timestamp() - now
            except (TypeError, ValueError, OverflowError):
                seconds = DEFAULT_RETRY_AFTER
        if not seconds > 0:  # NaN too
            seconds = DEFAULT_RETRY_AFTER
        return max(MIN_RETRY_AFTER, min(seconds, MAX_RETRY_AFTER))


class Transport:
    """A way to the service at ``api_url``; ``timeout`` is (connect, read) in seconds.

    Redirects are not followed. If no answer comes, each call raises TemporaryError without a
    secret in it. For one thread at a time; no connection is made before the first call.
    """

    def __init__(self, api_url: str, timeout: tuple[float, float]) -> None:
        self.api_url = api_url
        self._timeout = timeout

    def post(
        self,
        path: str,
        data: Mapping[str, Any],
        files: Mapping[str, Any] | None = None,
        within: float | None = None,
    ) -> HttpResponse:
        """POST ``data`` and ``files`` in the body, and return the answer.

        ``within`` bounds the seconds until the answer begins, the connecting included.
        """
        size = len(files["attachment"][1]) if files else len(data.get("attachment_base64", ""))
        connect, read = (seconds + size / UPLOAD_RATE for seconds in self._timeout)
        timeout = Timeout(total=within, connect=connect, read=read)
        try:
            return self._request("POST", path, timeout, data=data, files=files)
        except _FAILURES as error:
            if isinstance(error, requests.RequestException):
                error.request = None  # its body contains the token
            raise self._failure(error) from error
        except _AnswerLost as lost:
            text = f"no answer from {self.api_url}: {type(lost.__cause__).__name__}"
            raise TemporaryError(text, may_have_arrived=True, is_unforeseen=True) from lost

    def get(self, path: str, token: str) -> HttpResponse:
        """Return the answer to a GET request, which the API wants with the token in the URL.

        That URL appears in no log record of urllib3 and in no exception that reaches the caller.
        """
        logging.getLogger("urllib3.connectionpool").addFilter(_has_no_token)
        try:
            return self._request("GET", path, self._timeout, params={"token": token})
        except _FAILURES as error:
            failure = self._failure(error)
        raise failure  # outside of the except block, so that it has no __context__ with the URL

    def close(self) -> None:
        """Close the idle connections that this transport used last; a later call opens another."""
        for connection in snapshot(_IDLE_CONNECTIONS):
            if connection.user is self and _took(connection):
                connection.close()

    def _request(self, method: str, path: str, timeout: Any, **options: Any) -> HttpResponse:  # noqa: ANN401  requests' own
        options.update(timeout=timeout, allow_redirects=False, stream=True)
        connection = _connection_to(self.api_url)
        connection.user = self
        try:
            return connection.request(method, self.api_url + path, **options)
        finally:
            connection.used_at = _seconds()
            _IDLE_CONNECTIONS.append(connection)

    def _failure(self, error: Exception) -> TemporaryError:
        timed_out = isinstance(error, (requests.Timeout, ReadTimeoutError, TimeoutError))
        reason = getattr(error.args[0], "reason", None) if error.args else None
        # A NewConnectionError: also if the host name was not found.
        unsent = isinstance(error, _NOT_SENT) or isinstance(reason, NewConnectionError)
        unsent = unsent and not _is_after_request(error)
        text = f"no answer from {self.api_url}: {type(error).__name__}"
        return TemporaryError(text, timed_out=timed_out, may_have_arrived=not unsent)


class _AnswerLost(Exception):  # noqa: N818  its cause is the error
    """A request was sent, and then something around it failed that is none of `_FAILURES`."""


class _Connection:
    """A session with one connection to ``url``, for one request at a time.

    ``user`` is the transport that used it last, ``used_at`` when, by two clocks.
    """

    def __init__(self, url: str) -> None:
        self.key: tuple[object, ...] = _key(url)
        self.user: Transport | None = None
        self.used_at: tuple[float, float] = _seconds()
        self._exchange = _Exchange()
        self._session = _new_session(url, self._exchange)

    def request(self, method: str, url: str, **options: Any) -> HttpResponse:  # noqa: ANN401  requests' own
        """Return the answer, also if what other libraries put around the request fails after it.

        Raises _AnswerLost if they fail before it, and the request was sent.
        """
        exchange = self._exchange
        exchange.is_sent, exchange.response = False, None
        try:
            with self._session.request(method, url, **options) as response:
                return HttpResponse(response.status_code, response.headers, _body(response.raw))
        except _FAILURES:
            raise
        except Exception as error:
            if answer := exchange.answer():
                return answer
            if exchange.is_sent:
                raise _AnswerLost from error
            raise
        finally:
            exchange.response = None

    def is_fresh(self) -> bool:
        """Return True if it may still be open at the other end.

        The monotonic clock stands still while a machine sleeps, and the other one may be set.
        """
        now = _seconds()
        return all(abs(now[i] - self.used_at[i]) < IDLE for i in (0, 1))

    def close(self) -> None:
        """Close it."""
        self._session.close()


_IDLE_CONNECTIONS: deque[_Connection] = deque()
"""The connections that no transport uses just now, the last used one last.

Any thread takes and adds, each in one step of the deque, without a lock: a signal or a fork finds
it whole. A sender uses one at a time and at most two send at once (`lifecycle.request_slot`), so a
process has at most two. A fork's child leaves its parent's alone.
"""


def _connection_to(url: str) -> _Connection:
    """Take an idle connection; if there is none, close the others, and make one."""
    key = _key(url)
    for connection in reversed(snapshot(_IDLE_CONNECTIONS)):
        if _took(connection):  # pragma: no branch  another thread was faster
            if connection.key == key and connection.is_fresh():
                return connection
            if os.getpid() in connection.key:
                connection.close()
    return _Connection(url)


def _took(connection: _Connection) -> bool:
    try:
        _IDLE_CONNECTIONS.remove(connection)
    except ValueError:  # pragma: no cover  another thread was faster
        return False
    return True


def _key(url: str) -> tuple[object, ...]:
    """Return what two users of a connection must have in common.

    The process, the kind of its sockets, which gevent and eventlet replace, and the thread if they
    have: theirs work only in the thread that made them.
    """
    is_native = socket.socket.__module__ == "socket"
    return url, os.getpid(), socket.socket, None if is_native else threading.get_native_id()


def _seconds() -> tuple[float, float]:
    return Clock.monotonic(), Clock.time()


def _body(raw: Any) -> bytes:  # noqa: ANN401  of urllib3, or what a library put in its place
    """Return the body, by calls that `http.client.HTTPResponse` has."""
    raw.decode_content = False
    read = getattr(raw, "read1", raw.read)  # not in urllib3 before 2.2
    body = b""
    while len(body) < MAX_ANSWER and (part := read(MAX_ANSWER)):
        body += part
    return _decoded(body)


def _decoded(body: bytes) -> bytes:
    """Return an answer that a proxy compressed although none was asked for; any other unchanged.

    Not by urllib3, which before 2.6 sets no limit to what it decodes.
    """
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | _ANY_HEADER).decompress(body, MAX_ANSWER)
    except zlib.error:
        return body


class _ConnectionBroken(http.client.HTTPException):
    """A connection broke after a request was sent.

    For requests, TLS that breaks then is as TLS that fails in the handshake, and a proxy that loses
    the answer as one that was never reached.
    """


def _is_after_request(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, _ConnectionBroken):
        error = error.__context__
    return error is not None


def _has_no_token(record: logging.LogRecord) -> bool:
    return ".json?token=" not in str(record.args)  # the program's own requests are still logged


def _new_session(url: str, exchange: _Exchange) -> requests.Session:
    """Return a session for ``url`` that reads proxies and certificates from the environment once.

    requests would for each request, which takes a fifth of its time, and would look into a .netrc.
    Plain http is for this machine only, so it goes through no proxy, which could read it.
    """
    session = _Session()
    session.headers["Accept-Encoding"] = "identity"
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # the API uses none
    for scheme in ("http://", "https://"):
        session.mount(scheme, DeadlineAdapter(exchange))
    settings = session.merge_environment_settings(url, {}, None, None, None)
    session.verify = settings["verify"]
    if session.verify is True and _is_patched():  # pragma: no cover  such are not measured
        # By name: with a TLS context of our own, requests before 2.32.5 loads none by itself.
        session.verify = DEFAULT_CA_BUNDLE_PATH
    session.trust_env = False
    if url.lower().startswith("https:"):
        session.proxies = settings["proxies"]
    return session


def _is_patched() -> bool:
    """Return True if gevent or eventlet has replaced the class of TLS contexts.

    urllib3 took it at its import, and the old one's setters then call themselves without end. Only
    then a context is made on the sender's thread: a fork in the middle of that would leave the
    child an OpenSSL that waits for ever.
    """
    return ssl.SSLContext is not urllib3_ssl.SSLContext


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None: to look at a redirect, requests would read the whole body."""


@dataclass(slots=True)
class _Exchange:
    """How far the request on its way has come, whatever fails around it.

    ``is_sent``: a part of it was. ``response`` is the answer once its head is there.
    """

    is_sent: bool = False
    response: http.client.HTTPResponse | None = None

    def answer(self) -> HttpResponse | None:
        """Return the answer that nobody has read yet; None if it cannot be read any more."""
        if self.response is None:
            return None
        body = b""
        with contextlib.suppress(*_FAILURES, http.client.HTTPException):
            body = _decoded(self.response.read(MAX_ANSWER))
        headers = CaseInsensitiveDict[str](self.response.headers.items())
        return HttpResponse(self.response.status, headers, body) if body else None


class DeadlineAdapter(HTTPAdapter):
    """Limits the wait for an answer's first byte to the read timeout, and the rest to another."""

    _pool: Any = None  # the only one in use: all requests go to one address

    def __init__(self, exchange: _Exchange) -> None:
        self._options: dict[str, Any] = {}
        if _is_patched():
            self._options["ssl_context"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._attributes = {
            "exchange": exchange,
            "response_class": type("_Response", (_DeadlineResponse,), {"exchange": exchange}),
        }
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  urllib3's
        """Make the pools with this adapter's TLS context."""
        super().init_poolmanager(*args, **{**self._options, **kwargs})

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:  # noqa: ANN401  urllib3's
        """Return the manager for a proxy, with this adapter's TLS context."""
        return super().proxy_manager_for(proxy, **self._options, **kwargs)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  urllib3's
        """Return the pool that requests would, with a deadline for its answers."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        kind = pool.ConnectionCls
        if not issubclass(kind, _GuardedConnection):
            pool.ConnectionCls = type(kind.__name__, (_GuardedConnection, kind), self._attributes)
        self._pool = pool
        return pool

    def close(self) -> None:
        """Close the connections, also at exit when the finalizers of urllib3 have already run."""
        super().close()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()


class _DeadlineResponse(http.client.HTTPResponse):
    exchange: _Exchange

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  http.client's
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_DeadlineReader(self.fp, sock))

    def begin(self) -> None:
        """Skip all informational answers, for example 103; http.client skips 100 only."""
        super().begin()
        while self.status < HTTPStatus.OK:  # https://www.rfc-editor.org/rfc/rfc9110#section-15.2
            self.headers = None  # type: ignore[assignment]
            super().begin()
        self.exchange.response = self


class _DeadlineReader(io.RawIOBase):
    """Reads ``file``; from its first byte on, all of it within the timeout of its socket."""

    def __init__(self, file: io.BufferedReader, sock: socket.socket) -> None:
        self._file, self._sock, self._seconds = file, sock, sock.gettimeout() or math.inf
        self._deadline = math.inf

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  io's own
        """Read what is available. Raises TimeoutError after the deadline."""
        if self._deadline < math.inf:
            left = self._deadline - Clock.monotonic()
            if left <= 0:
                msg = "the answer was not complete at its deadline"
                raise TimeoutError(msg)
            self._sock.settimeout(left)
        size = self._file.readinto1(buffer)
        self._deadline = min(self._deadline, Clock.monotonic() + self._seconds)
        return size

    def close(self) -> None:
        """Close the file, and restore the timeout of the socket, which can be used again."""
        self._file.close()
        if self._deadline < math.inf:
            with contextlib.suppress(OSError):  # the socket is closed
                self._sock.settimeout(self._seconds)
        super().close()


class _GuardedConnection(http.client.HTTPConnection):
    """What a connection of urllib3 becomes: it notes what it sends, and leaves others' files alone.

    A program can close the socket's number beneath it, as a daemon does that closes all, and open
    a file that gets this number. Used by the sender's thread; by a fork's child once.
    """

    exchange: _Exchange
    _identity = 0, 0

    @property
    def is_connected(self) -> bool:
        """Return False also if urllib3 cannot look: eventlet takes away its `select.poll`."""
        try:
            return bool(super().is_connected)  # type: ignore[misc]
        except AttributeError:  # pragma: no cover  programs with eventlet are not measured
            return False

    def send(self, data: Any) -> None:  # noqa: ANN401  http.client's
        """Send a part of a request, and note that."""
        self.exchange.is_sent = True
        super().send(data)

    def connect(self) -> None:
        """Connect, and remember which socket that is."""
        super().connect()
        found = os.fstat(self.sock.fileno())
        self._identity = found.st_dev, found.st_ino
        _CONNECTIONS.add(self)

    def request(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  urllib3's
        """Send a request; over a new connection if the socket is gone."""
        if not self._is_own():
            self.close()
        super().request(*args, **kwargs)

    def close(self) -> None:
        """Close the socket, but not what has its number now."""
        if not self._is_own():
            self._detach()
        super().close()

    def getresponse(self) -> Any:  # noqa: ANN401  urllib3's
        """Return the answer. Raises _ConnectionBroken if the connection breaks before it comes."""
        try:
            return super().getresponse()
        except TimeoutError:
            raise
        except OSError as error:
            raise _ConnectionBroken from error

    def abandon(self) -> None:
        """Close a fork's copy of the socket, which stays open in the parent."""
        if self.sock is not None and self._is_own():
            os.close(self._detach())

    def _is_own(self) -> bool:
        if self.sock is None or self._identity == (0, 0):  # or it is none that `connect` made
            return True
        try:
            found = os.fstat(self.sock.fileno())
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def _detach(self) -> int:
        return int(getattr(self.sock, "socket", self.sock).detach())  # TLS within TLS wraps it


_CONNECTIONS: weakref.WeakSet[_GuardedConnection] = weakref.WeakSet()
"""Connections that may be open. Senders' threads add theirs; a fork's child abandons them."""


def after_fork_in_child() -> None:
    """Close the copies of the parent's connections while their numbers still mean them."""
    for connection in snapshot(_CONNECTIONS):
        connection.abandon()
    _CONNECTIONS.clear()
