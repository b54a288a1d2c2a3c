"""Two valves: free texts of one call site, and failures of one root cause, become one problem."""

from __future__ import annotations

from pushover_logging.throttle.machine import Rules
from pushover_logging.throttle.problem import UNHEARD, Count, Origin, Problem
from pushover_logging.throttle.table import Table
from pushover_logging.throttle.valves import SITE, Group


def grouped(
    rules: Rules, table: Table, key: str, origin: Origin, at: tuple[float, float]
) -> tuple[str, Problem | None]:
    """Return what a newcomer goes by: its own key, or the one problem of all of its origin.

    ``at`` is the table's time and the record's Unix time. The problems that become one leave the
    table; the one is not put yet.
    """
    now, created = at
    whole = rules.present(table.get(origin.group), now)
    if whole is not None and whole.told != UNHEARD:
        return origin.group, whole
    group = table.group(origin.group)
    if not group.is_one(origin.group, key, now):
        table.put_group(origin.group, group)
        return key, None
    table.put_group(origin.group, Group())
    whole = whole or rules.begin(now, created)
    members = [(one, table.get(one)) for one in group.members]
    for one, member in members:
        if member is not None:
            _fold(rules, whole, member.counted(one, 0.0), now)
            whole.told = max(whole.told, member.told)
            table.pop(one)
    # Open once a push of one of them has arrived, which `ended` brings here.
    whole.pending = all(member is None or member.pending for _, member in members)
    whole.until = now + rules.lasts(whole)
    if origin.group.startswith(SITE):
        whole.title = f"different messages from {origin.place}"
    return origin.group, whole


def _fold(rules: Rules, whole: Problem, count: Count, now: float) -> None:
    whole.total += count.total
    whole.began = min(whole.began, count.began)
    whole.newcomer = whole.newcomer or count.newcomer
    whole.title = whole.title or count.title
    whole.user, whole.device = count.user, count.device
    whole.priority = max(whole.priority, count.priority)
    if count.number:
        rules.add(whole, count, now)
