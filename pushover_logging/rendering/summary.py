"""Counts into Messages: the summary of one problem, the digest of several, a told count."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from pushover_logging.message import MESSAGE_LIMIT, PRIORITIES, TITLE_LIMIT, Message
from pushover_logging.rendering.text import shortener, truncate
from pushover_logging.throttle.machine import SOURCES
from pushover_logging.throttle.problem import Count, Verdict

SUMMARY_PRIORITY = -1
PLACES_ROOM = 300  # characters
NO_TITLE = "(no title)"
_ROOM = 80  # characters for a closing line and the host
DIGEST_PRIORITY = -2  # last words at exit: nobody is woken for a count


def summary(counts: Sequence[Count], host: str | None, *, final: bool = False) -> Message:
    """Return the Message that tells ``counts``, one or several, all for one user and device.

    Problems that no push has told make it a digest, at the highest priority of theirs but at most
    high. ``final`` says that the process ends: no next summary is announced.
    """
    newcomers = [count for count in counts if count.newcomer]
    first = (newcomers or counts)[0]
    if newcomers and len(counts) > 1:
        title, lines = _digest(newcomers, len(counts) - len(newcomers)), _listed(counts)
    elif newcomers:
        title, lines = first.title, [_told(first, final=final)]
    elif len(counts) == 1:
        title, lines = f"x{first.number} more: {first.title}", [_told(first, final=final)]
    else:
        title = f"x{sum(count.number for count in counts)} more of {len(counts)} problems"
        lines = _listed(counts)
    if host:
        lines.append(host)
    unheard = [min(count.priority, PRIORITIES["high"]) for count in counts if _unheard(count)]
    quiet = DIGEST_PRIORITY if final else SUMMARY_PRIORITY
    return Message(
        title=truncate(title, TITLE_LIMIT),
        message=truncate("\n".join(lines), MESSAGE_LIMIT),
        priority=max([quiet, *unheard]),
        timestamp=int(max(count.last for count in counts)),
        user=first.user,
        device=first.device,
    )


def resolved(name: object, text: str, created: float, shown: Callable[[str], str]) -> Message:
    """Return the quiet Message that says of a problem that it is over; ``text`` may be empty.

    ``shown`` takes secrets out of a text.
    """
    return Message(
        title=truncate(shown(f"Resolved: {' '.join(str(name).split())}"), TITLE_LIMIT),
        message=truncate(shown(text), MESSAGE_LIMIT - _ROOM).strip() or "It is over.",
        priority=SUMMARY_PRIORITY,
        timestamp=int(created),
    )


def with_verdict(message: Message, verdict: Verdict, count: Count | None) -> Message:
    """Return ``message`` with the words of its verdict: ``Again:``, and a count that it brings."""
    if verdict is Verdict.AGAIN:
        return replace(
            message, title=truncate(f"Again: {message.title or ''}".rstrip(), TITLE_LIMIT)
        )
    if count is None or verdict not in {Verdict.ESCALATED, Verdict.RESOLVED}:
        return message
    if verdict is Verdict.RESOLVED:
        lasted = format_duration(max(0.0, round((message.timestamp or 0) - count.began)))
        times = "once" if count.total == 1 else f"{count.total} times"
        text = f"{message.message}\nIt lasted {lasted} and came {times}."
        return replace(message, message=text, user=count.user, device=count.device)
    line = f"{count.number} more at a lower level {_span(count)} ({count.total} in all)"
    line = f"{'<br>' if message.html else chr(10)}{line}"
    short = shortener(markup=message.html)
    return replace(message, message=short(message.message, MESSAGE_LIMIT - len(line)) + line)


def format_duration(seconds: float) -> str:
    """Return a length of time as people say it: ``45 s``, ``15 min``, ``4 h``, ``1 day``."""
    for unit, size in (("day", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            number = round(seconds / size, 1)
            plural = "s" if unit == "day" and number != 1 else ""
            return f"{number:g} {unit}{plural}"
    return f"{seconds:g} s"


def _unheard(count: Count) -> bool:
    """Tell whether no push of the problem has reached anybody, as far as is known."""
    return count.newcomer or count.refused


def _told(count: Count, *, final: bool) -> str:
    more = "" if count.newcomer else " more"
    rate = ", ".join(filter(None, (_rate(count), _where(count))))
    total = f" ({count.total} in all)" if count.total > count.number else ""
    parts = [f"{count.number}{more} {_span(count)}{total}{', ' if rate else ''}{rate}."]
    if count.level >= logging.CRITICAL:  # a summary is quiet
        parts.append("The worst was CRITICAL.")
    if count.places:
        parts.append(f"In {_names(count.places)}.")
    if count.refused:
        parts.append("The first could not be sent.")
    if said := _refusals([count]):
        parts.append(said)
    if final:
        parts.append("The program ended.")
    else:
        parts.append(f"If it goes on, next summary in {format_duration(count.following)}.")
    return " ".join(parts)


def _digest(newcomers: Sequence[Count], others: int) -> str:
    number, more = len(newcomers), f", and more of {others}" if others else ""
    return f"{number} new problem{'s' if number > 1 else ''}{more}"


def _listed(counts: Sequence[Count]) -> list[str]:
    """Return a line for each problem that fits, those first that no push has named."""
    ranked = sorted(counts, key=lambda count: (not count.newcomer, -count.level, count.since))
    shown: list[str] = []
    refusals = _refusals(counts)
    room = MESSAGE_LIMIT - _ROOM - len(refusals)
    for count in ranked:
        line = f"x{count.number} {truncate(count.title or NO_TITLE, 80)}, {_span(count)}"
        room -= len(line) + 1
        if room < 0 or (count.newcomer and count.named):
            break
        shown.append(line)
    rest = ranked[len(shown) :]
    if rest:
        shown.append(f"… and {len(rest)} more problems")
    return [*shown, refusals] if refusals else shown


def _refusals(counts: Sequence[Count]) -> str:
    """Say how often these were refused before: no two requests are the same then."""
    number = max(count.refusals for count in counts)
    if number > 1:
        return f"The {number} pushes before were refused."
    return "The push before was refused." if number else ""


def _names(places: Sequence[str]) -> str:
    """Return the places that fit into a line or two, and how many more there are."""
    shown = [places[0]]
    for place in places[1:]:
        if len(", ".join([*shown, place])) > PLACES_ROOM:
            break
        shown.append(place)
    rest = len(places) - len(shown)
    return ", ".join(shown) + (f" and {rest} more places" if rest else "")


def _where(count: Count) -> str:
    """Return the processes that counted, where it was not one alone."""
    if len(count.sources) <= 1:
        return ""
    hosts = list(dict.fromkeys(source.partition("@")[2] for source in count.sources))
    named = ", ".join(filter(None, hosts[:5])) + (" and others" if len(hosts) > 5 else "")  # noqa: PLR2004  as many as read well
    number = f"{len(count.sources)}{'+' if len(count.sources) >= SOURCES else ''}"
    return f"{number} processes on {named}" if named else f"{number} processes"


def _span(count: Count) -> str:
    since, last = (
        time.strftime("%H:%M:%S", time.localtime(at)) for at in (count.since, count.last)
    )
    return since if since == last else f"{since}-{last}"


def _rate(count: Count) -> str:
    minutes = (count.last - count.since) / 60
    return f"{count.number / minutes:.0f}/min" if minutes >= 1 else ""
