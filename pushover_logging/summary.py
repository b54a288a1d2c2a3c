"""Counts into Messages: the summary of one problem, the digest of several, a told count."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from pushover_logging.message import MESSAGE_LIMIT, TITLE_LIMIT, Message
from pushover_logging.text import cut
from pushover_logging.throttle.machine import Count, Verdict

SUMMARY_PRIORITY = -1
DIGEST_PRIORITY = -2  # last words at exit: nobody is woken for a count


def summary(counts: Sequence[Count], host: str | None, *, final: bool = False) -> Message:
    """Return the Message that tells ``counts``, one or several, all for one user and device.

    ``final`` says that the process ends: no next summary is announced.
    """
    first = counts[0]
    if len(counts) == 1:
        title = f"x{first.number} more: {first.title}"
        lines = [_told(first, final=final)]
    else:
        title = f"x{sum(count.number for count in counts)} more of {len(counts)} problems"
        lines = _listed(counts)
    if host:
        lines.append(host)
    return Message(
        title=cut(title, TITLE_LIMIT),
        message=cut("\n".join(lines), MESSAGE_LIMIT),
        priority=DIGEST_PRIORITY if final else SUMMARY_PRIORITY,
        timestamp=int(max(count.last for count in counts)),
        user=first.user,
        device=first.device,
    )


def told_again(message: Message, verdict: Verdict, count: Count | None) -> Message:
    """Return ``message`` with the words of its verdict: ``Again:``, and a count that it brings."""
    if verdict is Verdict.AGAIN:
        return replace(message, title=cut(f"Again: {message.title or ''}".rstrip(), TITLE_LIMIT))
    if verdict is not Verdict.ESCALATED or count is None:
        return message
    line = f"{count.number} more at a lower level {_span(count)} ({count.total} in all)"
    if message.html:
        line = f"<br>{line}"
    room = MESSAGE_LIMIT - len(line) - 1
    if message.html and len(message.message) > room:
        return message  # a cut here could fall inside a tag; the next summary says how many
    return replace(message, message=f"{cut(message.message, room)}\n{line}")


def length(seconds: float) -> str:
    """Return a length of time as people say it: ``45 s``, ``15 min``, ``4 h``, ``1 day``."""
    for unit, size in (("day", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            number = round(seconds / size, 1)
            plural = "s" if unit == "day" and number != 1 else ""
            return f"{number:g} {unit}{plural}"
    return f"{seconds:g} s"


def _told(count: Count, *, final: bool) -> str:
    parts = [f"{count.number} more {_span(count)} ({count.total} in all){_rate(count)}."]
    if count.refused:
        parts.append("The first could not be sent.")
    if final:
        parts.append("The program ended.")
    else:
        parts.append(f"If it goes on, next summary in {length(count.following)}.")
    return " ".join(parts)


def _listed(counts: Sequence[Count]) -> list[str]:
    lines = [f"x{count.number} {cut(count.title, 80)}, {_span(count)}" for count in counts]
    room = MESSAGE_LIMIT - 80  # a closing line and the host
    shown: list[str] = []
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            shown.append(f"… and {len(lines) - len(shown)} more problems")
            break
        shown.append(line)
    return shown


def _span(count: Count) -> str:
    since, last = (
        time.strftime("%H:%M:%S", time.localtime(at)) for at in (count.since, count.last)
    )
    return since if since == last else f"{since}-{last}"


def _rate(count: Count) -> str:
    minutes = (count.last - count.since) / 60
    return f", {count.number / minutes:.0f}/min" if minutes >= 1 else ""
