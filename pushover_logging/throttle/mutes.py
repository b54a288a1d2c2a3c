"""Mutes: until when the pushes of one problem, or of all, are held back. Pure, as the rules."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from pushover_logging.identity.record_parts import ID_DIGITS, JOB

MAX_MUTE = 7 * 86_400.0  # seconds


@dataclass(frozen=True, slots=True)
class Mute:
    """Holds pushes back from ``since`` to ``until``, in seconds of the store's clock.

    ``ids`` are those of its problem, empty for all. Without ``include_critical`` a CRITICAL passes.
    """

    ids: tuple[str, ...] = ()
    since: float = 0.0
    until: float = 0.0
    include_critical: bool = False

    def is_same(self, other: Mute) -> bool:
        """Return True if both are of one problem, by its name or its id, or both of all."""
        return self.ids == other.ids or not set(self.ids).isdisjoint(other.ids)

    def holds(self, key: str, level: int) -> bool:
        """Return True if it holds back a push of ``level`` about the problem of ``key``."""
        # With `group_by`, the end of a key is that of its name.
        is_meant = not self.ids or problem_id(key) in self.ids or key[-ID_DIGITS:] in self.ids
        return is_meant and (self.include_critical or level < logging.CRITICAL)


Mutes = tuple[Mute, ...]


def problem_id(key: str) -> str:
    """Return the short name of a problem that people type."""
    return key.rpartition(":")[2][:ID_DIGITS]


def ids_of(name: str | None) -> tuple[str, ...]:
    """Return the ids that ``name`` can mean: an id, or a fingerprint's name. None means all."""
    if name is None:
        return ()
    from pushover_logging.identity.fingerprint import explicit  # noqa: PLC0415  not at the start

    return name, problem_id(explicit(name)), problem_id(explicit(f"{JOB}{name}"))


def with_mute(mutes: Mutes, mute: Mute) -> Mutes:
    """Return ``mutes`` with one more, which goes on where an earlier one of the same ids began."""
    others = tuple(each for each in mutes if not each.is_same(mute))
    since = min([mute.since, *(each.since for each in mutes if each.is_same(mute))])
    return (*others, replace(mute, since=since))


def current(mutes: Mutes, now: float) -> Mutes:
    """Return those that are not over; a clock that jumped ends each within `MAX_MUTE`."""
    return tuple(mute for mute in mutes if now < mute.until <= now + MAX_MUTE)
