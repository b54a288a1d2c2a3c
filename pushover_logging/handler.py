"""PushoverHandler: puts the parts together; what each decides, it decides itself."""

from __future__ import annotations

import contextlib
import logging
import os
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from pushover_logging import config, lifecycle
from pushover_logging.assembly import ledger_for, phone_for
from pushover_logging.books.looking import about, envelope_for
from pushover_logging.books.stats import Stats
from pushover_logging.clock import Clock
from pushover_logging.diagnostics import warn
from pushover_logging.identity.fingerprint import RecordKeys, pushover_extra, record_keys
from pushover_logging.levels import Levels, level_number
from pushover_logging.message import FIELDS, Message
from pushover_logging.rendering.attachments import OversizedImage
from pushover_logging.rendering.formatter import PushoverFormatter
from pushover_logging.rendering.record_view import copy_record, with_valid_time
from pushover_logging.rendering.summary import resolved
from pushover_logging.sender import Sender
from pushover_logging.throttle.machine import Rules
from pushover_logging.throttle.problem import Verdict
from pushover_logging.throttle.table import Answer


class PushoverHandler(logging.Handler):
    """Sends records to phones through Pushover, from a background thread.

    A logging call never waits on the network and never raises. The options are those of the
    README's table; times are in seconds, ``clock`` is for tests. Raises ConfigurationError that
    names the option, what it got and what it takes. No thread, socket or file is opened before the
    first record that is let through, but to send what a dead process left in the outbox.
    """

    sends_to_pushover = True  # read by diagnostics: this handler never takes its own warnings

    def __init__(  # noqa: PLR0913  each is an option of the table
        self,
        *,
        token: str | None = None,
        user: str | None = None,
        level: int | str = logging.ERROR,
        levels: Mapping[Any, Any] | None = None,
        device: str | None = None,
        sound: str | None = None,
        url: str | None = None,
        url_title: str | None = None,
        ttl: int | None = None,
        retry: int | None = None,
        expire: int | None = None,
        tags: str | None = None,
        callback: str | None = None,
        html: bool | None = None,
        monospace: bool | None = None,
        title: str | None = None,
        body: str | None = None,
        style: str = "%",
        extras: Sequence[str] | bool | None = None,
        host: str | None = None,
        throttle: object = None,
        outbox: str | os.PathLike[str] | None = None,
        redact: object = None,
        encryption_key: str | None = None,
        capacity: int = 1000,
        max_age: float = 86_400,
        close_timeout: float = 5.0,
        timeout: float | tuple[float, float] | None = None,
        api_url: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        given = locals()
        number = level_number(level)
        self._levels = Levels(levels)
        self._fields = config.message_fields(
            {name: given[name] for name in config.MESSAGE_OPTIONS}
        )
        self._clock = clock or Clock()
        key = config.encryption_key(encryption_key)
        self._phone = phone_for(given, config.secrets(token, user, key), encrypted=key is not None)
        rules = config.rules(throttle)
        self._throttled, rules = rules is not None, rules or Rules()
        self._by = rules.by
        size = int(config.number("capacity", capacity, low=1))
        times = {
            name: config.number(name, given[name], low=0) for name in ("max_age", "close_timeout")
        }
        client = config.client(token, user, api_url, timeout, key)
        path = config.outbox(outbox, client.application) if client else None
        account = client.account if client else ""
        self._ledger = ledger_for(rules, size, path, account, self._phone.host or "", self._clock)
        # Last: logging.Handler registers itself, and one that was refused must not stay there.
        super().__init__(number)
        self._sender: Sender | None = None
        if client is None:
            warn("PUSHOVER_TOKEN is off: nothing is sent")
            return
        host, clock = self._phone.host, self._clock
        self._sender = Sender(self._ledger, client, clock=clock, host=host, **times)
        # A handler that is only let go of still has its backlog sent: the sender outlives it.
        weakref.finalize(self, self._sender.request_close).atexit = False
        self._sender.take_over()

    def __repr__(self) -> str:
        """Show level and destination, and no secret."""
        level = logging.getLevelName(self.level)
        return f"<{type(self).__name__} ({level}){'' if self._sender else ' off'}>"

    def handle(self, record: logging.LogRecord) -> bool | logging.LogRecord:  # type: ignore[override]
        """Filter and emit, without the handler's lock.

        `logging.shutdown` and dictConfig hold that lock while they flush. Nothing comes through
        from a thread that sends, nor from this library's own logger: root at DEBUG never loops.
        """
        if self._sender is None or lifecycle.is_of_sender(record):
            return False
        allowed = self.filter(record)
        if isinstance(allowed, logging.LogRecord):  # a filter may replace the record, since 3.12
            record = allowed
        if allowed:
            self.emit(record)
        return allowed

    def emit(self, record: logging.LogRecord) -> None:
        """Count the record and, where the throttle lets it through, hand its Message over."""
        record = with_valid_time(record, self._clock)
        if self._sender is not None:
            self._sender.check_process()
        if self._by or not self._ledger.duplicates.count(record):
            self._ledger.entrance.enter(record, self._takes)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """Show a record's fault as logging does; where that cannot be shown, nobody is told."""
        with contextlib.suppress(Exception):  # a stderr that is closed, a repr without end
            super().handleError(record)

    def message(self, record: logging.LogRecord) -> Message:
        """Return the Message that this handler makes of a record, before the throttle's words."""
        return self._composed(record)[0]

    def _composed(self, record: logging.LogRecord) -> tuple[Message, OversizedImage | None]:
        fields = {**self._fields, **self._levels.fields(record.levelno)}
        fields.update(
            (name, value) for name, value in pushover_extra(record).items() if name in FIELDS
        )
        phone, body = self.formatter, None
        if not isinstance(phone, PushoverFormatter):
            body = phone.format(copy_record(record)) if phone else None
            phone = self._phone
        return phone.build(record, fields, body=body)

    def setFormatter(self, fmt: logging.Formatter | None) -> None:  # noqa: N802  logging's name
        """Set what makes the body; of a PushoverFormatter a copy takes what it lacks from here."""
        super().setFormatter(
            fmt.adopted(self._phone) if isinstance(fmt, PushoverFormatter) else fmt
        )

    def resolve(self, name: str, **fields: object) -> None:
        """End the problem whose records named it by the ``fingerprint`` ``name``.

        Its emergencies stop repeating, a quiet push says how long it lasted, and the next record of
        it is told at once; nothing happens where it is not known. ``fields`` are the values of the
        record fields that the throttle's ``by`` names. Counts as a record in `stats`.
        """
        given = {"levelno": logging.INFO, "created": self._clock.time(), **fields}
        self.emit(logging.makeLogRecord({**given, "pushover": {"resolves": name}}))

    def stats(self) -> Stats:
        """Return the counters, the quota and the last error, as they stand at this moment."""
        self._ledger.entrance.drain(self._takes)
        try:
            if self._sender is None:
                return self._ledger.stats(None, None)
            return self._sender.stats()
        finally:
            self._ledger.entrance.drain(self._takes)

    def flush(self, timeout: float | None = None) -> bool:  # type: ignore[override]
        """Wait until nothing waits to be sent, at most ``timeout`` seconds.

        None waits ``close_timeout`` seconds. Returns False where something still waits. Does not
        wait at all where the calling thread holds logging's own lock.
        """
        if self._sender is None:
            return True
        self._ledger.entrance.drain(self._takes)
        done = self._sender.wait(timeout)
        self._ledger.entrance.drain(self._takes)
        return done

    def close(self) -> None:
        """Send what waits and the last counts, within ``close_timeout`` seconds.

        What is left then goes on being sent while the process lives. A record that comes after
        is sent all the same.
        """
        if self._sender is not None:
            self._sender.request_close()
            self.flush()
        super().close()

    def _takes(self, record: logging.LogRecord) -> bool:
        """Take a record; False where it interrupts the books."""
        try:
            return self._sender is None or self._admit(record, self._sender)
        except Exception:  # noqa: BLE001  a logging call never raises into the program
            self.handleError(record)
            return True

    def _admit(self, record: logging.LogRecord, sender: Sender) -> bool:
        try:
            asked = (
                record_keys(record, self._by, self._ledger.knows)
                if self._throttled
                else RecordKeys()
            )
        except BaseException:
            if not self._ledger.fail_unseen():
                return False  # fails again, and is counted, when it is drained
            raise
        if asked.resolves is not None and asked.key is not None:
            answer = self._ledger.resolve(asked.key)
        else:
            answer = self._ledger.admit(asked.key, record.levelno, record.created, asked.origin)
            if not self._by:
                self._ledger.duplicates.remember(record, asked.key, answer)
        if answer is not None and answer.verdict is not Verdict.SUPPRESSED:
            self._hand_over(record, sender, answer, asked)
        return answer is not None

    def _hand_over(
        self, record: logging.LogRecord, sender: Sender, answer: Answer, asked: RecordKeys
    ) -> None:
        original = None
        try:
            if answer.verdict is Verdict.RESOLVED:
                said = record.getMessage()
                message = resolved(asked.resolves, said, record.created, self._phone.shown)
            else:
                message, original = self._composed(record)
        except BaseException:
            if answer.verdict is not Verdict.DIGESTED:
                self._ledger.fail(answer.key or None, answer.along)
            raise
        envelope = envelope_for(record, message, answer, asked.origin, self._clock.monotonic())
        envelope.original = original
        if answer.verdict is Verdict.DIGESTED:
            self._ledger.describe(answer.key, about(envelope))
            sender.wake()
        else:
            sender.deliver(envelope)
