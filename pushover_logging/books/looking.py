"""What is asked of a throttle just before a Message is sent, and told when it has ended."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from pushover_logging.identity.fingerprint import EXPLICIT
from pushover_logging.message import EMERGENCY, MESSAGE_LIMIT, PRIORITIES, Message
from pushover_logging.outbox.envelope import Envelope
from pushover_logging.rendering.text import with_note
from pushover_logging.throttle.deciding import Throttle
from pushover_logging.throttle.problem import Count, End, Origin, Settled, Verdict, settle
from pushover_logging.throttle.table import About, Answer
from pushover_logging.throttle.valves import Gate

if TYPE_CHECKING:  # loaded where state is shared
    from pushover_logging.throttle.shared import SharedThrottle


def about(envelope: Envelope) -> About:
    """Return what the problem's summaries are to know of its push."""
    message = envelope.message
    title = envelope.title or message.title or ""
    return About(title, message.user, message.device, message.priority)


def envelope_for(
    record: logging.LogRecord, message: Message, answer: Answer, origin: Origin | None, now: float
) -> Envelope:
    """Return the envelope of an admitted record; ``now`` is the monotonic second."""
    return Envelope(
        message,
        answer.verdict,
        now,
        key=answer.key or None,
        level=record.levelno,
        created=record.created,
        counts=(answer.along,) if answer.along else (),
        title=message.title,
        group=origin.group if origin else "",
        place=origin.place if origin else "",
    )


def last_look(throttle: Throttle, envelope: Envelope) -> str | None:
    """Say what becomes of a Message unsent, None: it is sent, perhaps with less of an alarm."""
    key, message = envelope.key, envelope.message
    if key is None:
        return None
    if envelope.verdict is Verdict.RESOLVED:
        return "suppressed" if throttle.overtaken(key, envelope.counts) else None
    if throttle.gate is Gate.SCARCE and envelope.level < logging.CRITICAL:
        throttle.withdraw(counted(envelope, key))
        return "suppressed"
    if message.priority == EMERGENCY and not envelope.alarmed:
        envelope.alarmed = True
        why = throttle.alarm(key, float(message.expire or 0))
        if why:
            note = f"no emergency: {why}"
            text = with_note(message.message, note, MESSAGE_LIMIT, markup=message.html)
            high = PRIORITIES["high"]
            envelope.message = replace(message, priority=high, message=text)
        elif key.startswith(EXPLICIT):  # only what has a name can be resolved
            tags = ",".join(filter(None, (message.tags, tag_of(key))))
            envelope.message = replace(message, tags=tags)
    return None


def decide(throttle: SharedThrottle, envelope: Envelope) -> str:
    """Decide for all processes what becomes of a Message; empty: it is sent."""
    key = envelope.key
    if key is None or envelope.verdict is Verdict.SUMMARY:
        return ""
    if envelope.verdict is Verdict.RESOLVED and envelope.decided:
        return ""
    if envelope.verdict is Verdict.RESOLVED:
        was = throttle.resolve(key, envelope.created)
        envelope.decided = True
        envelope.counts = () if was is None else (was,)
        return "suppressed" if was is None else ""
    if not envelope.decided:
        verdict, count, envelope.key = throttle.admit(
            key, envelope.level, envelope.created, envelope.origin, about(envelope)
        )
        if verdict in {Verdict.SUPPRESSED, Verdict.DIGESTED}:
            return "suppressed"
        envelope.decided, envelope.verdict = True, verdict
        envelope.counts = (count,) if count else ()
    return last_look(throttle, envelope) or ""


def tag_of(key: str) -> str:
    """Return the tag by which a problem's emergencies are cancelled."""
    return f"problem-{key.rpartition(':')[2]}"


def ended_alarms(envelope: Envelope) -> list[str]:
    """Return the tags of the emergencies that a resolution ends."""
    if envelope.verdict is not Verdict.RESOLVED:
        return []
    return [tag_of(count.key) for count in envelope.counts if count.alarm]


def settle_envelope(
    throttle: Settled, envelope: Envelope, end: End, *, with_counts: bool = True
) -> None:
    """Let a throttle know how a Message ended."""
    key = None if envelope.verdict is Verdict.RESOLVED else envelope.key
    settle(throttle, end, key, envelope.counts if with_counts else (), envelope.group)


def counted(envelope: Envelope, key: str) -> Count:
    """Return a Message's record, and what it tells along, as a count."""
    told = about(envelope)
    before = sum(count.number for count in envelope.counts)
    return Count(
        key=key,
        number=1 + before,
        total=1 + before,
        since=min([envelope.created, *(count.since for count in envelope.counts)]),
        last=envelope.created,
        level=envelope.level,
        following=1.0,
        title=told.title,
        user=told.user,
        device=told.device,
        priority=told.priority,
        group=envelope.group,
    )
