"""What is kept of a problem and what is told of it: values, and their way into JSON and back."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import Any, NamedTuple, Protocol, TypeVar

from pushover_logging.clock import MAX_UNIX_TIME
from pushover_logging.identity.fingerprint import GroupKey

OTHERS = "other problems"  # the title of counts whose problems had to go
UNHEARD = -1  # the level told of a problem whose counts came before its first push was claimed
T = TypeVar("T")


class Verdict(Enum):
    """What the throttle says of one record, or of a push that counts several."""

    FIRST = "first"
    AGAIN = "again"
    ESCALATED = "escalated"
    SUPPRESSED = "suppressed"
    DIGESTED = "digested"  # suppressed, and to be named in a digest: it wants a title
    UNTHROTTLED = "unthrottled"
    SUMMARY = "summary"
    RESOLVED = "resolved"


class End(Enum):
    """How a push ended."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # for good
    LOST = "lost"  # dropped, or never made


Origin = GroupKey


class Count(NamedTuple):
    """Records of one problem that no push has told yet.

    ``number`` of them came between ``since`` and ``last`` (Unix time), ``total`` in the problem's
    life, which ``began`` then; ``following`` is the seconds until the next summary, 0 in last
    words. ``refused``: the push before was not accepted; ``refusals``: how many that told this same
    count were refused, so that each says something else. ``newcomer``: no push has told the problem
    yet, ``named``: an earlier one did. ``title``, ``user``, ``device`` and ``priority`` are those
    of the push that told the problem, or should have; ``places`` are where it came from, where
    several are one; ``sources`` the processes that counted. ``loan`` names a lease, in a store
    where whoever tells a count may die of it. ``alarm``: an emergency of it repeats.
    """

    key: str
    number: int
    total: int
    since: float
    last: float
    level: int
    following: float
    refused: bool = False
    refusals: int = 0
    title: str = ""
    user: str | None = None
    device: str | None = None
    began: float = 0.0
    priority: int = 0
    newcomer: bool = False
    named: bool = False
    group: str = ""
    places: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    loan: str = ""
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """A process's count for a shared throttle, with what it knows of the problem.

    ``told`` is the highest level told, ``remaining`` the seconds until its window ends, None while
    its first push was not accepted.
    """

    count: Count
    told: int
    remaining: float | None


class View(NamedTuple):
    """What a shared throttle says of a problem; the fields are those of a `Report`.

    ``resolved``: it is over, and its next record a first. ``newcomer``: a digest tells it.
    ``at`` is the throttle's time, ``taken`` when a count of it was last taken to be told.
    """

    told: int
    remaining: float | None
    resolved: bool = False
    newcomer: bool = False
    taken: float = 0.0
    at: float = 0.0


class Settled(Protocol):
    """What every place where the state lives is told of the pushes."""

    def ended(self, key: str, end: End, group: str = "") -> None:
        """Know how a push of this problem ended."""

    def restore(self, count: Count) -> None:
        """Take back a count whose push did not arrive."""


@dataclass(slots=True)
class Problem:
    """What is kept of one fingerprint: no record, and no text but the title and places.

    ``until`` is when its window ends, while ``pending`` when its first push is given up.
    ``newcomer``: what is counted waits for a digest. ``alarmed_until``: its emergency repeats.
    ``taken`` is when its count was last taken to be told. ``relapses``: how often it came back soon
    after it was resolved; a resolved one is kept to know that.
    """

    told: int
    pending: bool = True
    step: int = 0
    until: float = 0.0
    number: int = 0
    total: int = 1
    began: float = 0.0
    since: float = 0.0
    last: float = 0.0
    seen: int = 0
    escalations: int = 0
    relapses: int = 0
    refused: bool = False
    refusals: int = 0
    newcomer: bool = False
    named: bool = False
    resolved: bool = False
    alarmed_until: float = 0.0
    taken: float = 0.0
    title: str = ""
    user: str | None = None
    device: str | None = None
    priority: int = 0
    group: str = ""
    places: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def counted(self, key: str, following: float) -> Count:
        """Return what is untold, as a value."""
        same = {name: getattr(self, name) for name in _SAME}
        return Count(key=key, level=self.seen, following=following, **same)


_SAME = Count.__annotations__.keys() & Problem.__annotations__.keys()


def settle(
    throttle: Settled, end: End, key: str | None, counts: Sequence[Count], group: str = ""
) -> None:
    """Let a throttle know how a push ended; the counts of one that was not told go back."""
    if key is not None:
        throttle.ended(key, end, group)
    for count in counts:
        untold = end is not End.ACCEPTED and count.number  # a problem that is over may have none
        if untold and count.following:  # last words are not said again
            # A record's own push says other things than the summary that comes next.
            throttle.restore(count if key is not None else come_back(count, end))


def come_back(count: Count, end: End) -> Count:
    """Return the count of a push that was not told; the next knows that one was refused."""
    return count._replace(refusals=count.refusals + 1) if end is End.REFUSED else count


def encoded(value: Any) -> str:  # noqa: ANN401  any of the dataclasses that are kept
    """Return a dataclass as JSON, without what is as by default."""
    blank = {one.name: one.default for one in fields(value)}
    data = {name: given for name, given in asdict(value).items() if given != blank[name]}
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def decoded(kind: type[T], text: str) -> T | None:
    """Return what `encoded` wrote, None for what others have damaged."""
    try:
        return restored(kind, json.loads(text))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None


def restored(kind: type[T], data: Mapping[str, Any]) -> T:
    """Return the ``kind`` of object of the values that JSON gave back, each of its own type."""
    values = {name: _CONVERT[kind.__annotations__[name]](value) for name, value in data.items()}
    return kind(**values)


def finite(value: Any) -> float:  # noqa: ANN401  what JSON holds, which may be NaN
    """Return a time or a length of time. Raises ValueError for what no calendar has."""
    number = float(value)
    if not abs(number) <= MAX_UNIX_TIME:
        msg = f"{number} is no time"
        raise ValueError(msg)
    return number


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _texts(value: Any) -> tuple[str, ...]:  # noqa: ANN401  what JSON holds; Redis writes [] as {}
    return tuple(map(str, value))


# By the types of the fields: the modules of what is kept have these as they are, not as text.
_CONVERT: Mapping[Any, Callable[[Any], Any]] = {
    int: int,
    float: finite,
    bool: bool,
    str: str,
    str | None: _text,
    tuple[str, ...]: _texts,
    tuple[float, ...]: lambda value: tuple(map(finite, value)),
    dict[str, float]: lambda value: {str(key): finite(at) for key, at in value.items()},
}
