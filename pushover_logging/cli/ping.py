"""Ping: requests to a service that misses a job from outside, which a dead host cannot do."""

from __future__ import annotations

import argparse
import threading
import time
from urllib.parse import SplitResult, urlsplit

from pushover_logging.cli.terminal import warn
from pushover_logging.rendering.redaction import describe_secret

MAX_BODY = 8 * 1024  # bytes
_TIMEOUT = 5.0  # seconds to connect, and to wait for the answer
_TRIES = 3
_PAUSE = 1.0  # seconds between two tries
_NOT_IN_URL = frozenset(' "<>\\^`{|}')  # https://www.rfc-editor.org/rfc/rfc3986#appendix-A
_LONGEST = _TRIES * (_TIMEOUT + _PAUSE)  # seconds for which the end of `run` waits


def ping_url(text: str) -> SplitResult:
    """Return the parts of the option ``--ping``, a secret that no error shows."""
    try:
        url = urlsplit(text)
        is_whole = text.isprintable() and _NOT_IN_URL.isdisjoint(text)
        if url.scheme in {"http", "https"} and url.hostname and url.port != 0 and is_whole:
            return url
    except ValueError:  # an invalid port, or an invalid host in brackets
        pass
    msg = f"got {describe_secret(text)}, takes an http or https URL without spaces"
    raise argparse.ArgumentTypeError(msg)


class Ping:
    """The pings of one run, by the protocol of https://healthchecks.io/docs/http_api/.

    Each is sent by a thread of its own, which no exit waits for. `end` is sent after `start`, also
    if that takes long: the service must not believe that the job still runs. The URL is a secret,
    and is not shown.
    """

    def __init__(self, url: SplitResult) -> None:
        self._url = url
        self._starting: threading.Thread | None = None
        self._ending: threading.Thread
        self._has_ended = threading.Event()

    def start(self) -> None:
        """Report that the job has started; returns at once."""
        self._starting = self._in_thread("/start", "")

    def end(self, status: int, output: str) -> None:
        """Report how the job ended, with the end of its ``output``; returns at once.

        A job that was not started fails; any other has its exit status.
        """
        self._has_ended.set()
        suffix = "/fail" if self._starting is None else f"/{status}" if status else ""
        self._ending = self._in_thread(suffix, output)

    def wait(self) -> None:
        """Wait for the ping of `end`, for 18 s at most."""
        self._ending.join(_LONGEST)
        if self._ending.is_alive():
            self._warn("no answer")

    def _in_thread(self, suffix: str, body: str) -> threading.Thread:
        thread = threading.Thread(target=self._send, args=(suffix, body), daemon=True)
        thread.start()
        return thread

    def _send(self, suffix: str, body: str) -> None:
        import requests  # noqa: PLC0415  while the job runs already

        is_end = suffix != "/start"
        if is_end and self._starting is not None:
            self._starting.join(_TIMEOUT)
        path = self._url.path.rstrip("/") + suffix
        url = self._url._replace(path=path).geturl()
        data, headers = body.encode()[-MAX_BODY:], {"Content-Type": "text/plain; charset=utf-8"}
        why = ""
        for number in range(_TRIES):
            if number and is_end:
                time.sleep(_PAUSE)
            elif number and self._has_ended.wait(_PAUSE):
                return
            try:
                with requests.post(
                    url, data, headers=headers, timeout=_TIMEOUT, allow_redirects=False, stream=True
                ) as response:
                    status = response.status_code
            except (requests.RequestException, ValueError) as error:
                why = type(error).__name__
                continue
            if status < 300:  # noqa: PLR2004  2xx
                return
            why = f"HTTP {status}"
            if status < 500:  # noqa: PLR2004  4xx, and redirects, which are not followed
                break
        self._warn(why)

    def _warn(self, why: str) -> None:
        warn(f"the ping to {self._url.hostname} failed: {why}")
