"""What a connection brings: an answer within bounds, or a failure, and what that failure means."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NamedTuple

import requests
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError

from pushover_logging.deadline import TimelyAdapter
from pushover_logging.exceptions import TemporaryError

ANSWER_LIMIT = 64 * 1024
UPLOAD_RATE = 64 * 1024  # bytes a second: an upload gets the time that this rate needs


class Answer(NamedTuple):
    """An HTTP answer, its body cut at ``ANSWER_LIMIT``."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
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
    ) -> Answer:
        """Return the answer to ``data`` in the request's body."""
        size = len(files["attachment"][1]) if files else len(data.get("attachment_base64", ""))
        limits = [limit + size / UPLOAD_RATE for limit in self._timeout]
        try:
            return self._call("POST", path, limits, data=data, files=files)
        except _FAILURES as error:
            if isinstance(error, requests.RequestException):
                error.request = None  # its body holds the token
            raise self._failure(error) from error

    def get(self, path: str, token: str) -> Answer:
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

    def _call(self, method: str, path: str, limits: Any, **what: Any) -> Answer:  # noqa: ANN401  requests' own
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
        return Answer(response.status_code, response.headers, body)

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
        made.mount(scheme, TimelyAdapter())
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
