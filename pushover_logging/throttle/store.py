"""Where problems live: the Store protocol, the memory of one process, and items as JSON.

A store keeps named items (problems, groups, the limits) and decides nothing: the rules are applied
by `Throttle`, within `Store.transaction`.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any, Protocol, TypeAlias, TypeVar

from pushover_logging.clock import MAX_UNIX_TIME, Clock
from pushover_logging.throttle.limits import Group, Limits
from pushover_logging.throttle.rules import UNREPORTED, Occurrences, Problem

MEMORY_CAPACITY = 1024  # problems
SHARED_CAPACITY = 10_000
_NEW_AT_ONCE = 66  # items of one transaction, for which there has to be room
LIMITS = "limits"  # the names of what is no problem; fingerprints start otherwise
MEMBERS = "members:"
OVERFLOW_KEY = "other"  # the problem that takes the counts of those that had to go
Item: TypeAlias = Problem | Group | Limits
_TYPES: dict[type, set[type]] = {str: {str}, bool: {bool}, type(None): {str, type(None)}}
DAMAGE = (TypeError, ValueError, AttributeError, RecursionError, OverflowError)  # of JSON
T = TypeVar("T")


class Store(Protocol):
    """Seven operations; each may raise `Unreachable`, and then nothing has changed."""

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


class MemoryStore:
    """The items of this process, on the monotonic clock. The sender alone uses it: no lock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._items: dict[str, Item] = {}
        self._due: dict[str, float] = {}
        self._written: dict[str, tuple[Item | None, float | None]] = {}

    def transaction(self, work: Callable[[], T]) -> T:
        """Do ``work``; if it raises, nothing of what it saved is kept."""
        self._written = {}
        result = work()
        for name, (item, due) in self._written.items():
            self._due.pop(name, None)
            if item is None:
                self._items.pop(name, None)
            else:
                self._items[name] = item
                if due is not None:
                    self._due[name] = due
        return result

    def now(self) -> float:
        """Return the monotonic clock's seconds."""
        return self._clock.monotonic()

    def load(self, names: Iterable[str]) -> Mapping[str, Item]:
        """Return copies of the named items."""
        items = {}
        for name in names:
            if name in self._items:
                items[name] = copy.copy(self._items[name])
        return items

    def save(self, name: str, item: Item, due: float | None) -> None:
        """Keep an item."""
        self._written[name] = item, due

    def delete(self, name: str) -> None:
        """Forget an item."""
        self._written[name] = None, None

    def due(self, before: float, limit: int) -> Sequence[tuple[str, float]]:
        """Return what is due before a time."""
        first = min(self._due.values(), default=math.inf)  # which is asked at each step
        if first > before or first == math.inf:
            return []
        if limit == 1:
            return [("", first)]
        return sorted((item for item in self._due.items() if item[1] <= before), key=_time)[:limit]

    def oldest(self) -> Sequence[str]:
        """Return a sixteenth of the problems if there is no room for another.

        Those without a count go first, the longest unchanged of them before others.
        """
        if len(self._items) < MEMORY_CAPACITY - _NEW_AT_ONCE:
            return ()
        problems = [(name, item) for name, item in self._items.items() if isinstance(item, Problem)]
        problems.sort(key=lambda found: (found[1].counted.count > 0, found[1].until))
        return [name for name, _ in problems if name != OVERFLOW_KEY][: MEMORY_CAPACITY // 16]


def to_json(item: Item) -> str:
    """Return an item as JSON, without the fields that have their default."""
    return json.dumps(_changed(item), ensure_ascii=False, separators=(",", ":"))


def from_json(name: str, text: Any) -> Item | None:  # noqa: ANN401  what others may have damaged
    """Return the item ``name`` that `to_json` wrote; None for anything else, which is damage."""
    kind: type[Item] = Problem
    if name == LIMITS or name.startswith(MEMBERS):
        kind = Limits if name == LIMITS else Group
    try:
        return restored(kind, json.loads(text))
    except DAMAGE:
        return None


def _changed(item: Any) -> dict[str, Any]:  # noqa: ANN401  any dataclass
    data = {}
    for field in fields(item):
        value = getattr(item, field.name)
        if value != _default(field):
            data[field.name] = _changed(value) if isinstance(value, Occurrences) else value
    return data


def _default(field: Field[Any]) -> Any:  # noqa: ANN401  any field's
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def restored(kind: type[T], data: Mapping[str, Any]) -> T:
    """Return a ``kind`` of what JSON holds; each value must be of the type of its default."""
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, value in data.items():
        if name not in known:
            raise TypeError(name)
        default = _default(known[name])
        checked = _finite if "float" in str(known[name].type) else _text
        if isinstance(default, Occurrences):
            values[name] = restored(Occurrences, value)
        elif isinstance(default, float):
            values[name] = _finite(value)
        elif isinstance(default, tuple) and isinstance(value, list):
            values[name] = tuple(map(checked, value))
        elif isinstance(default, dict) and isinstance(value, dict):
            values[name] = {key: checked(one) for key, one in value.items()}
        elif type(value) is int and type(default) is int and abs(value) < MAX_UNIX_TIME:
            values[name] = max(UNREPORTED, value)
        elif isinstance(default, (str, bool, type(None))) and type(value) in _TYPES[type(default)]:
            values[name] = value
        else:
            raise TypeError(name)
    return kind(**values)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _finite(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(value)
    if not abs(value) <= MAX_UNIX_TIME:  # so is NaN
        raise TypeError(value)
    return float(value)


def _time(item: tuple[str, float]) -> float:
    return item[1]
