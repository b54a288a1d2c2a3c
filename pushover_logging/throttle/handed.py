"""What a process has handed over to a store that may lose it, for as long as nobody has told it.

A store that was emptied is rebuilt from this: each process hands over once more what it gave to a
life of the store that is over. Whether a count was told, it learns by the problem's `View`, which
comes with every report; of what it has not counted for a window, by asking once the window is over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pushover_logging.throttle.local import CAPACITY
from pushover_logging.throttle.machine import PLACES, SOURCES, merged
from pushover_logging.throttle.problem import OTHERS, Count, Problem, Report, View
from pushover_logging.throttle.table import REMAINDER

_ASKED = 50  # problems at once
_PENDING = 30.0  # seconds after which a first push will have been accepted, or given up


@dataclass(frozen=True, slots=True)
class _Handed:
    """A count, the store's life that it went into, when it did, and when it may be told.

    All as the store said then: ``at`` and ``ends`` in its time, ``told`` the highest level told,
    ``pending``: its first push was not accepted.
    """

    count: Count
    life: str
    at: float
    told: int
    pending: bool
    ends: float


class Handed:
    """At most ``CAPACITY`` problems; the longest unchanged go first. Of one sender's thread."""

    def __init__(self) -> None:
        self._kept: dict[str, _Handed] = {}
        self._gone: list[_Handed] = []

    def keep(self, count: Count, view: View, life: str) -> None:
        """Remember a count that the store has taken, as ``view`` says."""
        if view.resolved:  # it came too late
            count = count._replace(key=REMAINDER, group="", title=OTHERS)
        before = self._kept.pop(count.key, None)
        if before is not None and before.life != life:
            self._gone.append(before)
        elif before is not None and view.taken <= before.at:
            count = _sum(before.count, count)
        ends = view.at + (_PENDING if view.remaining is None else view.remaining)
        self._kept[count.key] = _Handed(
            count._replace(newcomer=view.newcomer, loan=""),
            life, view.at, view.told, view.remaining is None, ends,
        )  # fmt: skip
        if len(self._kept) > CAPACITY:
            del self._kept[next(iter(self._kept))]

    def forget(self, key: str) -> None:
        """Know that a count was taken to be told."""
        self._kept.pop(key, None)

    def over(self, now: float, life: str) -> list[str]:
        """Return the problems that the store is to be asked about: their windows are over."""
        kept = self._kept.values()
        ended = [one.count for one in kept if one.life == life and one.ends <= now][:_ASKED]
        groups = [one.group for one in ended if one.group]
        return list(dict.fromkeys([*(one.key for one in ended), *groups]))

    def look(self, names: list[str], life: str, get: Callable[[str], Problem | None]) -> None:
        """Forget what was told of the problems ``names``, as far as ``get`` knows."""
        for name in names:
            one = self._kept.get(name)
            if one is None or one.life != life:
                continue
            group = one.count.group
            problem = get(name) or (get(group) if group else None)
            if problem is None or not problem.number or problem.taken > one.at:
                self.forget(name)

    def lost(self, now: float, life: str) -> list[Report]:
        """Take what went into another life of the store, to be handed over once more."""
        gone = [one for one in self._kept.values() if one.life != life]
        for one in gone:
            self.forget(one.count.key)
        gone += self._gone
        self._gone = []
        return [
            Report(one.count, one.told, None if one.pending else max(0.0, one.ends - now))
            for one in gone
        ]


def _sum(one: Count, more: Count) -> Count:
    return more._replace(
        number=one.number + more.number,
        total=max(one.total, more.total),
        since=min(one.since, more.since) if one.number else more.since,
        last=max(one.last, more.last),
        level=max(one.level, more.level),
        places=merged(one.places, more.places, PLACES),
        sources=merged(one.sources, more.sources, SOURCES),
    )
