"""Messages about counts: the summary of one problem, the digest of several, a resolution."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import NamedTuple

from pushover_logging.message import MESSAGE_LIMIT, PRIORITIES, TITLE_LIMIT, Message
from pushover_logging.rendering.text import shortener, truncate, with_note

SUMMARY_PRIORITY = -1
DIGEST_PRIORITY = -2  # of a digest at exit: nobody has to wake up for a count
MAX_SOURCES = 100  # processes that a problem remembers between two summaries
NO_TITLE = "(no title)"
CALL_SITE = "call site:"  # how the key of different messages from one line starts
_PLACES_ROOM = 300  # characters
_ROOM = 80  # characters for a closing line and the host
_MAX_HOSTS = 5
_MAX_TEXTS = 5
_DID_NOT_RUN = " did not run"


class Count(NamedTuple):
    """Records of one problem that no push has reported yet.

    ``count`` of them came between ``since`` and ``last`` (Unix time), the worst at ``level``;
    ``total`` in the problem's life, which ``began`` then. ``next_window`` is the seconds until the
    next summary. ``refused``: the service refused the problem's own push; ``refusals``: how many
    summaries of this same count it refused. ``unannounced``: no push has reported the problem yet;
    ``announced``: an earlier digest named it. ``title``, ``user``, ``device`` and ``priority`` are
    those of the push that reported the problem, or should have; ``places`` are where it came from,
    ``sources`` the processes that counted, ``texts`` the most frequent of what the records said,
    each with its number before it. ``repeats``: an emergency of it repeats. ``muted`` is for how
    many seconds a mute has hidden it, ``unmuted`` for how many seconds that is over;
    ``acknowledged`` says on what device, and when, someone has acknowledged an emergency of it.
    """

    key: str
    count: int  # type: ignore[assignment]  # tuple has a method of that name
    total: int
    since: float
    last: float
    level: int
    next_window: float
    refused: bool = False
    refusals: int = 0
    title: str = ""
    user: str | None = None
    device: str | None = None
    began: float = 0.0
    priority: int = 0
    unannounced: bool = False
    announced: bool = False
    places: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    repeats: bool = False
    texts: tuple[str, ...] = ()
    muted: float = 0.0
    unmuted: float = 0.0
    acknowledged: str = ""


def summary(
    counts: Sequence[Count], host: str | None, *, now: float = 0.0, at_exit: bool = False
) -> Message:
    """Return the Message that reports ``counts``, one or several, all for one user and device.

    Problems that no push has reported make it a digest, at the highest of their priorities but at
    most high. Its time is that of the last record, or the end of a mute; ``now`` is Unix time.
    ``at_exit``: the process ends, so no next summary is announced.
    """
    timestamp = max(count.last for count in counts)
    newcomers = [count for count in counts if count.unannounced]
    first = (newcomers or counts)[0]
    if first.muted and not at_exit:
        total, number = sum(count.count for count in counts), len(counts)
        lasted = format_duration(round(first.muted))
        title = f"Muted for {lasted}: {total} of {number} problem{'s' if number > 1 else ''}"
        lines, timestamp = _listed(counts), round(now - first.unmuted)
    elif newcomers and len(counts) > 1:
        number, others = len(newcomers), len(counts) - len(newcomers)
        title = f"{number} new problem{'s' if number > 1 else ''}"
        title, lines = f"{title}, and more of {others}" if others else title, _listed(counts)
    elif newcomers:
        title, lines = first.title, [_sentences(first, at_exit=at_exit)]
    elif len(counts) == 1:
        are_all, texts = _texts(first)
        title = f"{first.count} more: {first.title}"
        if are_all and not first.key.startswith(CALL_SITE):
            title = f'{first.count} more like "{first.title}"'
        lines = list(filter(None, [_sentences(first, at_exit=at_exit), texts]))
    else:
        title = f"{sum(count.count for count in counts)} more of {len(counts)} problems"
        lines = _listed(counts)
    if host:
        lines.append(host)
    reported = [count for count in counts if not (count.unannounced or count.refused)]
    urgent = [count.priority for count in counts if not (count in reported or count.muted)]
    quiet = DIGEST_PRIORITY if at_exit else SUMMARY_PRIORITY
    return Message(
        title=truncate(title, TITLE_LIMIT),
        message=truncate("\n".join(lines), MESSAGE_LIMIT),
        priority=min(max([quiet, *urgent]), PRIORITIES["high"]),
        timestamp=int(timestamp),
        user=first.user,
        device=first.device,
    )


def did_not_run(  # noqa: PLR0913  what is known of a job
    name: str,
    *,
    now: float,
    deadline: float,
    started: float,
    host: str,
    is_unfinished: bool,
    priority: int,
    device: str | None,
    sound: str | None,
) -> Message:
    """Return the Message that a job did not start before its deadline; times are Unix time."""
    text = f"expected by {_moment(deadline, now)}, last started {_moment(started, now)}"
    text += f" on {host}" if host else ""
    text += ", and has not ended" if is_unfinished else ""
    return Message(
        title=f"{truncate(name, TITLE_LIMIT - len(_DID_NOT_RUN))}{_DID_NOT_RUN}",
        message=truncate(text, MESSAGE_LIMIT),
        priority=priority,
        device=device,
        sound=sound,
        timestamp=int(now),
    )


def resolved(title: str, text: str, created: float) -> Message:
    """Return the quiet Message that a problem is over; ``text`` may be empty."""
    return Message(
        title=truncate(title, TITLE_LIMIT),
        message=truncate(text, MESSAGE_LIMIT - _ROOM).strip() or "It is over.",
        priority=SUMMARY_PRIORITY,
        timestamp=int(created),
    )


def with_duration(message: Message, count: Count) -> Message:
    """Return a resolution that says how long its problem lasted, for those that received it."""
    lasted = format_duration(max(0.0, round((message.timestamp or 0) - count.began)))
    times = {1: "once", 2: "twice"}.get(count.total, f"{count.total} times")
    text = f"{message.message}\nIt lasted {lasted} and came {times}."
    return replace(message, message=text, user=count.user, device=count.device)


def again(message: Message) -> Message:
    """Return the push of a problem that came back after its window."""
    return replace(message, title=truncate(f"Again: {message.title or ''}".rstrip(), TITLE_LIMIT))


def escalated(message: Message, count: Count, level: int) -> Message:
    """Return the push of a problem that got worse, to ``level``, with what was counted before."""
    lower = " at a lower level" if count.level < level else ""
    line = f"{count.count} more{lower} {_span(count)} ({count.total} in all)"
    return with_line(message, line)


def with_line(message: Message, line: str) -> Message:
    """Return ``message`` with a last line."""
    line = f"{_break(message)}{line}"
    short = shortener(markup=message.html)
    return replace(message, message=short(message.message, MESSAGE_LIMIT - len(line)) + line)


def unacknowledged(message: Message) -> Message:
    """Return an emergency with a first line: nobody has acknowledged it in its time."""
    minutes = (message.expire or 0) / 60
    lasted = f"{minutes:.3g} min" if minutes >= 1 else f"{message.expire} s"
    line = f"Nobody acknowledged this within {lasted}.{_break(message)}"
    short = shortener(markup=message.html)
    return replace(message, message=line + short(message.message, MESSAGE_LIMIT - len(line)))


def _break(message: Message) -> str:
    return "<br>" if message.html else "\n"


def noted(message: Message, note: str) -> Message:
    """Return ``message`` with ``(note)`` as its last line."""
    text = with_note(message.message, note, MESSAGE_LIMIT, markup=message.html)
    return replace(message, message=text)


def format_duration(seconds: float) -> str:
    """Return a duration as people write it: ``45 s``, ``15 min``, ``4 h``, ``1 day``."""
    for unit, size in (("day", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            number = round(seconds / size, 1)
            plural = "s" if unit == "day" and number != 1 else ""
            return f"{number:g} {unit}{plural}"
    return f"{seconds:g} s"


def _sentences(count: Count, *, at_exit: bool) -> str:
    more = "" if count.unannounced else " more"
    minutes = (count.last - count.since) / 60
    rate = f"{count.count / minutes:.0f}/min" if minutes >= 1 else ""
    rate = ", ".join(filter(None, (rate, _where(count))))
    total = f" ({count.total} in all)" if count.total > count.count else ""
    parts = [f"{count.count}{more} {_span(count)}{total}{', ' if rate else ''}{rate}."]
    if count.level >= logging.CRITICAL:  # a summary is quiet
        parts.append("The worst was CRITICAL.")
    if count.places:
        parts.append(f"In {_places(count.places)}.")
    if count.refused:
        parts.append("The first could not be sent.")
    if count.acknowledged:
        parts.append(count.acknowledged)
    if refusals := _refusals([count]):
        parts.append(refusals)
    following = f"If it goes on, next summary in {format_duration(count.next_window)}."
    return " ".join([*parts, "The program ended." if at_exit else following])


def _listed(counts: Sequence[Count]) -> list[str]:
    """Return a line for each problem that fits, first those that no push has named."""
    ranked = sorted(
        counts,
        key=lambda count: (not count.unannounced, count.announced, -count.level, count.since),
    )
    lines: list[str] = []
    refusals = _refusals(counts)
    room = MESSAGE_LIMIT - _ROOM - len(refusals)
    for count in ranked:
        line = f"x{count.count} {truncate(count.title or NO_TITLE, 80)}, {_span(count)}"
        line += ", CRITICAL" if count.level >= logging.CRITICAL else ""
        if count.acknowledged:
            line = f"{line}. {count.acknowledged}"
        room -= len(line) + 1
        if room < 0 or (count.unannounced and count.announced):
            break
        lines.append(line)
    rest = len(ranked) - len(lines)
    if rest:
        lines.append(f"… and {rest} more problems")
    return [*lines, refusals] if refusals else lines


def _refusals(counts: Sequence[Count]) -> str:
    """Return how often these counts were refused before, which makes each request a new one."""
    number = max(count.refusals for count in counts)
    if number > 1:
        return f"The {number} pushes before were refused."
    return "The push before was refused." if number else ""


def _texts(count: Count) -> tuple[bool, str]:
    """Return whether the records said different things, all known, and a line that names them.

    The line has up to five texts, the most frequent first. It is empty if all said what the title
    says.
    """
    split = (numbered.partition(" ") for numbered in count.texts)
    # What another process has put into a shared store can be anything.
    found = [(int(number) if number.isdecimal() else 1, text) for number, _, text in split]
    if not found or (len(found) == 1 and found[0][1].rstrip("…") in count.title):
        return False, ""
    are_all = sum(number for number, _ in found) == count.count
    names = [f"x{number} {text}" if are_all else text for number, text in found[:_MAX_TEXTS]]
    line = ", ".join(names) + (" and others" if len(found) > _MAX_TEXTS else "")
    return are_all and len(found) > 1, line if are_all else f"Among them: {line}"


def _places(places: Sequence[str]) -> str:
    """Return the places that fit into a line or two, and how many more there are."""
    names = [places[0]]
    for place in places[1:]:
        if len(", ".join([*names, place])) > _PLACES_ROOM:
            break
        names.append(place)
    rest = len(places) - len(names)
    return ", ".join(names) + (f" and {rest} more places" if rest else "")


def _where(count: Count) -> str:
    """Return the processes that counted, if there were several."""
    if len(count.sources) <= 1:
        return ""
    hosts = list(dict.fromkeys(source.partition("@")[2] for source in count.sources))
    names = ", ".join(filter(None, hosts[:_MAX_HOSTS]))
    names += " and others" if len(hosts) > _MAX_HOSTS else ""
    number = f"{len(count.sources)}{'+' if len(count.sources) >= MAX_SOURCES else ''}"
    return f"{number} processes on {names}" if names else f"{number} processes"


def _span(count: Count) -> str:
    times = map(time.localtime, (count.since, count.last))
    since, last = (time.strftime("%H:%M:%S", at) for at in times)
    return since if since == last else f"{since}-{last}"


def _moment(at: float, now: float) -> str:
    """Return a local time of day, with the day and the year unless they are those of ``now``."""
    day, today = date.fromtimestamp(at), date.fromtimestamp(now)  # noqa: DTZ012  local
    names = {today: "", today - timedelta(days=1): "yesterday "}
    year = "" if day.year == today.year else f"{day.year} "
    return names.get(day, f"{day:%a %d %b} {year}") + time.strftime("%H:%M", time.localtime(at))
