"""The logging thread's side of the throttle: count a record of a known problem, or admit it.

The sender applies the throttle's rules. Here each fingerprint has a tally, which says up to which
level and until when a record is a repetition; the sender collects the counts and keeps the tallies
up to date.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
from collections import deque
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
MAX_CALLS = 2048  # logging calls whose tally is cached
CANDIDATES = {False: 10, True: 5}  # that may be undecided, by whether they are CRITICAL
_EVICTED_AT_ONCE = CAPACITY // 16
MAX_TEXTS = 100  # of what a tally counts: those of the first records since it was taken
_WITH_ARGS = 2  # the length of the `call_key` of a call with args: logger and template


Arrival = list[logging.LogRecord]
"""A record on its way, empty once it is counted: each record gets exactly one outcome.

What counts it, and empties this, is one statement: an exception, as at the recursion limit, comes
before it or after it.
"""


class Admission(Enum):
    """What becomes of a record on the logging thread."""

    COUNTED = "counted"
    UNANNOUNCED = "unannounced"  # counted, and described for a digest
    ADMITTED = "admitted"  # a candidate: its Message goes into the outbox


class Tally:
    """What a process counted of one fingerprint, and how long a record is a repetition.

    A record at or below ``level`` is a repetition while ``count`` is not 0, and before the
    monotonic second ``quiet_until``, which is infinity while a candidate is undecided or counts are
    with the throttle. ``reported`` is the level that the throttle last gave as reported, ``worst``
    the highest one counted. ``problem`` is the key of the problem that the counts go to: ``key``,
    or a group's. ``stale`` candidates came before its problem was resolved here.
    """

    __slots__ = (
        "count", "group", "info", "key", "last", "level", "problem", "quiet_until", "reported",
        "since", "stale", "texts", "unannounced", "undecided", "worst",
    )  # fmt: skip

    def __init__(self, key: str) -> None:
        self.key: str = key
        self.problem: str = key
        self.level: int = UNREPORTED
        self.reported: int = UNREPORTED
        self.count: int = 0
        self.undecided: int = 0
        self.stale: int = 0
        self.worst: int = 0
        self.since: float = 0.0
        self.last: float = 0.0
        self.quiet_until: float = 0.0
        self.unannounced: bool = False
        self.info: PushInfo = PushInfo()
        self.group: GroupKey | None = None
        self.texts: list[str] = []  # at most `MAX_TEXTS`, redacted

    def counted(self, count: int, source: str) -> Counted:
        """Return ``count`` records of it, as ``source`` counted them."""
        places = (self.group.place,) if self.group and self.group.place else ()
        sources = (source,) if source else ()
        texts = ranked_texts(*(f"1 {text}" for text in self.texts))
        occurrences = Occurrences(
            count, self.since, self.last, self.worst, places, sources, texts=texts
        )
        level = UNREPORTED if self.undecided or self.unannounced else self.reported
        return Counted(
            self.key, self.problem, level, occurrences, self.info, self.group, self.unannounced
        )


class Dedup:
    """The tallies of one pipeline; ``source`` names this process in shared counts.

    ``text_of`` returns what a record says on one line, redacted; it is called without the lock, and
    may raise what the record's arguments raise.

    Any thread may call. ``lock``, the pipeline's, is over the tallies and the counters, and never
    over I/O or a text. It is reentrant: a signal handler may log while its own thread holds it.
    Python runs handlers at calls, so that at each call under the lock every tally is consistent. A
    fork's child has a new Dedup.
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
        self._dirty: dict[str, Tally] = {}  # tallies with a count
        self._outgoing: list[
            Counted
        ] = []  # counts that no throttle has confirmed; the tally may be gone
        self._overflow = NOTHING  # counts that found no room there
        self._undecided = {False: 0, True: 0}
        # By thread: key and level of what is admitted, and not in the outbox yet.
        self._in_flight: dict[int, tuple[str | None, int]] = {}

    def count(self, arrival: Arrival) -> bool:
        """Count a record that repeats another, if its call's tally is cached; return whether so."""
        try:
            record = arrival[0]
            call = call_key(record)
            if call is None:
                return False
            # Not `get`: on CPython 3.13 without the GIL it locks the dict twice, in 40 us.
            tally = self._calls[call]
            level, created = record.levelno, record.created
            if not 0 <= created <= MAX_UNIX_TIME:
                return False
            text = self._text_of(record) if len(tally.texts) < MAX_TEXTS else ""
        except Exception:  # noqa: BLE001  not cached; records also come from sockets, in any shape
            return False
        with self._lock:
            if level > tally.level or not (tally.count or self._now() < tally.quiet_until):
                return False
            if text:
                tally.texts.append(text)
            self._add(tally, level, created, arrival)
            return True

    def admit(
        self, key: str | None, level: int, created: float, arrival: Arrival | None = None
    ) -> Admission:
        """Count a record, or admit it; without a ``key`` it is always admitted.

        After ADMITTED the same thread must call `submitted` or `failed`, after UNANNOUNCED
        `describe`. While `CANDIDATES` are undecided, further records are counted, and what would
        be news among them waits for a digest.
        """
        now, arrival = self._now(), [] if arrival is None else arrival
        with self._lock:
            tally = None
            if key is not None:
                tally = self._tallies.get(key) or self._new(key)
                if level <= tally.level and (tally.count or now < tally.quiet_until):
                    self._add(tally, level, created, arrival)
                    return Admission.COUNTED
                critical = level >= logging.CRITICAL
                if self._undecided[critical] >= CANDIDATES[critical]:
                    tally.unannounced, tally.level = True, max(tally.level, level)
                    self._add(tally, level, created, arrival)
                    return Admission.UNANNOUNCED
            self._admit(tally, level, arrival)
            return Admission.ADMITTED

    def note(self, key: str, record: logging.LogRecord) -> None:
        """Remember what a record that `admit` counted says; an exception's words are not kept."""
        tally = self._tallies.get(key)
        if tally is None or len(tally.texts) >= MAX_TEXTS or record.exc_info or record.exc_text:
            return
        with contextlib.suppress(Exception):  # of the record's arguments
            text = self._text_of(record)
            with self._lock:
                if text and tally.count:  # pragma: no branch  it was handed over meanwhile
                    tally.texts.append(text)

    def resolve(self, key: str, arrival: Arrival | None = None) -> None:
        """Forget a problem's tally, so that its next record is a candidate; admit the last one."""
        with self._lock:
            tally = self._tallies.pop(key, None)
            if tally is not None:
                self._detach(tally)
                if stale := tally.stale + tally.undecided:
                    self._new(key).stale = stale
            self._admit(None, 0, [] if arrival is None else arrival)

    def remember(self, record: logging.LogRecord, key: str) -> None:
        """Cache the tally of a record's call for `count`.

        Not if its records can have different fingerprints: if those depend on args.
        """
        try:
            call = call_key(record)
            if call and (len(call) != _WITH_ARGS or key.startswith(TEMPLATE)):
                with self._lock:
                    if len(self._calls) >= MAX_CALLS:
                        self._calls.clear()
                    self._calls[call] = self._tallies[key]
        except Exception:  # noqa: BLE001, S110  of the record's fields
            pass

    def describe(self, key: str, info: PushInfo, group: GroupKey | None) -> GroupKey | None:
        """Remember how to report a problem, and its group; return the group if it is known."""
        with self._lock:
            tally = self._tallies.get(key) or Tally(key)  # it can have been forgotten meanwhile
            tally.info, tally.group = info, group or tally.group
            return tally.group

    def is_known(self, key: str) -> bool:
        """Return True if the group need not be computed: it is known, or the problem reported."""
        tally = self._tallies.get(key)
        return tally is not None and (tally.group is not None or tally.reported != UNREPORTED)

    def submitted(self) -> None:
        """Note that the outbox has what this thread admitted."""
        self._in_flight.pop(threading.get_ident(), None)

    def failed(self, arrival: Arrival | None = None) -> None:
        """Count as failed what this thread admitted and did not submit, or what has yet to be."""
        with self._lock:
            if arrival:
                self._admit(None, 0, arrival)
            thread = threading.get_ident()
            if thread in self._in_flight:
                key, level = self._in_flight.pop(thread)
                self._counters.end("failed")
                if key is not None:
                    self.candidate_decided(key, level, View(UNREPORTED, 0.0))

    def candidate_decided(
        self, key: str, level: int, view: View, problem: str | None = None
    ) -> None:
        """Apply the decision on a candidate; ``problem`` is that of its group, if it joined one."""
        with self._lock:
            tally = self._tallies.get(key) or Tally(key)  # it can have been forgotten meanwhile
            critical = level >= logging.CRITICAL
            self._undecided[critical] = max(0, self._undecided[critical] - 1)
            if tally.stale:
                tally.stale -= 1
            else:
                tally.problem, tally.undecided = problem or key, tally.undecided - 1
                self._follow(tally, view)

    def update(self, views: Mapping[str, View]) -> None:
        """Apply the throttle's views, each by a fingerprint or by the problem it counts for."""
        with self._lock:
            for tally in self._tallies.values() if views else ():
                view = views.get(tally.key) or views.get(tally.problem)
                if view is not None:
                    self._follow(tally, view)

    def counts(self, keys: Collection[str] | None = None) -> list[Counted]:
        """Return what is counted, of ``keys`` alone if given; each stays until it is `handed_over`.

        The count of a new problem is held back while candidates are undecided: those came first.
        """
        with self._lock:
            if not (self._dirty or self._outgoing or self._overflow.count):
                return []
            undecided = any(self._undecided.values())
            for tally in list(self._dirty.values()):
                if (keys is None or tally.key in keys) and not (undecided and tally.unannounced):
                    self._outgoing.append(self._taken(tally))
                    tally.unannounced, tally.quiet_until = False, math.inf
            if keys is None and not undecided and self._overflow.count:
                self._outgoing.append(
                    Counted(OVERFLOW_KEY, OVERFLOW_KEY, 0, self._overflow, OVERFLOW)
                )
                self._overflow = NOTHING
            return [
                counted
                for counted in self._outgoing
                if (keys is None or counted.key in keys) and not (undecided and counted.unannounced)
            ]

    def handed_over(self, counts: Collection[Counted], views: Mapping[str, View]) -> None:
        """Forget the counts that a throttle has recorded, and apply its views."""
        taken = set(map(id, counts))
        with self._lock:
            self._outgoing = [one for one in self._outgoing if id(one) not in taken]
        self.update(views)

    def has_counts(self) -> bool:
        """Return True if something is counted that no throttle has taken."""
        with self._lock:
            return bool(self._dirty or self._outgoing)

    def awaiting_view(self) -> set[str]:
        """Return the problems whose suppression has no end until the throttle gives a new view."""
        with self._lock:
            return {
                tally.problem
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
        """Forget a sixteenth of the tallies: idle ones first, the oldest of them before others."""
        ranked = sorted(
            self._tallies.values(),
            key=lambda tally: (tally.undecided + tally.stale, tally.count > 0),
        )
        for tally in ranked[:_EVICTED_AT_ONCE]:
            del self._tallies[tally.key]
            self._detach(tally)

    def _detach(self, tally: Tally) -> None:
        """Retire a tally: keep its count, and match no record, as a cached call may point to it."""
        if tally.count:
            counted = self._taken(tally)
            if len(self._outgoing) < CAPACITY:
                self._outgoing.append(counted)
            else:
                self._overflow = self._overflow.plus(replace(counted.occurrences, places=()))
        tally.level, tally.quiet_until = UNREPORTED, -math.inf

    def _taken(self, tally: Tally) -> Counted:
        """Return what is counted, and begin at zero; a record that interrupts is in one of both."""
        del self._dirty[tally.key]
        count, tally.count = tally.count, 0
        counted, tally.texts = tally.counted(count, self._source), []
        return counted

    def _begin(self, tally: Tally, level: int, created: float) -> None:
        tally.since, tally.worst = created, level
        self._dirty[tally.key] = tally

    def _admit(self, tally: Tally | None, level: int, arrival: Arrival) -> None:
        counters, flight, thread = self._counters, self._in_flight, threading.get_ident()
        admitted, pending = counters.admitted + 1, counters.pending + 1
        if tally is None:
            counters.admitted, counters.pending, flight[thread], arrival[:] = (
                admitted, pending, (None, level), (),
            )  # fmt: skip
            return
        critical, more = level >= logging.CRITICAL, tally.undecided + 1
        undecided, number = self._undecided, self._undecided[critical] + 1
        counters.admitted, counters.pending, flight[thread], arrival[:], undecided[critical] = (
            admitted, pending, (tally.key, level), (), number,
        )  # fmt: skip
        tally.undecided, tally.level, tally.quiet_until = more, level, math.inf

    def _add(self, tally: Tally, level: int, created: float, arrival: Arrival) -> None:
        if not tally.count:
            self._begin(tally, level, created)
        elif level > tally.worst:
            tally.worst = level
        counters, count = self._counters, tally.count + 1
        counted = counters.counted + 1
        tally.count, tally.last, counters.counted, arrival[:] = count, created, counted, ()

    def _follow(self, tally: Tally, view: View) -> None:
        if view.level != UNREPORTED:
            tally.level = tally.reported = view.level
        elif not tally.undecided:  # its next record is news, also in the middle of others
            tally.level = UNREPORTED
        if not tally.undecided:
            tally.quiet_until = self._now() + view.remaining


Take = Callable[[Arrival, bool], bool]
"""Takes a record, and waits for the disk or not; False if this thread holds the pipeline's lock."""


class ReentrancyGuard:
    """Handles one record of a thread at a time; one that interrupts it is handled after it.

    A signal handler or a ``__del__`` may log in the middle of another record: it is deferred, and
    the interrupted call handles it. ``_inside`` has the record that each thread is handling: it
    adds and removes its own, and an interruption just before or just after handles its own record.
    Any interruption may append to ``_deferred`` without a lock. A fork's child has a new guard.
    """

    def __init__(self) -> None:
        self._inside: dict[int, Arrival] = {}
        self._deferred: deque[Arrival] = deque()

    def enter(self, arrival: Arrival, take: Take) -> None:
        """Call ``take`` with the record, and with those that were deferred meanwhile."""
        thread = threading.get_ident()
        if thread in self._inside:
            self._deferred.append(arrival)
            return
        try:
            self._inside[thread] = arrival
            if self._takes(arrival, take, wait=True):
                self.drain(take)
        finally:
            self.leave(arrival)

    def leave(self, arrival: Arrival) -> None:
        """Let go of the calling thread's record."""
        if self._inside.get(threading.get_ident()) is arrival:
            del self._inside[threading.get_ident()]

    def is_inside(self) -> bool:
        """Return True if the calling thread is in the middle of a record."""
        return threading.get_ident() in self._inside

    def drain(self, take: Take) -> None:
        """Take what was deferred so far; only the last waits for the disk, after all others.

        What a signal handler adds meanwhile waits for the next call: it could go on for ever.
        """
        with contextlib.suppress(IndexError):  # if another thread was faster
            for left in reversed(range(len(self._deferred))):
                if not self._takes(self._deferred.popleft(), take, wait=not left):
                    break

    def _takes(self, arrival: Arrival, take: Take, *, wait: bool) -> bool:
        taken = take(arrival, wait)
        if not taken:
            self._deferred.append(arrival)
        return taken
