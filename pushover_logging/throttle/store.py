"""Where problems live: the Store protocol, the memory of one process, and items as JSON.

A store keeps named items (problems, groups, the limits) and decides nothing: the rules are applied
by `Throttle`, within `Store.transaction`.
"""

from __future__ import annotations

import copy
import functools
import heapq
import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from operator import itemgetter
from types import UnionType
from typing import Any, Protocol, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

from pushover_logging.clock import MAX_UNIX_TIME, Clock
from pushover_logging.throttle.limits import Group, Limits
from pushover_logging.throttle.rules import UNREPORTED, Problem

MEMORY_CAPACITY = 1024  # problems
SHARED_CAPACITY = 10_000
LIMITS = "limits"  # the names of what is no problem; fingerprints start otherwise
MEMBERS = "members:"
DEADLINE = "deadline:"
OVERFLOW_KEY = "other"  # the problem that takes the counts of those that had to go


@dataclass(slots=True)
class Job:
    """A job that has to start again before its ``deadline``; times are of the store's clock.

    It last ``started`` on ``host``, and ``ended`` with a ``status``, 0 while it runs. It starts
    ``every`` so many seconds, or up to ``grace`` later. ``missed`` intervals have passed without a
    start, and the throttle has ``counted`` so many of them; ``due`` is when that is reported next,
    or when a claim to report it expires. ``priority``, ``device`` and ``sound`` are those of its
    pushes.
    """

    started: float = 0.0
    ended: float = 0.0
    status: int = 0
    host: str = ""
    every: float = 0.0
    grace: float = 0.0
    deadline: float = 0.0
    missed: int = 0
    counted: int = 0
    due: float = 0.0
    priority: int = 0
    device: str | None = None
    sound: str | None = None


Item: TypeAlias = Problem | Group | Limits | Job
DAMAGE = (TypeError, ValueError, LookupError, AttributeError, RecursionError, OverflowError)
T = TypeVar("T")


class Store(Protocol):
    """Eight operations; each may raise `Unreachable`, and then nothing has changed."""

    def transaction(self, work: Callable[[], T]) -> T:
        """Do ``work`` as one change, again if another process was faster; return its result."""

    def now(self) -> float:
        """Return the store's own time in seconds, the same within a transaction."""

    def load(self, names: Iterable[str]) -> Mapping[str, Item]:
        """Return those of the named items that there are; an item is the caller's to change."""

    def save(self, name: str, item: Item, due: float | None) -> None:
        """Keep an item; ``due`` is the store's time at which `due` returns it, None for never."""

    def delete(self, name: str) -> None:
        """Forget an item."""

    def due(self, before: float, limit: int) -> Sequence[tuple[str, float]]:
        """Return the first items that are due before a time, with their times, in order."""

    def oldest(self) -> Sequence[str]:
        """Return the problems that have to go for a new one: none, while there is room."""

    def names(self) -> Sequence[str]:
        """Return the names of all items."""


class MemoryStore:
    """The items of this process, on the monotonic clock.

    The sender uses it, and any thread that mutes or lists problems: a transaction holds ``_lock``.
    No logging call does. It is reentrant, for a signal handler in the middle of a transaction. A
    fork's child makes a new store.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._items: dict[str, Item] = {}
        self._due: dict[str, float] = {}

    def transaction(self, work: Callable[[], T]) -> T:
        """Do ``work``; if it raises, nothing of what it saved is kept."""
        with self._lock:
            before = self._items.copy(), self._due.copy()
            try:
                return work()
            except BaseException:
                self._items, self._due = before
                raise

    def now(self) -> float:
        """Return the monotonic clock's seconds."""
        return self._clock.monotonic()

    def load(self, names: Iterable[str]) -> Mapping[str, Item]:
        """Return copies of the named items."""
        return {name: copy.copy(self._items[name]) for name in names if name in self._items}

    def save(self, name: str, item: Item, due: float | None) -> None:
        """Keep an item, the last of those that are due at the same time."""
        self.delete(name)
        self._items[name] = item
        if due is not None:
            self._due[name] = due

    def delete(self, name: str) -> None:
        """Forget an item."""
        self._items.pop(name, None)
        self._due.pop(name, None)

    def due(self, before: float, limit: int) -> Sequence[tuple[str, float]]:
        """Return what is due before a time."""
        with self._lock:  # `Throttle.next_due` asks outside of a transaction
            first = heapq.nsmallest(limit, self._due.items(), key=itemgetter(1))
        return [found for found in first if found[1] <= before]

    def oldest(self) -> Sequence[str]:
        """Return a sixteenth of the problems if there is no room for another.

        Those without a count or an emergency go first, the longest unchanged of them before others.
        """
        if len(self._items) < MEMORY_CAPACITY:
            return ()
        problems = [(name, item) for name, item in self._items.items() if isinstance(item, Problem)]
        problems.sort(
            key=lambda found: (found[1].counted.count > 0 or found[1].ask_at > 0, found[1].until)
        )
        return [name for name, _ in problems if name != OVERFLOW_KEY][: MEMORY_CAPACITY // 16]

    def names(self) -> Sequence[str]:
        """Return the names of all items."""
        return list(self._items)


def to_json(item: Item) -> str:
    """Return an item as JSON, without the fields that have their default."""
    return json.dumps(item, ensure_ascii=False, separators=(",", ":"), default=_changed)


def from_json(name: str, text: Any) -> Item | None:  # noqa: ANN401  what others may have damaged
    """Return the item ``name`` that `to_json` wrote; None for anything else, which is damage."""
    kind: type[Item] = Problem
    if name == LIMITS or name.startswith(MEMBERS):
        kind = Limits if name == LIMITS else Group
    elif name.startswith(DEADLINE):
        kind = Job
    try:
        item: Item = restored(kind, json.loads(text))
    except DAMAGE:
        return None
    return item


def _changed(item: Any) -> dict[str, Any]:  # noqa: ANN401  any dataclass
    values = ((name, getattr(item, name)) for name in item.__slots__)
    default = type(item)()
    return {name: value for name, value in values if value != getattr(default, name)}


def restored(kind: Any, value: Any) -> Any:  # noqa: ANN401  as its annotation says
    """Return the value of JSON as a ``kind``: a dataclass, or the type of one's field."""
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        types = _types(kind)
        return kind(**{name: restored(types[name], given) for name, given in value.items()})
    if origin is tuple and isinstance(value, list):
        return tuple(restored(arguments[0], given) for given in value)
    if origin is dict and isinstance(value, dict):
        return {key: restored(arguments[1], given) for key, given in value.items()}
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) not in (arguments if origin is UnionType else (kind,)):
        raise TypeError(value)
    if kind in {int, float} and not abs(value) <= MAX_UNIX_TIME:  # so is NaN
        raise ValueError(value)
    return max(UNREPORTED, value) if kind is int else value


@functools.cache
def _types(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
