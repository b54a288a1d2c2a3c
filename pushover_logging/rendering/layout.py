"""The body of a push: which lines it shows, and which parts give way if not all of them fit.

The parts get their room in this order: the message, the root exception's line, the place, the
level's line, the extras, the traceback, of which each exception's own line comes first, and last
the trail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pushover_logging.rendering.exception_text import ExceptionLines, FrameLine
from pushover_logging.rendering.text import escape_html, truncate, truncate_middle

LINE_LIMIT = 200  # characters that one extra, one frame or one place takes at most
_CAUSE_LIMIT = 400
_SHORT_CHAIN = 10  # exceptions; all lines of a longer one rarely fit
_REST_SIZE = 24  # characters that "… 14 more exceptions", or a fold, takes at most


class BodyParts(NamedTuple):
    """The parts of a body; ``text`` is the message."""

    text: str
    cause: str = ""
    place: str = ""
    level: str = ""
    extras: Sequence[str] = ()
    exceptions: Sequence[ExceptionLines] = ()


def build_body(parts: BodyParts, limit: int, *, trail: Sequence[str] = ()) -> str:
    """Return the body, at most ``limit`` characters; the oldest lines of the trail give way."""
    body = _without_trail(parts, limit)
    room, lines = limit - len(body), list(trail)
    while lines and sum(map(len, lines)) + len(lines) > room:
        del lines[0]
    return "\n".join(filter(None, [body, *lines]))


def _without_trail(parts: BodyParts, limit: int) -> str:
    text, cause, place, level, extras, exceptions = parts
    if len(exceptions) <= _SHORT_CHAIN and len(cause) <= _CAUSE_LIMIT:
        whole = [text, cause, place, *extras, *_all_lines(exceptions), level]
        if sum(map(len, whole)) + len(whole) + _REST_SIZE * len(exceptions) <= limit:
            return "\n".join(filter(None, whole))
    cause = truncate_middle(cause, _CAUSE_LIMIT)
    room = limit - min(len(text), limit // 3)  # what would leave no room for the message is dropped
    level = level if _size((cause, place, level)) <= room else ""
    place = place if _size((cause, place, level)) <= room else ""
    text = truncate(text, limit - _size((cause, place, level)))
    room = max(limit - len("\n".join(filter(None, (text, cause, place, level)))), 0)
    extras, room = _fitting_extras(extras, room)
    traceback = traceback_lines(exceptions, room) if exceptions else ()
    lines = [text, cause, place, *extras, *traceback, level]
    return truncate("\n".join(filter(None, lines)), limit)


def build_html_body(parts: BodyParts, limit: int, *, trail: Sequence[str] = ()) -> str:
    """Return the body as html, which collapses spaces; the escapes can make it longer."""
    return escape_html(build_body(parts, limit, trail=trail).replace("\n  ", "\n\u00a0\u00a0"))


def _all_lines(exceptions: Sequence[ExceptionLines]) -> list[str]:
    """Return all lines of a chain."""
    lines = []
    for line, remarks, frames, hidden in exceptions:
        lines.append(line)
        for remark in remarks:
            lines.append(f"  {remark}")  # noqa: PERF401  a comprehension is a call more
        for frame, times, _ in frames:
            lines.append(frame)
            hidden -= times  # noqa: PLW2901
        if hidden:
            lines.append(_fold(hidden))
    return lines


def _size(lines: Sequence[str]) -> int:
    """Return the characters that the lines take, those that are not empty with a newline."""
    return len("\n".join([*filter(None, lines), ""]))


def _fitting_extras(extras: Sequence[str], room: int) -> tuple[list[str], int]:
    """Return the first extras that fit, with a line that counts the rest, and the room left."""
    sizes = [len(line) + 1 for line in extras]
    if sum(sizes) <= room:
        return list(extras), room - sum(sizes)
    left = room - _REST_SIZE
    if left < 0:
        return [], room
    count, left = _fitting(sizes, left)
    rest = f"… {len(extras) - count} more"
    return [*extras[:count], rest], left + _REST_SIZE - len(rest) - 1


def _fitting(sizes: Sequence[int], room: int) -> tuple[int, int]:
    """Return how many of the first ``sizes``, which do not all fit, fit, and the room left."""
    count = 0
    while sizes[count] <= room:
        room -= sizes[count]
        count += 1
    return count, room


@dataclass(slots=True)
class _Block:
    """One exception of the traceback: the lines that are shown, and the frames that are not yet."""

    lines: list[str]
    hidden: int
    frames: list[FrameLine]
    fold: str = ""  # the line that counts the hidden frames, if there is room for it


def traceback_lines(exceptions: Sequence[ExceptionLines], room: int) -> list[str]:
    """Return the lines of a chain that fit, the root first, and of each its innermost frames."""
    fitting, rest, room = _fitting_exceptions(exceptions, room)
    has_own = any(not frame.package for block in fitting for frame in block.frames)
    blocks = []
    for line, remarks, frames, total in fitting:
        blocks.append(_Block([line], total, _folded(frames) if has_own else list(frames)))
        for remark in remarks:
            if len(remark) + 3 <= room:
                blocks[-1].lines.append(f"  {remark}")
                room -= len(remark) + 3
    for block in blocks:
        fold = _fold(block.hidden)
        if len(fold) + 1 <= room:
            block.fold = fold
            room -= _size([fold])
    _unfold([block for block in blocks if block.fold], room)
    lines = [[*block.lines, block.fold] for block in blocks]
    lines[-1:-1] = [[rest]]
    return [line for block_lines in lines for line in block_lines if line]


def _fitting_exceptions(
    exceptions: Sequence[ExceptionLines], room: int
) -> tuple[list[ExceptionLines], str, int]:
    """Return the exceptions whose own lines fit, a line that counts the rest, and the room left."""
    # The last exception, which is the logged one, comes before those between it and the root.
    sizes = [_size([exception.line]) for exception in exceptions]
    if sum(sizes) <= room:
        return list(exceptions), "", room - sum(sizes)
    left = room - sizes[-1] - _REST_SIZE
    if left < 0:
        return [root for root in exceptions[:1] if not root.line], "", room
    count, left = _fitting(sizes, left)
    rest = f"… {len(exceptions) - count - 1} more exceptions"
    return [*exceptions[:count], exceptions[-1]], rest, left + _REST_SIZE - len(rest) - 1


def _unfold(blocks: list[_Block], room: int) -> None:
    """Show frames while there is room, one of each block in turn."""
    while blocks:
        for block in list(blocks):
            line, times, _ = block.frames[0] if block.frames else ("", 0, "")
            fold = _fold(block.hidden - times)
            size = len(line) + 1 + _size([fold]) - _size([block.fold])
            if not block.frames or size > room:
                blocks.remove(block)
                continue
            room -= size
            block.lines.append(line)
            block.fold = fold
            block.hidden -= times
            del block.frames[0]


def _folded(frames: Sequence[FrameLine]) -> list[FrameLine]:
    """Return frames that have little room: those of the program, of libraries a line a package."""
    folded: list[FrameLine] = []
    run: dict[str, list[FrameLine]] = {}  # by package, since the program's own frame before
    for frame in [*frames, FrameLine("", 0)]:
        if frame.package:
            run.setdefault(frame.package, []).append(frame)
            continue
        for package, members in run.items():
            times = sum(member.times for member in members)
            line = f"  … {times} frames in {package}" if len(members) > 1 else members[0].text
            folded.append(FrameLine(line, times, package))
        run = {}
        folded.append(frame)
    return folded[:-1]


def _fold(hidden: int) -> str:
    return f"  … {hidden} frame{'s' if hidden > 1 else ''}" if hidden else ""
