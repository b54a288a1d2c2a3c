"""PushoverHandler: the logging interface of a pipeline; it decides nothing itself."""

from __future__ import annotations

import contextlib
import logging
import os
import weakref
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pushover_logging import config, program_setup
from pushover_logging.clock import Clock
from pushover_logging.delivery import lifecycle
from pushover_logging.delivery.counters import Counters, Stats
from pushover_logging.delivery.trail import Trail
from pushover_logging.diagnostics import warn
from pushover_logging.exceptions import ConfigurationError
from pushover_logging.identity.record_parts import (
    JOB,
    RecordParts,
    message_text,
    pushover_extra,
    with_fitting_arguments,
)
from pushover_logging.levels import Levels, level_number
from pushover_logging.message import FIELDS, Message
from pushover_logging.rendering.attachments import OversizedImage
from pushover_logging.rendering.formatter import PushoverFormatter
from pushover_logging.rendering.record_view import copy_record, with_valid_fields
from pushover_logging.rendering.redaction import redacted
from pushover_logging.rendering.summary import resolved

if TYPE_CHECKING:
    from pushover_logging.delivery.dedup import Arrival
    from pushover_logging.delivery.pipeline import Pipeline, Settings
    from pushover_logging.identity.fingerprint import RecordKeys
    from pushover_logging.throttle.listing import ListedProblem
    from pushover_logging.throttle.throttle import Throttle

RECORD_KEYS = FIELDS | {"fingerprint", "resolves", "throttle"}
_MAX_LOGGERS = 1000
_MAX_WARNINGS = 20  # of one handler, about what records bring


class EntryLevel(int):
    """A handler's level to which `logging` also passes records from ``lowest`` on.

    They are for the trail, or the first sign that the handler was added to a logger. `logging`
    compares with ``record.levelno >= handler.level``; for all else it is the level that it shows.
    """

    lowest: int

    def __le__(self, other: int) -> bool:
        return other >= self.lowest


class PushoverHandler(logging.Handler):
    """Sends records to phones through Pushover, from a background thread.

    A logging call never waits on the network and never raises. docs/options.md describes the
    options; times are seconds or texts like ``1h30m``. Raises ConfigurationError with the name of
    the option, the value that it got and the values that it takes. The handler opens no thread,
    socket or file before the first record that passes its level and filters, unless an outbox file
    or Redis has something to report: docs/oncall.md describes which process looks for it, and when.
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
        source_root: str | os.PathLike[str] | None = None,
        commit: str | None = None,
        ttl: int | str | None = None,
        retry: int | str | None = None,
        expire: int | str | None = None,
        tags: str | None = None,
        callback: str | None = None,
        html: bool | None = None,
        monospace: bool | None = None,
        title: str | None = None,
        body: str | None = None,
        style: str = "%",
        extras: Sequence[str] | bool | None = None,
        host: str | None = None,
        trail: int = 3,
        trail_level: int | str = logging.INFO,
        throttle: object = None,
        outbox: str | os.PathLike[str] | None = None,
        redact: object = None,
        encryption_key: str | None = None,
        capacity: int = 1000,
        max_age: float | str = 86_400,
        close_timeout: float | str = 8.0,
        timeout: float | tuple[float, float] | None = None,
        api_url: str | None = None,
        terminate: bool = False,
        clock: Clock | None = None,
    ) -> None:
        given = locals()
        number = level_number(level)
        lines, self._trail_level = config.trail(trail, trail_level)
        self._trail = Trail(lines)
        self._fields_of_level = lru_cache(maxsize=64)(Levels(levels).fields)
        self._fields = config.message_fields({name: given[name] for name in config.MESSAGE_OPTIONS})
        self._clock = clock or Clock()
        account = config.credentials(token, user, encryption_key)
        self._default_formatter = config.formatter(given, account)
        rules = config.rules(throttle)
        self._group_by = rules.group_by if rules else ()
        size = int(config.number("capacity", capacity, low=1))
        times = {name: config.seconds(name, given[name]) for name in ("max_age", "close_timeout")}
        make_client = config.client_factory(account, api_url, timeout)
        self._warned: set[object] = set()
        self._known_loggers: set[str] = set()  # of which the handlers were looked at
        terminate = config.boolean("terminate", terminate)
        self._settings: Settings | None = None
        self._pipeline: Pipeline | None = None
        # What two handlers have in common that send each record twice to a phone.
        self.destination: object = self
        if make_client is not None:
            # Imported here, by the thread that configures: a program that sends nothing needs none.
            from pushover_logging.delivery.pipeline import Settings  # noqa: PLC0415

            client = make_client()
            self.destination = client.account, client.api_url, self._fields.get("device")
            path = config.outbox(outbox, client.application)
            host = self._default_formatter.host
            self._settings = Settings(
                make_client, rules, size, path, host, clock=self._clock,
                text_of=self._default_formatter.one_line, **times,
            )  # fmt: skip
        # Last: logging.Handler registers itself, and one that was refused must not stay there.
        super().__init__(number)
        self._is_in_use = False  # True from the first record on
        self.setLevel(number)
        program_setup.watch_basic_config()
        if self._settings is None:
            state = config.UNSET if token == config.UNSET else config.OFF
            warn("PUSHOVER_TOKEN is %s: nothing is sent", state)
            return
        lifecycle.register_owner(self)
        if terminate:
            lifecycle.hook_termination()
        self._build(self._settings).take_over(begins=True)

    def __repr__(self) -> str:
        """Show level and destination, and no secret."""
        level = logging.getLevelName(getattr(self, "level", logging.NOTSET))
        is_on = getattr(self, "_pipeline", None) is not None  # the constructor can fail before
        return f"<{type(self).__name__} ({level}){'' if is_on else ' off'}>"

    def _build(self, settings: Settings) -> Pipeline:
        from pushover_logging.delivery.pipeline import Pipeline  # noqa: PLC0415  see above

        pipeline = self._pipeline = Pipeline(settings)
        # The backlog of a handler that is only let go of is sent: the sender outlives it.
        weakref.finalize(self, pipeline.thread.request_close).atexit = False
        return pipeline

    def after_fork(self) -> None:
        """Drop the parent's pipeline, build one of this process, and take over as that."""
        self._trail.clear()
        if self._settings is not None:
            self._build(self._settings).take_over(begins=True)

    def take_over(self) -> None:
        """Begin to send what dead processes left in the outbox; return at once."""
        if self._pipeline is not None:
            self._current().take_over()

    def handle(self, record: logging.LogRecord) -> bool | logging.LogRecord:  # type: ignore[override]
        """Filter and emit, without the handler's lock.

        `logging.shutdown` and dictConfig hold that lock while they flush. Nothing passes from a
        thread that sends, nor from this library's own logger: root at DEBUG never loops.
        """
        if not self._is_in_use:
            self._is_in_use = True
            self.setLevel(int(self.level))
            program_setup.check(self)
        if self._pipeline is None or lifecycle.is_of_sender(record):
            return False
        allowed = self.filter(record)
        if isinstance(allowed, logging.LogRecord):  # a filter may replace the record, since 3.12
            record = allowed
        if allowed:
            try:
                is_below = record.levelno < self.level
            except Exception:  # noqa: BLE001  records come in any shape
                is_below = False
            if is_below:
                self._trail.take(record)
                if self._pipeline.will_watch:
                    with contextlib.suppress(Exception):  # a logging call never raises
                        self._current().watch()
            else:
                self.emit(record)
        return allowed

    def setLevel(self, level: int | str) -> None:  # noqa: N802  logging's name
        """Set the level from which records are sent; the trail's lines can be below it."""
        super().setLevel(level)
        # Until the first record also a WARNING, which Python would show on stderr.
        lowest = self._trail_level if self._is_in_use else min(self._trail_level, logging.WARNING)
        if lowest < self.level:
            entry = EntryLevel(self.level)
            entry.lowest = lowest
            self.level: int = entry

    def emit(self, record: logging.LogRecord) -> None:
        """Count the record, or put its Message into the outbox; never raises into the program."""
        arrival = [record]
        try:
            pipeline = self._pipeline
            if pipeline is None or (not self._group_by and pipeline.dedup.count(arrival)):
                return
            arrival[0] = with_valid_fields(record, self._clock)
            self._current().guard.enter(arrival, self._submit)
            if lifecycle.has_exited():
                lifecycle.report_unsent()
        except Exception:  # noqa: BLE001  a logging call never raises into the program
            try:
                self._fail(arrival)
                self.handleError(record)
            except RecursionError:  # pragma: no cover  no room for a call, and for what measures
                if arrival and self._pipeline is not None:
                    self._pipeline.counters.missed += 1
                    arrival[:] = ()
        except BaseException:  # of a signal handler
            self._fail(arrival)
            raise

    def _fail(self, arrival: Arrival) -> None:
        """Count a record as failed if something was raised before it had an outcome."""
        pipeline = self._pipeline
        if pipeline is not None:  # pragma: no branch  else nothing was taken
            pipeline.guard.leave(arrival)
            pipeline.dedup.failed(arrival)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """Show a record's fault as logging does; if that fails too, it is silent."""
        with contextlib.suppress(Exception):  # a stderr that is closed, a repr without end
            super().handleError(record)

    def message(self, record: logging.LogRecord) -> Message:
        """Return the Message for a record, without what the throttle adds."""
        return self._message(with_valid_fields(record, self._clock))[0]

    def setFormatter(self, fmt: logging.Formatter | None) -> None:  # noqa: N802  logging's name
        """Set the formatter of the body; a PushoverFormatter gets missing options from here."""
        if isinstance(fmt, PushoverFormatter):
            fmt = fmt.adopted(self._default_formatter)
        super().setFormatter(fmt)

    def resolve(self, name: str, **fields: object) -> None:
        """End the problem whose records named it by the ``fingerprint`` ``name``.

        Its emergencies stop repeating, a quiet push reports how long it lasted, and its next record
        is reported at once. If the problem is unknown, nothing happens. ``fields`` are the values
        of the record fields in the throttle's ``group_by``. The call counts as a record in `stats`.
        """
        given = {"levelno": logging.INFO, "created": self._clock.time(), **fields}
        self.emit(logging.makeLogRecord({**given, "pushover": {"resolves": name}}))

    def problems(self, *, include_over: bool = False) -> list[ListedProblem]:
        """Return the open problems, the newest first.

        ``include_over``: also return problems that were quiet for a whole window, and resolved
        ones. With an outbox file or Redis, the problems of all processes that share it are
        returned. Raises the same errors as `mute`.
        """
        with self._problems() as throttle:
            return throttle.problems(self._clock.time(), include_over=include_over)

    def mute(
        self, name: str | None = None, *, seconds: float | str, include_critical: bool = False
    ) -> None:
        """Hold back pushes for ``seconds``, at most 7 days; records are still counted.

        ``name`` is the id of a problem, or a ``fingerprint``, which with ``group_by`` means all
        problems that have it; None mutes all problems. CRITICAL records are sent unless
        ``include_critical`` is True. At the end, a quiet push reports what was held back. The mute
        applies to all processes that share the outbox file or Redis. Raises ConfigurationError if
        an argument is invalid, if the throttle is off, or if the handler is closed and keeps its
        problems in memory; TemporaryError if the shared state cannot be reached.
        """
        found = config.mute_name("name", name)
        length = config.mute_seconds("seconds", seconds)
        include_critical = config.boolean("include_critical", include_critical)
        with self._problems() as throttle:
            sender = None if self._pipeline is None else self._pipeline.sender
            if sender is not None and sender.closing and sender.shared is None:
                msg = "mute: the handler is closed, and without shared state it reports all at once"
                raise ConfigurationError(msg)
            throttle.mute(found, length, include_critical=include_critical)

    def unmute(self, name: str | None = None) -> None:
        """End the mute of ``name`` early; without ``name``, end all mutes.

        If there is no such mute, nothing happens. Raises the same errors as `mute`.
        """
        found = config.mute_name("name", name)
        with self._problems() as throttle:
            throttle.unmute(found)

    def stats(self) -> Stats:
        """Return the counters, the quota and the last error at this moment."""
        if self._pipeline is None:
            return Counters().stats(None, None)
        pipeline = self._current()
        pipeline.guard.drain(self._submit)
        try:
            return pipeline.stats()
        finally:
            pipeline.guard.drain(self._submit)

    def flush(self, timeout: float | None = None) -> bool:  # type: ignore[override]
        """Wait until all messages are sent, at most ``timeout`` seconds.

        That includes messages that dead processes left in the outbox. None waits ``close_timeout``
        seconds. Returns False if a message still waits. If the calling thread holds the lock of
        `logging`, returns at once.
        """
        if self._pipeline is None:
            return True
        pipeline = self._current()
        pipeline.guard.drain(self._submit)
        if not pipeline.guard.is_inside():
            pipeline.dedup.failed()
            if timeout != 0:  # else nothing waits for what it finds
                pipeline.take_over()
        done = pipeline.thread.wait(timeout)
        pipeline.guard.drain(self._submit)
        return done

    def report_due(self) -> bool:
        """Report what is due in the shared state, whichever process counted it; wait as `flush`."""
        if self._pipeline is not None:
            pipeline = self._current()
            pipeline.sender.look_for_due()
            pipeline.thread.wake()
        return self.flush()

    def close(self) -> None:
        """Send what waits, and a digest of the counts, within ``close_timeout`` seconds.

        After that, what is left is sent as long as the process lives. Later records are sent, too.
        """
        if self._pipeline is not None:
            self._current().thread.request_close()
            self.flush()
        super().close()

    def _current(self) -> Pipeline:
        """Return this process's pipeline, also after a fork that ran no hooks."""
        pipeline = self._pipeline
        if pipeline is None or pipeline.pid != os.getpid():
            self.after_fork()
        return self._pipeline  # type: ignore[return-value]  # callers have seen that there is one

    def _problems(self) -> contextlib.AbstractContextManager[Throttle]:
        """Return what lends this thread the problems' state; nothing is kept if nothing is sent."""
        if self._settings is None:
            from pushover_logging.throttle.rules import Rules  # noqa: PLC0415  not at the start
            from pushover_logging.throttle.store import MemoryStore  # noqa: PLC0415
            from pushover_logging.throttle.throttle import Throttle  # noqa: PLC0415

            nothing = Throttle(MemoryStore(self._clock), Rules(), is_shared=False)
            return contextlib.nullcontext(nothing)
        if self._settings.rules is None:
            msg = "throttle: it is off, so there are no problems to mute or to list"
            raise ConfigurationError(msg, option="throttle")
        return self._current().problems()

    def _submit(self, arrival: Arrival, wait: bool) -> bool:  # noqa: FBT001  see `Take`
        """Take a record; False if this call interrupts the pipeline."""
        if not arrival:  # its own call has counted it as failed
            return True
        record = arrival[0]
        try:
            lifecycle.hook_exit()  # a multiprocessing child is known as one only after its fork
            return self._current().submit(arrival, self._compose, wait=wait)
        except Exception:  # noqa: BLE001  what was deferred must not stop the others
            self._fail(arrival)
            self.handleError(record)
            return True

    def _warn_of_setup(self, record: logging.LogRecord, own: Mapping[str, object]) -> None:
        """Warn once of each mistake in the program's set-up that a new problem reveals.

        That is a second handler that sends the same records, and a key of a record's ``pushover``
        mapping that means nothing.
        """
        if record.name not in self._known_loggers and len(self._known_loggers) < _MAX_LOGGERS:
            self._known_loggers.add(record.name)
            for problem in program_setup.duplicate_handlers(self, record.name):
                self._warn_once("twice", "%s", problem)
        given = getattr(record, "pushover", None)
        strange: list[object] = [key for key in own if key not in RECORD_KEYS]
        if given is not None and not isinstance(given, Mapping):
            strange = [f"a {type(given).__name__}, not a mapping"]
        for key in strange:
            takes = ", ".join(sorted(RECORD_KEYS))
            text = "the pushover extra of a record: got %s, takes %s"
            self._warn_once(("key", key), text, redacted(key), takes)

    def _warn_once(self, key: object, text: str, *args: object) -> None:
        if key not in self._warned and len(self._warned) < _MAX_WARNINGS:
            self._warned.add(key)
            warn(text, *args)

    def _compose(
        self, record: logging.LogRecord, keys: RecordKeys
    ) -> tuple[Message, OversizedImage | None]:
        if keys.resolves is not None:
            name = " ".join(str(keys.resolves).removeprefix(JOB).split())
            shown, text = self._default_formatter.redacted, message_text(record)
            return resolved(shown(f"Resolved: {name}"), shown(text), record.created), None
        return self._message(record, keys.parts)

    def _message(
        self, record: logging.LogRecord, parts: RecordParts | None = None
    ) -> tuple[Message, OversizedImage | None]:
        fields = {**self._fields, **self._fields_of_level(record.levelno)}
        own = pushover_extra(record)
        self._warn_of_setup(record, own)
        fields.update((name, value) for name, value in own.items() if name in FIELDS)
        formatter, body = self.formatter, None
        if not isinstance(formatter, PushoverFormatter):
            if formatter:
                body = formatter.format(copy_record(with_fitting_arguments(record)))
            formatter = self._default_formatter
        trail = self._trail.lines(record) if self._trail.rings else ()
        return formatter.build(record, fields, body=body, parts=parts, trail=trail)
