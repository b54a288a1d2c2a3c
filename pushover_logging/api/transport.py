"""What a connection brings: an answer within bounds, or a failure, and what that failure means."""

from __future__ import annotations

import contextlib
import http.client
import io
import logging
import math
import socket
import time
from collections.abc import Mapping
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError

from pushover_logging.exceptions import TemporaryError


class DeadlineAdapter(HTTPAdapter):
    """Gives an answer the read timeout for its first byte, and once more for all the rest."""

    _pool: Any = None  # the one that is used: all requests go to one address

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  urllib3's
        """Return the pool that requests would, its connections' answers with a deadline."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        kind = pool.ConnectionCls
        if kind.response_class is not _Response:
            pool.ConnectionCls = type(kind.__name__, (kind,), {"response_class": _Response})
        self._pool = pool
        return pool

    def close(self) -> None:
        """Close the connections also at the process's end, when urllib3's finalizers are over."""
        super().close()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  http.client's
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Timely(self.fp, sock))

    def begin(self) -> None:
        """Pass over each head that announces the answer, as 103 does; http.client knows 100."""
        super().begin()
        while self.status < HTTPStatus.OK:  # https://www.rfc-editor.org/rfc/rfc9110#section-15.2
            self.headers = None  # type: ignore[assignment]
            super().begin()


class _Timely(io.RawIOBase):
    """What ``file`` brings from its first byte on, within the timeout of its socket ``sock``."""

    def __init__(self, file: io.BufferedReader, sock: socket.socket) -> None:
        self._file, self._sock, self._seconds = file, sock, sock.gettimeout() or math.inf
        self._deadline = math.inf

    def readable(self) -> bool:
        """Say so."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  io's own
        """Read what is there. Raises TimeoutError after the deadline."""
        if self._deadline < math.inf:
            left = self._deadline - time.monotonic()
            if left <= 0:
                msg = "the answer came too slowly"
                raise TimeoutError(msg)
            self._sock.settimeout(left)
        size = self._file.readinto1(buffer)
        self._deadline = min(self._deadline, time.monotonic() + self._seconds)
        return size

    def close(self) -> None:
        """Close both; the connection may go on."""
        self._file.close()
        if self._deadline < math.inf:
            with contextlib.suppress(OSError):  # it was closed
                self._sock.settimeout(self._seconds)
        super().close()


ANSWER_LIMIT = 64 * 1024
UPLOAD_RATE = 64 * 1024  # bytes a second: an upload gets the time that this rate needs


class HttpResponse(NamedTuple):
    """An HTTP answer, its body cut at ``ANSWER_LIMIT``."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """One kept-alive connection to the service at ``api_url``; ``timeout`` is (connect, read).

    Redirects are not followed. Each call raises TemporaryError where no answer came, and that
    shows no secret. Called by one thread at a time; makes no connection before the first call.
    """

    def __init__(self, api_url: str, timeout: tuple[float, float]) -> None:
        self.api_url = api_url
        self._timeout = timeout
        self._session: requests.Session | None = None

    def post(
        self, path: str, data: Mapping[str, Any], files: Mapping[str, Any] | None = None
    ) -> HttpResponse:
        """Return the answer to ``data`` in the request's body."""
        size = len(files["attachment"][1]) if files else len(data.get("attachment_base64", ""))
        limits = [limit + size / UPLOAD_RATE for limit in self._timeout]
        try:
            return self._call("POST", path, limits, data=data, files=files)
        except _FAILURES as error:
            if isinstance(error, requests.RequestException):
                error.request = None  # its body holds the token
            raise self._failure(error) from error

    def get(self, path: str, token: str) -> HttpResponse:
        """Return the answer to a call that takes the token in its address, as these do.

        That address is in no log line of urllib3's and in no exception below ours.
        """
        logging.getLogger("urllib3.connectionpool").addFilter(_shows_no_token)
        try:
            return self._call("GET", path, self._timeout, params={"token": token})
        except _FAILURES as error:
            failure = self._failure(error)
        raise failure  # out here it drags no other along

    def close(self) -> None:
        """Close the connection; a later call opens a new one."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def forget(self) -> None:
        """Leave the connection to the parent process, whose it is, after a fork."""
        self._session = None

    def _call(self, method: str, path: str, limits: Any, **what: Any) -> HttpResponse:  # noqa: ANN401  requests' own
        if self._session is None:
            self._session = _session(self.api_url)
        response = self._session.request(
            method,
            self.api_url + path,
            timeout=tuple(limits),
            allow_redirects=False,
            stream=True,
            **what,
        )
        with response:
            body = _read(response)
        return HttpResponse(response.status_code, response.headers, body)

    def _failure(self, error: Exception) -> TemporaryError:
        timed_out = isinstance(error, (requests.Timeout, ReadTimeoutError, TimeoutError))
        return TemporaryError(
            f"no answer from {self.api_url}: {type(error).__name__}",
            timed_out=timed_out,
            may_have_arrived=not _is_unconnected(error),
        )


# What fails before the request is on its way.
_UNSENT = (
    requests.ConnectTimeout,
    requests.exceptions.InvalidURL,
    requests.exceptions.ProxyError,
    requests.exceptions.SSLError,
)
_FAILURES = (requests.RequestException, HTTPError, OSError)


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Say that there is none: to look at one, requests reads the whole of its body."""


def _session(url: str) -> requests.Session:
    """Return a session for ``url`` that reads proxies and certificates from the environment once.

    requests does so for each request, which is a fifth of what one costs, and looks for passwords
    in a .netrc, which the service has no use for. Plain http, which is for this machine alone, goes
    through no proxy, who would read it.
    """
    made = _Session()
    made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # the service has none
    for scheme in ("http://", "https://"):
        made.mount(scheme, DeadlineAdapter())
    found = made.merge_environment_settings(url, {}, None, None, None)
    made.verify, made.trust_env = found["verify"], False
    if url.lower().startswith("https:"):
        made.proxies = found["proxies"]
    return made


def _shows_no_token(record: logging.LogRecord) -> bool:
    return ".json?token=" not in str(record.args)  # of the program's own calls, all are shown


def _is_unconnected(error: Exception) -> bool:
    """Tell whether no connection was made, so that nothing can have arrived."""
    if isinstance(error, _UNSENT):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError)  # its name was not found, too


def _read(response: requests.Response) -> bytes:
    """Read the answer's body: at most ``ANSWER_LIMIT`` bytes, within the answer's deadline."""
    body = b""
    read = getattr(response.raw, "read1", response.raw.read)  # urllib3 before 2.2 has no read1
    while len(body) < ANSWER_LIMIT:
        part = read(ANSWER_LIMIT, decode_content=True)
        if not part:
            break
        body += part
    return body
