"""JobAlerts: the pushes of ``pushover-logging run``, throttled over all runs of a job.

OutputTail keeps the end of the job's output for them.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pushover_logging import config
from pushover_logging.cli.shared_state import PATIENCE, shared_handler, shared_throttle
from pushover_logging.cli.terminal import warn
from pushover_logging.exceptions import ConfigurationError, DeliveryError
from pushover_logging.handler import PushoverHandler
from pushover_logging.message import MESSAGE_LIMIT, TITLE_LIMIT
from pushover_logging.rendering.redaction import MAX_CHARS, Redaction
from pushover_logging.rendering.summary import format_duration
from pushover_logging.rendering.text import clean, largest_fitting, truncate
from pushover_logging.throttle import jobs
from pushover_logging.throttle.store import Job as Deadline

_START_PATIENCE = 0.1  # seconds that an access to the state may delay the job's start
_NOTICE_DELAY = 1.0  # seconds until a user at a terminal learns why the command does not end
_MAX_OUTPUT = MAX_CHARS // 4  # bytes; at most twice as many are kept, and all redacted
_ELLIPSIS = "…"


@dataclass(frozen=True, slots=True)
class Job:
    """A command that is run repeatedly.

    ``fingerprint`` is that of its failures. ``command`` is None if it must not be shown. ``fields``
    are Message fields of the alerts. ``always`` sends a push for each run. ``max_seconds`` is how
    long a run may take, None for any time. ``deadline`` is when it has to start again, without
    ``every`` if an earlier run has set that; None for a job without a name of its own.
    """

    name: str
    fingerprint: str
    command: str | None
    fields: dict[str, Any]
    always: bool
    max_seconds: float | None
    deadline: Deadline | None

    @property
    def overrun_fingerprint(self) -> str:
        """The fingerprint of its runs that take too long."""
        return f"{self.fingerprint} (too long)"


class OutputTail:
    """The last bytes of a command's output, which any thread can add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes = bytearray()
        self._is_complete = True

    def add(self, part: bytes) -> None:
        """Append a part of the output."""
        with self._lock:
            self._bytes += part[-_MAX_OUTPUT:]
            if len(part) > _MAX_OUTPUT or len(self._bytes) > 2 * _MAX_OUTPUT:
                self._is_complete = False
                del self._bytes[:-_MAX_OUTPUT]

    def text(self, redact: Callable[[str], str]) -> str:
        """Return the last lines without secrets.

        An incomplete first line is left out: it might end in a part of a secret, which no pattern
        recognises.
        """
        with self._lock:
            text, is_complete = bytes(self._bytes).decode("utf-8", "replace"), self._is_complete
        text = clean(text)
        if not is_complete:
            text = text.partition("\n")[2] if "\n" in text.rstrip("\n") else ""
        return redact(text).strip("\n")


class JobAlerts:
    """Sends the alerts of one run of ``job``, by the state that all runs share.

    ``arguments`` are the command's, which name that state.

    If the handler cannot be created, one line on stderr reports it: the job must run anyway. The
    main thread calls this, and a timer thread while the main thread waits for the job.
    """

    def __init__(self, job: Job, output: OutputTail, arguments: argparse.Namespace) -> None:
        self.job = job
        self._output = output
        self._arguments = arguments
        self._clock = arguments.clock
        self._started = self._clock.monotonic()
        self._handler: PushoverHandler | None = None
        self._is_overrun = self._is_misconfigured = False
        self._warned: set[str] = set()
        self._sets_deadline = job.deadline is not None and job.deadline.every > 0
        self._is_start_due = True  # it is not recorded yet

    def report_start(self) -> None:
        """Set the deadline of the next start; if this one missed its own, resolve that.

        The job does not wait for a state that cannot be used now: `report_end` tries again.
        """
        with contextlib.suppress(DeliveryError):
            self._record_start(0.0, _START_PATIENCE)

    def report_end(self, status: int) -> None:
        """Record with which status the job ended, if it has a deadline."""
        deadline, what = self.job.deadline, "the end of the job is not recorded"
        try:
            if self._is_start_due:
                what = "no deadline is set" if self._sets_deadline else "the run is not recorded"
                self._record_start(self._clock.monotonic() - self._started, PATIENCE)
            if deadline is None or not deadline.started:
                return
            with shared_throttle(self._arguments, create=True) as throttle:
                jobs.end(throttle.store, self.job.name, deadline.started, status)
        except (ConfigurationError, DeliveryError) as error:
            self._warn(what, error)

    def _record_start(self, ago: float, patience: float) -> None:
        """Record that the job started ``ago`` seconds ago. Raises TemporaryError."""
        name, deadline = self.job.name, self.job.deadline
        was_overdue = False
        try:
            if deadline is not None and config.credentials() is not None:
                with shared_throttle(
                    self._arguments, create=self._sets_deadline, patience=patience
                ) as throttle:
                    was_overdue = jobs.start(throttle.store, name, deadline, ago)
        except ConfigurationError as error:
            if self._sets_deadline:
                self._warn("no deadline is set", error)
        self._is_start_due = False
        if was_overdue:
            self._resolve(jobs.overdue_fingerprint(name))

    def report_failure(self, text: str) -> None:
        """Report that the job failed; ``text`` follows its name in the title."""
        self._report(logging.ERROR, text, self.job.fingerprint)

    def report_overrun(self) -> None:
        """Report that the job takes too long."""
        self._is_overrun = True
        text = f"still runs after {self._duration()}"
        self._report(logging.ERROR, text, self.job.overrun_fingerprint)

    def report_success(self) -> None:
        """Resolve earlier failures and overruns; with ``always``, report the success too."""
        if self.job.always:
            self._report(logging.INFO, "succeeded", self.job.fingerprint)
        self._resolve(self.job.fingerprint)
        if self.job.max_seconds is not None and not self._is_overrun:
            self._resolve(self.job.overrun_fingerprint)

    def close(self) -> None:
        """Print a line if a user at a terminal has to wait for the handler, which sends at exit."""
        handler = self._handler
        if handler is not None and sys.stderr.isatty() and not handler.flush(_NOTICE_DELAY):
            warn("still sending, for a few seconds at most")

    def _report(self, level: int, text: str, fingerprint: str) -> None:
        handler = self._get_handler()
        if handler is None:
            return
        name = truncate(" ".join(self.job.name.split()), TITLE_LIMIT - len(text) - 1)
        fields = {**self.job.fields, "title": f"{name} {text}", "message": self._message()}
        if level < logging.ERROR:
            fields["priority"] = -1
        own = {"throttle": False} if self.job.always else {"fingerprint": fingerprint}
        fields |= own
        self._emit(handler, level, fields["title"], fields)

    def _resolve(self, fingerprint: str) -> None:
        handler = self._get_handler(only_if_outbox_exists=True)
        if handler is not None:
            self._emit(handler, logging.INFO, "Fine again.", {"resolves": fingerprint})

    def _emit(self, handler: PushoverHandler, level: int, text: str, extra: dict[str, Any]) -> None:
        values = {"name": "run", "levelno": level, "msg": text, "created": self._clock.time()}
        handler.handle(logging.makeLogRecord({**values, "pushover": extra}))

    def _message(self) -> str:
        """Return the duration, the host, the command if it is shown, and the end of the output."""
        key = config.encryption_key(None)
        length: Callable[[str], int] = len if key is None else config.encrypted_length()
        redact = redaction()
        host = config.host(None)
        head = f"after {self._duration()}{f' on {host}' if host else ''}"
        if self.job.command is not None:
            head += "\n$ " + truncate(redact(self.job.command), MESSAGE_LIMIT // 4)

        def fits(end: str) -> bool:
            text = f"{head}\n{end}"
            return max(len(text), length(text)) <= MESSAGE_LIMIT

        end = _longest_end(self._output.text(redact), fits)
        return f"{head}\n{end}" if end else head

    def _duration(self) -> str:
        seconds = self._clock.monotonic() - self._started
        return format_duration(round(seconds, 1) if seconds < 10 else round(seconds))  # noqa: PLR2004  seconds with a decimal

    def _get_handler(self, *, only_if_outbox_exists: bool = False) -> PushoverHandler | None:
        """Return the handler, created at the first call; None if there is nothing to send."""
        if self._handler is None and not self._is_misconfigured:
            try:
                self._handler = shared_handler(
                    self._arguments, only_if_outbox_exists=only_if_outbox_exists
                )
            except ConfigurationError as error:
                self._is_misconfigured = True
                self._warn("no alerts can be sent", error)
        return self._handler

    def _warn(self, what: str, error: Exception) -> None:
        """Print what an error means for the job; each error once, for what it stops first."""
        if str(error) not in self._warned:
            self._warned.add(str(error))
            warn(f"{what}: {error}")


def redaction() -> Redaction:
    """Return what masks the secrets of an output, the account's own included."""
    own = None
    with contextlib.suppress(ConfigurationError):
        own = config.credentials()
    return Redaction(None, own.secrets() if own else ())


def _longest_end(text: str, fits: Callable[[str], bool]) -> str:
    """Return the longest end of ``text`` that ``fits``, from the start of a line if possible."""
    if fits(text):
        return text
    end = _end(text, largest_fitting(len(text), lambda size: fits(_end(text, size))))
    lines = end.partition("\n")[2]
    return f"{_ELLIPSIS}\n{lines}" if lines and fits(f"{_ELLIPSIS}\n{lines}") else end


def _end(text: str, size: int) -> str:
    return _ELLIPSIS + text[len(text) - size + 1 :] if size else ""
