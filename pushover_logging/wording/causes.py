"""What a record's exception says: its root's own line, its place, and its frames."""

from __future__ import annotations

import linecache
import logging
from collections.abc import Iterator
from types import TracebackType

from pushover_logging.text import first_line
from pushover_logging.tracebacks import (
    MAX_MEMBERS,
    Place,
    exception_chain,
    in_app_frame,
    is_exc_info,
    members,
)
from pushover_logging.transcripts import TextFrame, transcripts
from pushover_logging.wording.faults import FRAMES, Cause, Fault, frame_line, short, where
from pushover_logging.wording.written import of_text, written

FAULTS = 100
"""Exceptions of a chain that are looked at, from the root on: no more lines fit."""
_IN_FULL = 10  # of these, the frames as well
_REMARKS = 8
_NO_TEXT = "<exception str() failed>"  # as Python's own traceback says it


def cause_of(record: logging.LogRecord, text: str = "") -> Cause:
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
        cause = cause._replace(faults=cause.faults + written(transcripts(stack)))
    cause = cause if cause.place else cause._replace(place=_place_of(record))
    return _without_twice(cause)


def _without_twice(cause: Cause) -> Cause:
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


def _of_exception(exc: BaseException, tb: object) -> Cause:
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
        Fault(_line_of(one) if number else "", *_shown(one, own, in_full=number < _IN_FULL))
        for number, (one, own) in enumerate(zip(told, tracebacks, strict=True))
    ]
    return Cause(line, where(place) if place else "", faults)


def _told(exc: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions of a chain once each, the root first, a group after its members."""
    seen: set[int] = set()
    for link in reversed(exception_chain(exc)):
        inside = [each for each in members(link) if each is not link]
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
    return list({id(one): one for one in members(root)}.values())


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
    return where(Place(str(function), str(filename), record.lineno)) if filename else ""
