"""What is told of an exception, as lines; and a frame as one line."""

from __future__ import annotations

import linecache
import logging
import re
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import NamedTuple

from pushover_logging.identity.tracebacks import (
    MAX_MEMBERS,
    ParsedTraceback,
    SourceLocation,
    TextFrame,
    exception_chain,
    flatten_group,
    further_members,
    in_app_frame,
    is_exc_info,
    is_in_app,
    parse_tracebacks,
)
from pushover_logging.rendering.text import first_line

FRAMES = 20
"""Of each exception, the innermost that are looked at: more do not fit."""


class ExceptionLines(NamedTuple):
    """One exception of a chain, or a stack, as lines; the root's own ``line`` is told apart."""

    line: str
    remarks: list[str]
    """What it says beyond its line, and its notes."""
    frames: list[tuple[str, int]]
    """The innermost first, each with the number of frames that it stands for."""
    total: int
    """How many frames it has in all."""


class ExceptionSummary(NamedTuple):
    """What went wrong, empty without an exception; where; and the chain, from the root on."""

    line: str
    place: str
    faults: list[ExceptionLines]


def frame_line(frame: TextFrame) -> tuple[str, int]:
    """Return a frame's line, and for how many frames it stands."""
    code = f": {frame.code}" if frame.code else ""
    repeated = f" ({frame.times} times)" if frame.times > 1 else ""
    return f"  {where(frame)}{code}{repeated}", frame.times


def where(place: SourceLocation | TextFrame) -> str:
    """Return ``charge, payments/api.py:42``."""
    path = "/".join(place.filename.replace("\\", "/").rsplit("/", 2)[-2:]).lstrip("/")
    function = short(place.function)
    return f"{function}, {path}:{place.lineno}" if function else f"{path}:{place.lineno}"


def short(name: str) -> str:
    """Return a qualified name without the functions around it."""
    return name.rpartition("<locals>.")[2]


_NAMED = re.compile(r"[A-Za-z_][\w.$]*(?:: |$)")
_MODULES = re.compile(r"(?:\w+\.)+(?=\w+(?::|$))")


def of_text(text: str) -> ExceptionSummary:
    """Return what a traceback that came as text says; of any other text, its last line."""
    if not text.strip():
        return ExceptionSummary("", "", [])
    found = parse_tracebacks(text)
    if not found:
        return _of_foreign(text.strip().splitlines())
    if not found[0].line:
        return ExceptionSummary("", "", written(found))
    frames = found[0].frames
    place = next((one for one in reversed(frames) if is_in_app(one.filename)), None)
    faults = written(found)
    faults[0] = faults[0]._replace(line="")
    place = place or (frames[-1] if frames else None)
    line = _MODULES.sub("", found[0].line, count=1)
    if more := further_members(text):
        line = f"{line} (and {more} more)"
    return ExceptionSummary(line, where(place) if place else "", faults)


def _of_foreign(lines: list[str]) -> ExceptionSummary:
    """Return what a traceback in another way of writing says, as far as it can be told."""
    named = [line for line in lines if _NAMED.match(line)]
    line = named[-1] if named else lines[0]
    rest = [(one, 1) for one in lines if one != line][:FRAMES]
    return ExceptionSummary(line, "", [ExceptionLines("", [], rest, len(lines) - 1)])


def written(found: Iterable[ParsedTraceback]) -> list[ExceptionLines]:
    """Return what was read of a text as it is told."""
    return [
        ExceptionLines(
            _MODULES.sub("", one.line, count=1) or "Stack:",
            one.remarks,
            [frame_line(frame) for frame in reversed(one.frames[-FRAMES:])],
            sum(frame.times for frame in one.frames),
        )
        for one in found
    ]


FAULTS = 100
"""Exceptions of a chain that are looked at, from the root on: no more lines fit."""
_IN_FULL = 10  # of these, the frames as well
_REMARKS = 8
_NO_TEXT = "<exception str() failed>"  # as Python's own traceback says it


def cause_of(record: logging.LogRecord, text: str = "") -> ExceptionSummary:
    """Return what a record's exception says; ``text`` is its traceback, where it came as text."""
    info: object = record.exc_info  # any object: records also come from makeLogRecord and sockets
    given = record.exc_text
    if is_exc_info(info):
        cause = _of_exception(info[1], info[2])
    elif isinstance(given, str) and given.strip():
        cause = of_text(given)
    elif isinstance(record.msg, BaseException):  # log.error(exc): its text alone may say nothing
        cause = _of_exception(record.msg, None)
    else:
        cause = of_text(text)
    stack = record.stack_info
    if isinstance(stack, str) and stack:
        cause = cause._replace(faults=cause.faults + written(parse_tracebacks(stack)))
    cause = cause if cause.place else cause._replace(place=_place_of(record))
    return _without_twice(cause)


def _without_twice(cause: ExceptionSummary) -> ExceptionSummary:
    """Take out of the first frame's line what the place says."""
    first = cause.faults[0] if cause.faults else None
    if first is None or not first.frames:
        return cause
    line, times = first.frames[0]
    place, rest = line[: len(cause.place) + 2], line[len(cause.place) + 2 :]
    if place != f"  {cause.place}" or rest[:1] not in {"", ":", " "}:
        return cause
    function = cause.place.rpartition(", ")[0]
    line = f"  {function}{rest}" if function else f"  {rest.lstrip(': ')}"
    frames = [(line, times)] if rest else []
    total = first.total if rest else first.total - times
    first = first._replace(frames=frames + first.frames[1:], total=total)
    return cause._replace(faults=[first, *cause.faults[1:]])


def _of_exception(exc: BaseException, tb: object) -> ExceptionSummary:
    told = list(_told(exc))
    roots = _roots(exc)
    line = _line_of(told[0])
    if len(roots) > 1:
        many = "or more" if len(roots) == MAX_MEMBERS else "more"
        line = f"{line} (and {len(roots) - 1} {many})"
    tracebacks = [tb if one is exc and isinstance(tb, TracebackType) else one.__traceback__
                  for one in told]  # fmt: skip
    place = _syntax_frame(told[0]) or in_app_frame(*tracebacks)
    faults = [
        ExceptionLines(
            _line_of(one) if number else "", *_shown(one, own, in_full=number < _IN_FULL)
        )
        for number, (one, own) in enumerate(zip(told, tracebacks, strict=True))
    ]
    return ExceptionSummary(line, where(place) if place else "", faults)


def _told(exc: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions of a chain once each, the root first, a group after its members."""
    seen: set[int] = set()
    for link in reversed(exception_chain(exc)):
        inside = [each for each in flatten_group(link) if each is not link]
        for one in [*(each for member in inside for each in _inwards(member)), link]:
            if len(seen) == FAULTS:
                return
            if id(one) not in seen:
                seen.add(id(one))
                yield one


def _inwards(exc: BaseException) -> list[BaseException]:
    return exception_chain(exc)[::-1]


def _roots(exc: BaseException) -> list[BaseException]:
    root = exception_chain(exc)[-1]
    return list({id(one): one for one in flatten_group(root)}.values())


def _line_of(exc: BaseException) -> str:
    """Return an exception's line as Python has it, less the modules before its type's name.

    Forty characters are seen on a lock screen: what it says comes before where its type is defined.
    """
    name = short(type(exc).__qualname__)
    said = first_line(_said(exc))
    return f"{name}: {said}" if said else name


def _said(exc: BaseException) -> str:
    if isinstance(exc, SyntaxError) and isinstance(exc.msg, str):
        return exc.msg  # its str() says the place as well, which has a line of its own
    try:
        return str(exc)
    except Exception:  # noqa: BLE001  any code of the program's
        return _NO_TEXT


def _shown(
    exc: BaseException, tb: TracebackType | None, *, in_full: bool
) -> tuple[list[str], list[tuple[str, int]], int]:
    """Return what an exception says beyond its line, its frames and their number."""
    entries = []
    while tb is not None:
        entries.append(tb)
        tb = tb.tb_next
    if not in_full:
        return [], [], len(entries)
    frames = [frame_line(frame) for frame in _frames(entries)]
    broken = _syntax_frame(exc)
    if broken:
        frames.insert(0, frame_line(broken))
    return _remarks(exc), frames, len(entries) + (broken is not None)


def _remarks(exc: BaseException) -> list[str]:
    remarks = _said(exc).strip().splitlines()[1 : 1 + _REMARKS]
    notes = getattr(exc, "__notes__", None)
    for note in notes if isinstance(notes, (list, tuple)) else ():
        remarks += note.splitlines() if isinstance(note, str) else ()
    return [one.strip() for one in remarks[:_REMARKS] if one.strip()]


def _frames(entries: list[TracebackType]) -> Iterator[TextFrame]:
    """Yield the innermost frames, the innermost first, repeated ones as one."""
    position = len(entries) - 1
    for _ in range(FRAMES):
        if position < 0:
            return
        last, times = entries[position], 0
        while position >= 0 and _is_same(entries[position], last):
            position -= 1
            times += 1
        code = last.tb_frame.f_code
        lineno = last.tb_lineno or 0  # CPython gives None where no source line stands for it
        text = linecache.getline(code.co_filename, lineno, last.tb_frame.f_globals).strip()
        name = getattr(code, "co_qualname", code.co_name)
        yield TextFrame(name, code.co_filename, lineno, text, times)


def _is_same(one: TracebackType, other: TracebackType) -> bool:
    return one.tb_frame.f_code is other.tb_frame.f_code and one.tb_lasti == other.tb_lasti


def _syntax_frame(exc: BaseException) -> TextFrame | None:
    """Return where the text is that Python could not read; None of any other fault."""
    if not isinstance(exc, SyntaxError) or not isinstance(exc.filename, str):
        return None
    code = exc.text.strip() if isinstance(exc.text, str) else ""
    return TextFrame("", exc.filename, exc.lineno if isinstance(exc.lineno, int) else 0, code)


def _place_of(record: logging.LogRecord) -> str:
    function, filename = record.funcName or "", record.pathname or ""
    return where(SourceLocation(str(function), str(filename), record.lineno)) if filename else ""
