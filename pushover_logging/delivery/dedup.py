"""The logging thread's side of the throttle: count a record of a known problem, or admit it.

No rule is applied here. For each fingerprint there is a tally, which says up to which level and
until when a record is a repetition; the sender drains the tallies and keeps them up to date.
"""

from __future__ import annotations

import contextlib
import logging
import math
import queue
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from enum import Enum

from pushover_logging.clock import MAX_UNIX_TIME, Clock
from pushover_logging.delivery.counters import Counters
from pushover_logging.identity.fingerprint import TEMPLATE, GroupKey, call_key
from pushover_logging.throttle.rules import (
    NOTHING,
    UNREPORTED,
    Occurrences,
    PushInfo,
    ranked_texts,
)
from pushover_logging.throttle.store import OVERFLOW_KEY
from pushover_logging.throttle.throttle import OVERFLOW, Counted, View

CAPACITY = 1024  # tallies
MAX_CALLS = 2048  # that are remembered
CANDIDATES = {False: 10, True: 5}  # undecided at a time, by whether they are CRITICAL
_EVICTED_AT_ONCE = CAPACITY // 16
MAX_TEXTS = 100  # of what a tally counts: the texts of the first records since it was drained
_WITH_ARGS = 2  # parts of the key of a call with args: logger and template


class Admission(Enum):
    """What becomes of a record on the logging thread."""

    COUNTED = "counted"
    UNANNOUNCED = "unannounced"  # counted, and described for a digest
    ADMITTED = "admitted"  # a candidate: its Message goes into the outbox


class Tally:
    """What a process counted of one fingerprint, and how long a record is a repetition.

    A record up to ``level`` is one while something is counted, or until the monotonic second
    ``quiet_until``; that is infinity while a candidate is undecided. ``reported`` is the highest
    level known to be reported, ``worst`` the highest one counted. ``problem`` is the key of the
    problem that the counts go to: ``key``, or a group's.
    """

    __slots__ = (
        "count", "group", "info", "key", "last", "level", "problem", "quiet_until", "reported",
        "since", "texts", "unannounced", "undecided", "worst",
    )  # fmt: skip

    def __init__(self, key: str) -> None:
        self.key: str = key
        self.problem: str = key
        self.level: int = UNREPORTED
        self.reported: int = UNREPORTED
        self.count: int = 0
        self.undecided: int = 0
        self.worst: int = 0
        self.since: float = 0.0
        self.last: float = 0.0
        self.quiet_until: float = 0.0
        self.unannounced: bool = False
        self.info: PushInfo = PushInfo()
        self.group: GroupKey | None = None
        self.texts: list[str] = []  # at most `MAX_TEXTS`, redacted

    def counted(self, source: str) -> Counted:
        """Return what is counted."""
        places = (self.group.place,) if self.group and self.group.place else ()
        sources = (source,) if source else ()
        texts = ranked_texts(*(f"1 {text}" for text in self.texts))
        occurrences = Occurrences(
            self.count, self.since, self.last, self.worst, places, sources, texts=texts
        )
        return Counted(
            self.key, self.problem, self.reported, occurrences, self.info, self.group,
            self.unannounced,
        )  # fmt: skip


class Dedup:
    """The tallies of one pipeline; ``source`` names this process in shared counts.

    ``text_of`` returns what a record says on one line, redacted; it is called without the lock, and
    may raise what the record's arguments raise.

    Any thread may call. ``lock``, the pipeline's, is over the tallies and the counters, and never
    over I/O or a text. A signal handler that logs may interrupt its own thread inside the lock, and
    enters it again: between two calls each tally is whole. A fork's child has a new Dedup.
    """

    def __init__(
        self,
        lock: threading.RLock,
        counters: Counters,
        clock: Clock,
        source: str,
        text_of: Callable[[logging.LogRecord], str] = lambda _: "",
    ) -> None:
        self._lock = lock
        self._counters = counters
        self._now: Callable[[], float] = clock.monotonic
        self._source = source
        self._text_of = text_of
        self._tallies: dict[str, Tally] = {}
        self._calls: dict[tuple[object, ...], Tally] = {}
        self._dirty: dict[str, Tally] = {}  # with something counted
        self._detached: list[Counted] = []  # counts whose tally is gone
        self._overflow = NOTHING  # counts of those that had to go even from there
        self._undecided = {False: 0, True: 0}
        self._open: dict[int, Tally | None] = {}  # by thread: admitted, and not in the outbox yet

    def count(self, record: logging.LogRecord) -> bool:
        """Count a record if its call is known and it repeats what is known; otherwise False."""
        try:
            tally = self._calls.get(call_key(record) or ())
            if tally is None:
                return False
            level, created = record.levelno, record.created
            if not 0 <= created <= MAX_UNIX_TIME:
                return False
            text = self._text_of(record) if len(tally.texts) < MAX_TEXTS else ""
        except Exception:  # noqa: BLE001  records also come from sockets, in any shape
            return False
        with self._lock:
            if level > tally.level or not (tally.count or self._now() < tally.quiet_until):
                return False
            if not tally.count:
                self._begin(tally, level, created)
            elif level > tally.worst:
                tally.worst = level
            tally.count += 1
            tally.last = created
            self._counters.counted += 1
            if text:
                tally.texts.append(text)
            return True

    def admit(self, key: str | None, level: int, created: float) -> Admission:
        """Count a record, or admit it; ``key`` None is admitted always.

        What is admitted needs a `submitted` or a `failed` of the same thread, what is unannounced a
        `describe`. At most `CANDIDATES` are undecided: others are counted, and new problems among
        them wait for a digest.
        """
        now = self._now()
        with self._lock:
            tally = None
            if key is not None:
                tally = self._tallies.get(key) or self._new(key)
                if level <= tally.level and (tally.count or now < tally.quiet_until):
                    self._add(tally, level, created)
                    return Admission.COUNTED
                critical = level >= logging.CRITICAL
                if self._undecided[critical] >= CANDIDATES[critical]:
                    is_new = tally.level == UNREPORTED
                    tally.unannounced = tally.unannounced or is_new
                    tally.level = max(tally.level, level)
                    self._add(tally, level, created)
                    return Admission.UNANNOUNCED if is_new else Admission.COUNTED
                self._undecided[critical] += 1
                tally.level, tally.quiet_until = level, math.inf
                tally.undecided += 1
            self._counters.admitted += 1
            self._counters.pending += 1
            self._open[threading.get_ident()] = tally
            return Admission.ADMITTED

    def note(self, key: str, record: logging.LogRecord) -> None:
        """Remember what a record that `admit` counted says; an exception's words are not kept."""
        tally = self._tallies.get(key)
        if tally is None or len(tally.texts) >= MAX_TEXTS or record.exc_info or record.exc_text:
            return
        with contextlib.suppress(Exception):  # of the record's arguments
            text = self._text_of(record)
            with self._lock:
                if text and tally.count:
                    tally.texts.append(text)

    def resolve(self, key: str) -> None:
        """Let the next record of a problem be news; admits the record that ends it."""
        with self._lock:
            tally = self._tallies.pop(key, None)
            if tally is not None:
                self._detach(tally)
            self._counters.admitted += 1
            self._counters.pending += 1
            self._open[threading.get_ident()] = None

    def remember(self, record: logging.LogRecord, key: str) -> None:
        """Know the tally of a call by what it says, if all such records have the same fingerprint.

        They do not if args make the text.
        """
        with contextlib.suppress(Exception):
            call = call_key(record)
            if call and (len(call) != _WITH_ARGS or key.startswith(TEMPLATE)):
                with self._lock:
                    if len(self._calls) >= MAX_CALLS:
                        self._calls.clear()
                    tally = self._tallies.get(key)
                    if tally is not None:
                        self._calls[call] = tally

    def describe(self, key: str, info: PushInfo, group: GroupKey | None) -> GroupKey | None:
        """Remember how to report a problem, and its group; return the group if it is known."""
        with self._lock:
            tally = self._tallies.get(key)
            if tally is not None:
                tally.info, tally.group = info, group or tally.group
                group = tally.group
            return group

    def is_known(self, key: str) -> bool:
        """Return True if the group of the key's records is known already."""
        tally = self._tallies.get(key)
        return tally is not None and (tally.group is not None or tally.reported != UNREPORTED)

    def submitted(self) -> None:
        """Note that the outbox has what this thread admitted."""
        self._open.pop(threading.get_ident(), None)

    def failed(self) -> bool:
        """Count as failed what this thread admitted and has not submitted; False if nothing."""
        with self._lock:
            thread = threading.get_ident()
            if thread not in self._open:
                return False
            tally = self._open.pop(thread)
            self._counters.end("failed")
            if tally is not None:
                self._decided(tally, tally.level, View(UNREPORTED, 0.0))
            return True

    def settle(self, key: str, level: int, view: View, problem: str | None = None) -> None:
        """Take what was decided of a candidate; ``problem`` is the problem's key, if a group's."""
        with self._lock:
            tally = self._tallies.get(key)
            if tally is None:
                critical = level >= logging.CRITICAL
                self._undecided[critical] = max(0, self._undecided[critical] - 1)
                return
            tally.problem = problem or key
            self._decided(tally, level, view)

    def update(self, views: Mapping[str, View]) -> None:
        """Take what the throttle says of fingerprints."""
        with self._lock:
            for key, view in views.items():
                tally = self._tallies.get(key)
                if tally is not None:
                    self._follow(tally, view)

    def update_problem(self, problem: str, view: View) -> None:
        """Take what the throttle says of a problem, for all fingerprints that count for it."""
        with self._lock:
            for tally in self._tallies.values():
                if tally.problem == problem:
                    self._follow(tally, view)

    def drain(self, keys: Collection[str] | None = None) -> list[Counted]:
        """Take what is counted, of ``keys`` alone if given.

        New problems stay while candidates are undecided: those came before them.
        """
        with self._lock:
            if not self._dirty and not self._detached:
                return []
            undecided = any(self._undecided.values())
            taken = []
            for tally in list(self._dirty.values()):
                wanted = keys is None or tally.key in keys
                if wanted and not (undecided and tally.unannounced):
                    taken.append(tally.counted(self._source))
                    del self._dirty[tally.key]
                    tally.count, tally.unannounced, tally.quiet_until = 0, False, math.inf
                    tally.texts = []
            detached, self._detached = self._detached, []
            for counted in detached:
                wanted = keys is None or counted.key in keys
                waits = not wanted or (undecided and counted.unannounced)
                (self._detached if waits else taken).append(counted)
            if keys is None and not undecided and self._overflow.count:
                taken.append(Counted(OVERFLOW_KEY, OVERFLOW_KEY, 0, self._overflow, OVERFLOW))
                self._overflow = NOTHING
            return taken

    def put_back(self, counts: list[Counted]) -> None:
        """Take back what was drained and could not be handed over."""
        with self._lock:
            for counted in counts:
                tally, more = self._tallies.get(counted.key), counted.occurrences
                if tally is None:
                    self._detached.append(counted)
                    continue
                if not tally.count:
                    self._begin(tally, more.level, more.since)
                    tally.last = more.last
                tally.count += more.count
                for numbered in more.texts:
                    number, _, text = numbered.partition(" ")
                    tally.texts += [text] * int(number)
                tally.since = min(tally.since, more.since)
                tally.last = max(tally.last, more.last)
                tally.worst = max(tally.worst, more.level)
                tally.unannounced = tally.unannounced or counted.unannounced

    def has_counts(self) -> bool:
        """Return True if `drain` would return something."""
        with self._lock:
            return bool(self._dirty or self._detached)

    def open_ended(self) -> dict[str, str]:
        """Return the fingerprints whose records are repetitions until the throttle says more.

        Each has the key of its problem.
        """
        with self._lock:
            return {
                tally.key: tally.problem
                for tally in self._tallies.values()
                if tally.quiet_until == math.inf and not tally.undecided
            }

    # -- with the lock held

    def _new(self, key: str) -> Tally:
        if len(self._tallies) >= CAPACITY:
            self._make_room()
        tally = self._tallies[key] = Tally(key)
        return tally

    def _make_room(self) -> None:
        """Forget a sixteenth of the tallies: the oldest without a count first."""
        ranked = sorted(
            self._tallies.values(), key=lambda tally: (tally.undecided, tally.count > 0)
        )
        for tally in ranked[:_EVICTED_AT_ONCE]:
            del self._tallies[tally.key]
            self._detach(tally)

    def _detach(self, tally: Tally) -> None:
        """Let go of a tally, which a call may still know: no record is its repetition any more."""
        if tally.count:
            counted = tally.counted(self._source)
            self._dirty.pop(tally.key, None)
            if len(self._detached) < CAPACITY:
                self._detached.append(counted)
            else:
                self._overflow = self._overflow.plus(replace(counted.occurrences, places=()))
        tally.count, tally.level, tally.quiet_until = 0, UNREPORTED, -math.inf
        tally.texts = []

    def _begin(self, tally: Tally, level: int, created: float) -> None:
        tally.since, tally.worst = created, level
        self._dirty[tally.key] = tally

    def _add(self, tally: Tally, level: int, created: float) -> None:
        if not tally.count:
            self._begin(tally, level, created)
        tally.count += 1
        tally.last = created
        tally.worst = max(tally.worst, level)
        self._counters.counted += 1

    def _decided(self, tally: Tally, level: int, view: View) -> None:
        self._undecided[level >= logging.CRITICAL] -= 1
        tally.undecided -= 1
        self._follow(tally, view)

    def _follow(self, tally: Tally, view: View) -> None:
        if view.level != UNREPORTED:
            tally.level = tally.reported = view.level
        if not tally.undecided:
            tally.quiet_until = self._now() + view.remaining


class ReentrancyGuard:
    """Lets one record of a thread in at a time; what interrupts it is handled after it.

    A record that comes from a signal handler or a ``__del__`` in the middle of another is left to
    that call. ``_inside`` holds the threads that are in: each adds and removes itself, and what
    interrupts before it is added, or after it is removed, does its own work whole. ``_deferred``
    takes from any interruption without a lock. A fork's child has a new guard.
    """

    def __init__(self) -> None:
        self._inside: set[int] = set()
        self._deferred: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()

    def enter(self, record: logging.LogRecord, take: Callable[[logging.LogRecord], bool]) -> None:
        """Call ``take`` with the record, and with those that were deferred meanwhile.

        It returns False if this thread holds the pipeline's lock: then the record is deferred.
        """
        thread = threading.get_ident()
        if thread in self._inside:
            self._deferred.put(record)
            return
        try:
            self._inside.add(thread)
            if self._takes(record, take):
                self.drain(take)
        finally:
            self._inside.discard(thread)

    def is_inside(self) -> bool:
        """Return True if the calling thread is in the middle of a record."""
        return threading.get_ident() in self._inside

    def drain(self, take: Callable[[logging.LogRecord], bool]) -> None:
        """Take what was deferred so far.

        What a signal handler adds meanwhile waits for the next call: it could go on for ever.
        """
        with contextlib.suppress(queue.Empty):  # if another thread was faster
            for _ in range(self._deferred.qsize()):
                if not self._takes(self._deferred.get_nowait(), take):
                    break

    def _takes(self, record: logging.LogRecord, take: Callable[[logging.LogRecord], bool]) -> bool:
        taken = take(record)
        if not taken:
            self._deferred.put(record)
        return taken
