"""What a place where the throttle's state lives must be able to do, and what is asked and answered.

A `Table` keeps, the throttle decides. What changes within one of its calls belongs together, and a
table that several processes share makes it so (`Table.atomically`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from pushover_logging.throttle.problem import Count, Problem, Verdict
from pushover_logging.throttle.valves import Group, Valves

REMAINDER = ""  # the key of the problem that takes the counts of those that had to go
T = TypeVar("T")


class Answer(NamedTuple):
    """A verdict, the count that its push tells along, and the key that the record goes by."""

    verdict: Verdict
    along: Count | None
    key: str


class About(NamedTuple):
    """How a problem was told, or should have been: what its summaries say, and to whom."""

    title: str
    user: str | None = None
    device: str | None = None
    priority: int = 0


class Table(Protocol):
    """Problems by fingerprint, and what the valves keep. What was changed is to be put again."""

    def atomically(self, work: Callable[[], T]) -> T:
        """Do ``work``, which may be done again where another process was faster."""

    def now(self) -> float:
        """Return the seconds of the table's own clock."""

    def get(self, key: str) -> Problem | None:
        """Return a problem, None for one that is not there."""

    def put(self, key: str, problem: Problem) -> None:
        """Keep a problem, new or changed."""

    def pop(self, key: str) -> None:
        """Let a problem go."""

    def valves(self) -> Valves:
        """Return the valves' state."""

    def put_valves(self, valves: Valves) -> None:
        """Keep the valves' state."""

    def group(self, name: str) -> Group:
        """Return the newcomers of one origin."""

    def put_group(self, name: str, group: Group) -> None:
        """Keep them; an empty one goes."""

    def waiting(self) -> Sequence[tuple[str, Problem]]:
        """Return the problems that may be due."""

    def counted(self) -> Sequence[tuple[str, Problem]]:
        """Return the problems with something counted."""

    def expendable(self) -> Sequence[str]:
        """Return who has to go for a newcomer: nobody, while there is room."""
