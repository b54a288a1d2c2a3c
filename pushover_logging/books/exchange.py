"""What a ledger asks of a throttle that it shares with other processes, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pushover_logging.outbox.envelope import Envelope
from pushover_logging.throttle.problem import Count, End, Report, View
from pushover_logging.throttle.shared import SharedThrottle

Told = Callable[[Sequence[Count]], Sequence[Envelope]]
"""Makes the Messages that tell counts."""

BEAT = 1.0  # seconds between two exchanges with what processes share
HURRIED_BEAT = 0.1  # the same while somebody waits for the sender, as at exit


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What came of an exchange.

    ``views`` are of what changed, ``inserted`` says how many summaries were put into the outbox,
    ``to_put`` are those that still have to be, ``back`` the counts that were not taken.
    """

    views: Mapping[str, View]
    inserted: int = 0
    to_put: Sequence[Envelope] = ()
    back: Sequence[Report] = ()


class Sharing(Protocol):
    """One handler's part in a shared throttle; called by its sender's thread, without its guard.

    ``source`` names this process among the others; ``is_far``: an answer comes over a network.
    """

    source: str
    is_far: bool

    @property
    def throttle(self) -> SharedThrottle:
        """Return the throttle that is shared."""

    def renew(self) -> None:
        """Start anew, as a fork's child does."""

    def next_due(self, *, hurry: bool) -> float:
        """Return the seconds until the next exchange."""

    def exchange(self, reports: Sequence[Report], told: Told, *, ends: bool) -> Exchanged | None:
        """Report counts, and tell what is due. None: nothing of it has happened.

        ``ends``: the handler closes, and these may be the last counts of its process.
        """

    def decide(self, envelope: Envelope) -> str | None:
        """Say what becomes of a Message unsent; empty: it is sent; None: not decided here."""

    def ended(self, envelope: Envelope, end: End) -> None:
        """Know how a push ended."""

    def owns(self, envelope: Envelope) -> bool:
        """Tell whether the envelope's counts are the shared throttle's."""
