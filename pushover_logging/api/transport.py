"""Transport: HTTP over one kept-alive connection, with a deadline and a size limit per answer."""

from __future__ import annotations

import contextlib
import http.client
import io
import logging
import math
import socket
import time
import zlib
from collections.abc import Mapping
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError

from pushover_logging.exceptions import TemporaryError

MAX_ANSWER = 64 * 1024  # bytes
UPLOAD_RATE = 64 * 1024  # bytes a second: the timeout of an upload is extended by size / rate
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


class Transport:
    """One kept-alive connection to the service at ``api_url``; ``timeout`` is (connect, read).

    Redirects are not followed. If no answer comes, each call raises TemporaryError without a
    secret in it. For one thread at a time; no connection is made before the first call.
    """

    def __init__(self, api_url: str, timeout: tuple[float, float]) -> None:
        self.api_url = api_url
        self._timeout = timeout
        self._session: requests.Session | None = None

    def post(
        self, path: str, data: Mapping[str, Any], files: Mapping[str, Any] | None = None
    ) -> HttpResponse:
        """POST ``data`` and ``files`` in the body, and return the answer."""
        size = len(files["attachment"][1]) if files else len(data.get("attachment_base64", ""))
        timeout = tuple(seconds + size / UPLOAD_RATE for seconds in self._timeout)
        try:
            return self._request("POST", path, timeout, data=data, files=files)
        except _FAILURES as error:
            if isinstance(error, requests.RequestException):
                error.request = None  # its body contains the token
            raise self._failure(error) from error

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
        """Close the connection; a later call opens a new one."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _request(self, method: str, path: str, timeout: Any, **options: Any) -> HttpResponse:  # noqa: ANN401  requests' own
        if self._session is None:
            self._session = _new_session(self.api_url)
        options.update(timeout=timeout, allow_redirects=False, stream=True)
        with self._session.request(method, self.api_url + path, **options) as response:
            body = b""
            read = getattr(response.raw, "read1", response.raw.read)  # not in urllib3 before 2.2
            while len(body) < MAX_ANSWER and (part := read(MAX_ANSWER, decode_content=False)):
                body += part
        return HttpResponse(response.status_code, response.headers, _decoded(body))

    def _failure(self, error: Exception) -> TemporaryError:
        timed_out = isinstance(error, (requests.Timeout, ReadTimeoutError, TimeoutError))
        reason = getattr(error.args[0], "reason", None) if error.args else None
        # A NewConnectionError: also if the host name was not found.
        unsent = isinstance(error, _NOT_SENT) or isinstance(reason, NewConnectionError)
        unsent = unsent and not _is_after_request(error)
        text = f"no answer from {self.api_url}: {type(error).__name__}"
        return TemporaryError(text, timed_out=timed_out, may_have_arrived=not unsent)


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


def _new_session(url: str) -> requests.Session:
    """Return a session for ``url`` that reads proxies and certificates from the environment once.

    requests would for each request, which takes a fifth of its time, and would look into a .netrc.
    Plain http is for this machine only, so it goes through no proxy, which could read it.
    """
    session = _Session()
    session.headers["Accept-Encoding"] = "identity"
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # the API uses none
    for scheme in ("http://", "https://"):
        session.mount(scheme, DeadlineAdapter())
    settings = session.merge_environment_settings(url, {}, None, None, None)
    session.verify, session.trust_env = settings["verify"], False
    if url.lower().startswith("https:"):
        session.proxies = settings["proxies"]
    return session


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None: to look at a redirect, requests would read the whole body."""


class DeadlineAdapter(HTTPAdapter):
    """Limits the wait for an answer's first byte to the read timeout, and the rest to another."""

    _pool: Any = None  # the only one in use: all requests go to one address

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  urllib3's
        """Return the pool that requests would, with a deadline for its answers."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        kind = pool.ConnectionCls
        if not issubclass(kind, _Connection):
            pool.ConnectionCls = type(kind.__name__, (_Connection, kind), {})
        self._pool = pool
        return pool

    def close(self) -> None:
        """Close the connections, also at exit when the finalizers of urllib3 have already run."""
        super().close()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  http.client's
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_DeadlineReader(self.fp, sock))

    def begin(self) -> None:
        """Skip all informational answers, for example 103; http.client skips 100 only."""
        super().begin()
        while self.status < HTTPStatus.OK:  # https://www.rfc-editor.org/rfc/rfc9110#section-15.2
            self.headers = None  # type: ignore[assignment]
            super().begin()


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
            left = self._deadline - time.monotonic()
            if left <= 0:
                msg = "the answer was not complete at its deadline"
                raise TimeoutError(msg)
            self._sock.settimeout(left)
        size = self._file.readinto1(buffer)
        self._deadline = min(self._deadline, time.monotonic() + self._seconds)
        return size

    def close(self) -> None:
        """Close the file, and restore the timeout of the socket, which can be used again."""
        self._file.close()
        if self._deadline < math.inf:
            with contextlib.suppress(OSError):  # the socket is closed
                self._sock.settimeout(self._seconds)
        super().close()


class _Connection(http.client.HTTPConnection):
    response_class = _DeadlineResponse

    def getresponse(self) -> Any:  # noqa: ANN401  urllib3's
        """Return the answer. Raises _ConnectionBroken if the connection breaks before it comes."""
        try:
            return super().getresponse()
        except TimeoutError:
            raise
        except OSError as error:
            raise _ConnectionBroken from error
