"""What a person is told of a job that is run again and again, over all of its runs."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pushover_logging import config
from pushover_logging.cli.tail import Tail, last
from pushover_logging.clock import Clock
from pushover_logging.config import state_folder
from pushover_logging.exceptions import ConfigurationError
from pushover_logging.handler import PushoverHandler
from pushover_logging.message import MESSAGE_LIMIT, TITLE_LIMIT
from pushover_logging.rendering.redaction import Redaction
from pushover_logging.rendering.summary import format_duration
from pushover_logging.rendering.text import truncate

_PATIENCE = 1.0  # seconds until a person at a terminal is told what is waited for
# The next run tells what is due then; a monthly job, too, is fine again once.
_THROTTLE = {"last_words": False, "cooling": 40 * 86_400}


@dataclass(frozen=True, slots=True)
class Job:
    """What is run: its ``name``, the ``key`` of its failures, and the command if it is shown.

    ``fields`` are Message fields of what is told, ``always`` tells each run, ``limit`` is how many
    seconds it may take, None for any.
    """

    name: str
    key: str
    outbox: str | None
    command: str | None
    fields: dict[str, Any]
    always: bool
    limit: float | None

    @property
    def slowness(self) -> str:
        """The key of its runs that take too long."""
        return f"{self.key} (too long)"


class Phone:
    """Tells of one run of a job, through an outbox that its runs share.

    What cannot be set up is said on stderr and changes nothing else: the job comes first. Called
    by the main thread, and by a timer's while that one waits for the job.
    """

    def __init__(self, job: Job, tail: Tail, clock: Clock) -> None:
        self._job = job
        self._tail = tail
        self._clock = clock
        self._began = clock.monotonic()
        self._handlers: list[PushoverHandler] = []
        self._is_slow = self._is_mute = False

    def failed(self, words: str) -> None:
        """Tell that the job failed; ``words`` say how, after its name."""
        self._tell(logging.ERROR, words, self._job.key)

    def slow(self) -> None:
        """Tell that the job takes longer than it may."""
        self._is_slow = True
        words = f"still runs after {self._time()}"
        self._tell(logging.ERROR, words, self._job.slowness)

    def fine(self) -> None:
        """Tell that the job is fine again, where it was not; with ``always``, that it is fine."""
        if self._job.always:
            self._tell(logging.INFO, "succeeded", self._job.key)
        self._resolve(self._job.key)
        if self._job.limit is not None and not self._is_slow:
            self._resolve(self._job.slowness)

    def close(self) -> None:
        """Say, to a person who waits, what for; the exit waits, within the handler's bounds."""
        if sys.stderr.isatty() and not all(one.flush(_PATIENCE) for one in self._handlers):
            sys.stderr.write("pushover-logging: still sending, for a few seconds at most\n")

    def _tell(self, level: int, words: str, key: str) -> None:
        handler = self._handler()
        if handler is None:
            return
        title = (
            f"{truncate(' '.join(self._job.name.split()), TITLE_LIMIT - len(words) - 1)} {words}"
        )
        fields = {**self._job.fields, "title": title, "message": self._text()}
        if level < logging.ERROR:
            fields["priority"] = -1
        fields.update({"throttle": False} if self._job.always else {"fingerprint": key})
        self._emit(handler, level, title, fields)

    def _resolve(self, key: str) -> None:
        handler = self._handler(only_known=True)
        if handler is not None:
            self._emit(handler, logging.INFO, "Fine again.", {"resolves": key})

    def _emit(self, handler: PushoverHandler, level: int, text: str, own: dict[str, Any]) -> None:
        given = {"name": "run", "levelno": level, "msg": text, "created": self._clock.time()}
        handler.handle(logging.makeLogRecord({**given, "pushover": own}))

    def _text(self) -> str:
        """Return what fits: how long it took and where, the command if asked for, the output."""
        key = config.encryption_key(None)
        sealed: Callable[[str], int] = len if key is None else config.encrypted_length()
        redaction = Redaction(None, config.secrets(None, None, key))
        host = config.host(None)
        head = f"after {self._time()}{f' on {host}' if host else ''}"
        if self._job.command is not None:
            head += "\n$ " + truncate(redaction(self._job.command), MESSAGE_LIMIT // 4)
        output = self._tail.text(redaction)

        def fits(end: str) -> bool:
            text = f"{head}\n{end}"
            return max(len(text), sealed(text)) <= MESSAGE_LIMIT

        end = last(output, fits)
        return f"{head}\n{end}" if end else head

    def _time(self) -> str:
        seconds = self._clock.monotonic() - self._began
        return format_duration(round(seconds, 1) if seconds < 10 else round(seconds))  # noqa: PLR2004  as people say it

    def _handler(self, *, only_known: bool = False) -> PushoverHandler | None:
        """Return the handler, made now where there is none yet; None where nothing is to be told.

        ``only_known``: for what matters only where an earlier run has left something.
        """
        if self._handlers or self._is_mute:
            return self._handlers[0] if self._handlers else None
        outbox = self._job.outbox or os.environ.get("PUSHOVER_OUTBOX") or _own_outbox()
        try:
            client = config.client(None, None, None, None, config.encryption_key(None))
            if client is None:
                return None
            path = config.outbox(outbox, client.application)
            if only_known and path is not None and not path.exists():
                return None
            made = PushoverHandler(level=0, outbox=outbox, throttle=_THROTTLE, clock=self._clock)
        except ConfigurationError as error:
            self._is_mute = True
            sys.stderr.write(f"pushover-logging: nothing can be told: {error}\n")
            return None
        self._handlers.append(made)
        return made


def _own_outbox() -> str:
    """Return what a job's runs share where nobody chose: memory alone, where there is no home."""
    try:
        state_folder()
    except RuntimeError:  # a user without one, as in a container
        sys.stderr.write("pushover-logging: there is no home folder: runs know nothing of others\n")
        return config.OFF
    return "auto"
