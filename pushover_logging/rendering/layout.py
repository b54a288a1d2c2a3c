"""A body out of its parts: which lines a phone shows, and which give way to which.

In this order a part takes its room: the message, the root exception's line, the place, the level's
line, the extras, and last the traceback, of which each exception's own line comes first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pushover_logging.rendering.exception_text import ExceptionLines
from pushover_logging.rendering.text import truncate

LINE_LIMIT = 200  # one extra, one frame or one place takes no more of the room than this
_CAUSE_LIMIT = 400
_COUNT = 24  # what "… 14 more exceptions" takes at most


class BodyParts(NamedTuple):
    """What a body is made of, in the order in which a part gives way to those before it."""

    text: str
    cause: str = ""
    place: str = ""
    level: str = ""
    extras: Sequence[str] = ()
    faults: Sequence[ExceptionLines] = ()


def build(parts: BodyParts, limit: int) -> str:
    """Return what fits into ``limit`` characters, in the order in which it is read."""
    cause, place, level = fixed = _fixed(parts, limit)
    text = truncate(parts.text, limit - sum(len(one) + 1 for one in fixed if one))
    room = max(limit - len("\n".join(filter(None, (text, *fixed)))), 0)
    extras, room = fitting(parts.extras, room)
    traceback = traceback_lines(parts.faults, room) if parts.faults else ()
    lines = [text, cause, place, *extras, *traceback, level]
    return truncate("\n".join(filter(None, lines)), limit)


def _fixed(parts: BodyParts, limit: int) -> tuple[str, str, str]:
    """Return cause, place and level, less those that would leave no room for the message."""
    fixed = [truncate(parts.cause, _CAUSE_LIMIT), parts.place, parts.level]
    least = min(len(parts.text), limit // 3)
    for last in (2, 1):
        if least + sum(len(one) + 1 for one in fixed if one) > limit:
            fixed[last] = ""
    return fixed[0], fixed[1], fixed[2]


def fitting(lines: Sequence[str], room: int) -> tuple[list[str], int]:
    """Return the first ``lines`` that fit into ``room`` characters, and the room that is left.

    The number of the others is told where there is room for it.
    """
    if sum(len(line) + 1 for line in lines) <= room:
        return list(lines), room - sum(len(line) + 1 for line in lines)
    left, number = room - _COUNT, 0
    while len(lines[number]) + 1 <= left:
        left -= len(lines[number]) + 1
        number += 1
    if left < 0:
        return [], room
    rest = f"… {len(lines) - number} more"
    return [*lines[:number], rest], left + _COUNT - len(rest) - 1


class _Told:
    """A fault of which some lines are told."""

    def __init__(self, fault: ExceptionLines) -> None:
        self.fault = fault
        self.remarks: list[str] = []
        self.frames = 0  # how many of them
        self.left = fault.total
        self.folded = False

    def next_frame(self) -> tuple[str, int] | None:
        """Return its next frame, and how much more room it takes than the fold has now."""
        if self.frames == len(self.fault.frames):
            return None
        line, times = self.fault.frames[self.frames]
        after = len(_fold(self.left - times)) if self.left > times else -1
        return line, len(line) + 1 + after - len(_fold(self.left))

    def lines(self) -> Iterator[str]:
        """Yield what is told of it."""
        yield self.fault.line
        yield from self.remarks
        yield from (line for line, _ in self.fault.frames[: self.frames])
        if self.folded and self.left:
            yield _fold(self.left)


def traceback_lines(faults: Sequence[ExceptionLines], room: int) -> list[str]:
    """Return what fits of a chain, the root first, each exception's innermost frames first."""
    shown, rest, room = _with_lines(faults, room)
    told = [_Told(fault) for fault in shown]
    for one in told:
        for remark in one.fault.remarks:
            if len(remark) + 3 <= room:
                one.remarks.append(f"  {remark}")
                room -= len(remark) + 3
    for one in told:
        if one.left and len(_fold(one.left)) + 1 <= room:
            one.folded = True
            room -= len(_fold(one.left)) + 1
    _unfold([one for one in told if one.folded], room)
    blocks = [list(one.lines()) for one in told]
    blocks[-1:-1] = [[rest]]
    return [line for block in blocks for line in block if line]


def _with_lines(
    faults: Sequence[ExceptionLines], room: int
) -> tuple[list[ExceptionLines], str, int]:
    """Return the faults whose own lines fit, what is told of the others, and the room left.

    The last, which is what the program logged, stays before those between it and the root.
    """
    sizes = [len(one.line) + 1 if one.line else 0 for one in faults]
    if sum(sizes) <= room:
        return list(faults), "", room - sum(sizes)
    left = room - sizes[-1] - _COUNT
    if left < 0:
        return [one for one in faults[:1] if not one.line], "", room
    number = 0
    while sizes[number] <= left:
        left -= sizes[number]
        number += 1
    rest = f"… {len(faults) - number - 1} more exceptions"
    return [*faults[:number], faults[-1]], rest, left + _COUNT - len(rest) - 1


def _unfold(told: list[_Told], room: int) -> None:
    """Add frames while there is room, one of each exception in turn."""
    while told:
        for one in list(told):
            frame = one.next_frame()
            if frame is None or frame[1] > room:
                told.remove(one)
                continue
            room -= frame[1]
            one.left -= one.fault.frames[one.frames][1]
            one.frames += 1


def _fold(number: int) -> str:
    return f"  … {number} frame{'s' if number > 1 else ''}"
