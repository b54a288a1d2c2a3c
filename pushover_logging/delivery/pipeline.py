"""The parts of one handler in one process: dedup, outbox, throttles and sender.

A fork's child builds a new pipeline from the same `Settings`; the parent's is dropped, never reset.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pushover_logging.api.client import PushoverClient
from pushover_logging.clock import Clock
from pushover_logging.delivery import lifecycle
from pushover_logging.delivery.counters import Counters, Stats
from pushover_logging.delivery.dedup import Admission, Arrival, Dedup, ReentrancyGuard
from pushover_logging.delivery.sender import Sender, SenderThread
from pushover_logging.exceptions import TemporaryError, Unreachable
from pushover_logging.identity.fingerprint import RecordKeys, record_keys
from pushover_logging.message import Message
from pushover_logging.outbox.memory import MemoryOutbox
from pushover_logging.outbox.queue import QueuedMessage
from pushover_logging.rendering.attachments import OversizedImage
from pushover_logging.throttle.rules import PushInfo, Rules
from pushover_logging.throttle.store import MemoryStore
from pushover_logging.throttle.throttle import Throttle

if TYPE_CHECKING:
    from pushover_logging.outbox.sqlite import FileOutbox

_SET_UP = 10.0  # seconds; see `Pipeline.watch`

Compose = Callable[[logging.LogRecord, RecordKeys], tuple[Message, OversizedImage | None]]
"""Makes the Message of a record; the sender scales an image down that is too large."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A handler's configuration, checked: from it each process builds its pipeline.

    ``make_client`` is called once a process. ``rules`` is None if the throttle is off. ``path`` is
    the outbox's file, None for memory. Times are in seconds. ``text_of`` returns what a record says
    on one line, as it can be sent.
    """

    make_client: Callable[[], PushoverClient] = field(repr=False)
    rules: Rules | None
    capacity: int
    path: Path | None
    host: str | None
    max_age: float
    close_timeout: float
    clock: Clock
    text_of: Callable[[logging.LogRecord], str]


class Pipeline:
    """What a handler hands its records to.

    ``lock`` is over the counters, the tallies and a memory outbox, which change together; nothing
    slow happens inside. A signal handler or a ``__del__`` that logs may interrupt its own thread
    there: `submit` returns False then, and the guard keeps the record for the interrupted call. A
    fork's child never sees this object again; at exit nothing here has to be closed.
    """

    # eventlet replaces the locks that it reaches by each `__dict__`, also those that are held.
    __slots__ = (
        "_client", "_group_by", "_is_throttled", "_lock", "_settings", "_throttle", "_watches_at",
        "counters", "dedup", "guard", "outbox", "pid", "sender", "thread", "will_watch",
    )  # fmt: skip

    def __init__(self, settings: Settings) -> None:
        clock, rules = settings.clock, settings.rules or Rules()
        self.pid: int = os.getpid()
        self.guard: ReentrancyGuard = ReentrancyGuard()
        self._settings = settings
        self._is_throttled = settings.rules is not None
        self._group_by = rules.group_by
        self._lock = threading.RLock()
        self._client = settings.make_client()
        self.counters: Counters = Counters()
        is_alone = settings.path is None and rules.store is None
        self.dedup: Dedup = Dedup(
            self._lock,
            self.counters,
            clock,
            "" if is_alone else _source(settings.host),
            settings.text_of,
        )
        memory = MemoryOutbox(self._lock, settings.capacity)
        self.outbox: MemoryOutbox | FileOutbox = memory
        shared: Throttle | None = None
        is_in_file = settings.path is not None and self._is_throttled and rules.store is None
        # Imported only here: most programs do without SQLite and Redis, and Windows has no fcntl.
        if settings.path is not None:
            from pushover_logging.outbox.sqlite import FileOutbox  # noqa: PLC0415

            account = self._client.account
            self.outbox = FileOutbox(
                settings.path, account, memory, self._lock, clock, has_throttle=is_in_file
            )
            if is_in_file:
                from pushover_logging.throttle.sqlite import SqliteStore  # noqa: PLC0415

                store = SqliteStore(self.outbox, account, clock)
                shared = Throttle(store, rules, is_shared=True)
        if rules.store is not None:
            from pushover_logging.throttle.redis import RedisThrottle  # noqa: PLC0415

            shared = RedisThrottle(rules.store, self._client.account, rules)
        local = Throttle(MemoryStore(clock), rules, is_shared=False)
        self._throttle = shared or local
        # Any thread that logs ends the wait; if two do at once, the sender is woken twice.
        self.will_watch: bool = shared is not None
        self._watches_at = clock.monotonic() + _SET_UP
        self.sender: Sender = Sender(
            client=self._client,
            outbox=self.outbox,
            dedup=self.dedup,
            counters=self.counters,
            lock=self._lock,
            local=local,
            shared=shared,
            is_in_file=is_in_file,
            clock=clock,
            host=settings.host,
            max_age=settings.max_age,
            lease=30.0 + sum(self._client.timeout),
        )
        self.thread: SenderThread = SenderThread(
            self.sender, self._client, clock, settings.close_timeout
        )

    @contextlib.contextmanager
    def problems(self) -> Iterator[Throttle]:
        """Have the calling thread use the problems' state, with a throttle of its own.

        Raises TemporaryError if the shared state cannot be reached.
        """
        with self._throttle.another() as throttle:
            try:
                yield throttle
            except Unreachable as error:
                msg = f"the shared state cannot be reached: {error}"
                raise TemporaryError(msg) from error
        if self.thread.thread is not None:
            self.thread.wake(inline=False)

    def take_over(self, *, begins: bool = False) -> None:
        """Send what processes that are gone left in the outbox's file; returns at once.

        ``begins``: this process will live for a while, and reports what is due later too.
        """
        file = self.outbox
        if isinstance(file, MemoryOutbox):
            return
        if file.look() or (begins and file.awaits_due()):
            self.thread.wake(inline=False)

    def watch(self) -> None:
        """Report what is due in a shared state, even if this process sends nothing of its own.

        Called with each record below the handler's level while it ``will_watch``. A process that
        has just begun waits: it may yet fork or patch its threads, and a short one ends before.
        """
        if self._watches_at <= self._settings.clock.monotonic() and not lifecycle.is_ending():
            self.will_watch = False
            self.thread.wake(inline=False)

    def submit(self, arrival: Arrival, compose: Compose, *, wait: bool = True) -> bool:
        """Count a record or put its Message into the outbox; ``wait`` for the disk.

        Returns False if this call interrupts its own thread while that holds the lock; nothing has
        happened then. Raises what the record's own arguments raise; see `Dedup.failed`.
        """
        if self._lock._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001  as Condition asks
            return False
        self.dedup.failed()  # what this thread admitted, if a signal cut it off since
        record = arrival[0]
        keys, admission = self._admitted(record, arrival)
        if admission is not Admission.COUNTED:
            self._put(record, keys, compose, admission, wait=wait)
        return True

    def _admitted(
        self, record: logging.LogRecord, arrival: Arrival
    ) -> tuple[RecordKeys, Admission]:
        keys = RecordKeys()
        if self._is_throttled:
            keys = record_keys(record, self._group_by, self.dedup.is_known)
        if keys.resolves is not None and keys.key is not None:
            self.dedup.resolve(keys.key, arrival)
            return keys, Admission.ADMITTED
        admission = self.dedup.admit(keys.key, record.levelno, record.created, arrival)
        if keys.key is not None and not self._group_by:
            self.dedup.remember(record, keys.key)
        if keys.key is not None and admission is Admission.COUNTED:
            self.dedup.note(keys.key, record)
        return keys, admission

    def _put(
        self,
        record: logging.LogRecord,
        keys: RecordKeys,
        compose: Compose,
        admission: Admission,
        *,
        wait: bool,
    ) -> None:
        message, oversized = compose(record, keys)
        group = keys.group
        if keys.key is not None and keys.resolves is None:
            info = PushInfo(message.title or "", message.user, message.device, message.priority)
            group = self.dedup.describe(keys.key, info, group)
        if admission is Admission.UNANNOUNCED:
            self.thread.wake()
            return
        queued = QueuedMessage(
            secrets.token_hex(8),
            message,
            self._settings.clock.monotonic(),
            keys.key,
            record.levelno,
            record.created,
            group,
            resolves=keys.resolves is not None,
            oversized=oversized,
        )
        try:
            evicted = self.outbox.put(queued, wait=wait)
            self.dedup.submitted()
        except BaseException:  # as of a signal handler: it may be there all the same
            if self.outbox.has(queued):
                self.dedup.submitted()
            raise
        for gone in evicted:
            self.sender.record_eviction(gone)
        self.thread.wake()
        if lifecycle.has_exited():
            self.thread.wait(None)

    def stats(self) -> Stats:
        """Return the counters, the quota and the last error, as they stand at this moment."""
        with self._lock:
            return self.counters.stats(self._client.quota, self.sender.last_error)


def _source(host: str | None) -> str:
    """Return what names this process among others: all containers' first one has the number 1."""
    return f"{os.getpid()} {socket.gethostname()}@{host or ''}"
