"""The lines that a push shows of an exception: what went wrong, where, and the chain below it.

`summarize_exception` reads a record's exception, whether it is an object or text.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import NamedTuple

from pushover_logging.identity import tracebacks
from pushover_logging.identity.tracebacks import Frame
from pushover_logging.rendering.redaction import MAX_CHARS
from pushover_logging.rendering.text import first_line

MAX_EXCEPTIONS = 100  # exceptions of a chain that are read, from the root on; no more lines fit
_WITH_FRAMES = 10  # of these, the first ones also get their frames
_MAX_FRAMES = 20  # of each exception, the innermost; no more fit
_MAX_REMARKS = 8
_NO_TEXT = "<exception str() failed>"  # as in Python's own tracebacks

_STARTS_WITH_NAME = re.compile(r"[A-Za-z_][\w.$]*(?:: |$)")
_MODULES = re.compile(r"(?:\w+\.)+(?=\w+(?::|$))")


class ExceptionLines(NamedTuple):
    """The lines of one exception of a chain, or of a stack; ``total`` counts all its frames."""

    line: str  # empty for the root, whose line is that of the `ExceptionSummary`
    remarks: list[str]  # further lines of its text, and its notes
    frames: list[tuple[str, int]]  # the innermost first, each with the number it stands for
    total: int


class ExceptionSummary(NamedTuple):
    """What went wrong (empty without an exception), where, and the chain, the root first."""

    line: str
    place: str
    exceptions: list[ExceptionLines]


def summarize_exception(record: logging.LogRecord, text: str = "") -> ExceptionSummary:
    """Return the summary of a record's exception; ``text``: the traceback in its message."""
    info: object = record.exc_info  # any object, in records of makeLogRecord and of sockets
    exc_text = record.exc_text
    if tracebacks.is_exc_info(info):
        summary = _summarize_object(info[1], info[2])
    elif isinstance(exc_text, str) and exc_text.strip():
        summary = _summarize_text(exc_text)
    elif isinstance(record.msg, BaseException):  # log.error(exc), whose text can be empty
        summary = _summarize_object(record.msg, None)
    else:
        summary = _summarize_text(text)
    stack = record.stack_info
    if isinstance(stack, str) and stack:
        stacks = _parsed_lines(tracebacks.parse_tracebacks(stack))
        summary = summary._replace(exceptions=summary.exceptions + stacks)
    if record.pathname and not summary.place:
        place = Frame(str(record.funcName or ""), str(record.pathname), record.lineno)
        summary = summary._replace(place=_format_place(place))
    return _without_repeated_place(summary)


def _without_repeated_place(summary: ExceptionSummary) -> ExceptionSummary:
    """Remove the summary's place from the line of the first frame."""
    root = summary.exceptions[0] if summary.exceptions else None
    if root is None or not root.frames:
        return summary
    line, times = root.frames[0]
    place, rest = line[: len(summary.place) + 2], line[len(summary.place) + 2 :]
    if place != f"  {summary.place}" or rest[:1] not in {"", ":", " "}:
        return summary
    function = summary.place.rpartition(", ")[0]
    line = f"  {function}{rest}" if function else f"  {rest.lstrip(': ')}"
    frames = [(line, times)] if rest else []
    total = root.total if rest else root.total - times
    root = root._replace(frames=frames + root.frames[1:], total=total)
    return summary._replace(exceptions=[root, *summary.exceptions[1:]])


def _summarize_text(text: str) -> ExceptionSummary:
    """Return the summary of a traceback as text; of any other text, its last line."""
    if not text.strip():
        return ExceptionSummary("", "", [])
    parsed = tracebacks.parse_tracebacks(text)
    if not parsed:
        # Not in Python's format: what is clear of it.
        lines = text.strip().splitlines()
        summary = next(filter(_STARTS_WITH_NAME.match, reversed(lines)), lines[0])
        rest = [(line, 1) for line in lines if line != summary][:_MAX_FRAMES]
        return ExceptionSummary(summary, "", [ExceptionLines("", [], rest, len(lines) - 1)])
    exceptions, root = _parsed_lines(parsed), parsed[0]
    if not root.line:
        return ExceptionSummary("", "", exceptions)
    exceptions[0] = exceptions[0]._replace(line="")
    in_app = (frame for frame in reversed(root.frames) if tracebacks.is_in_app(frame.filename))
    place = next(in_app, root.frames[-1] if root.frames else None)
    line = _MODULES.sub("", root.line, count=1)
    if more := tracebacks.further_members(text):
        line = f"{line} (and {more} more)"
    return ExceptionSummary(line, _format_place(place) if place else "", exceptions)


def _parsed_lines(blocks: Iterable[tracebacks.ParsedTraceback]) -> list[ExceptionLines]:
    found = []
    for line, remarks, frames in blocks:
        shown, total = frames[: -_MAX_FRAMES - 1 : -1], sum(frame.times for frame in frames)
        line = _MODULES.sub("", line, count=1) or "Stack:"  # noqa: PLW2901
        found.append(ExceptionLines(line, remarks, _frame_lines(shown), total))
    return found


def _summarize_object(exc: BaseException, tb: object) -> ExceptionSummary:
    chain: Sequence[BaseException] = tracebacks.exception_chain(exc)
    roots = 1
    if len(chain) > 1 or tracebacks.subexceptions(exc):
        roots = len(tracebacks.flatten_group(chain[-1]))
        chain = list(_from_root(chain))
    exceptions: list[ExceptionLines] = []
    entries = []
    for each in chain:
        own = tb if each is exc and isinstance(tb, TracebackType) else each.__traceback__
        entries.append(own)
        exceptions.append(_read_exception(each, own, with_details=len(exceptions) < _WITH_FRAMES))
    line = exceptions[0].line
    exceptions[0] = exceptions[0]._replace(line="")
    if roots > 1:
        line = (
            f"{line} (and {roots - 1} {'or more' if roots == tracebacks.MAX_MEMBERS else 'more'})"
        )
    root = chain[0]
    place = _syntax_error_frame(root) if isinstance(root, SyntaxError) else None
    place = place or tracebacks.in_app_frame(*entries)
    return ExceptionSummary(line, _format_place(place) if place else "", exceptions)


def _from_root(chain: Sequence[BaseException]) -> Iterator[BaseException]:
    """Yield the exceptions of a chain once each, the root first, a group after its members."""
    seen: set[int] = set()
    for link in reversed(chain):
        members = [member for member in tracebacks.flatten_group(link) if member is not link]
        chains = (reversed(tracebacks.exception_chain(member)) for member in members)
        for each in (*itertools.chain.from_iterable(chains), link):
            if len(seen) == MAX_EXCEPTIONS:
                return
            if id(each) not in seen:
                seen.add(id(each))
                yield each


def _read_exception(
    exc: BaseException, tb: TracebackType | None, *, with_details: bool
) -> ExceptionLines:
    """Return an exception's line, and with its details the lines below it."""
    try:
        text = str(exc)
    except Exception:  # noqa: BLE001  any code of the program
        text = _NO_TEXT
    if isinstance(exc, SyntaxError) and isinstance(exc.msg, str):
        text = exc.msg  # its str() repeats the place
    # Without the modules of its type: a lock screen shows forty characters.
    name, first = type(exc).__qualname__.rpartition("<locals>.")[2], first_line(text)
    line = f"{name}: {first}" if first else name
    frames, total = _innermost_frames(tb, _MAX_FRAMES if with_details else 0)
    if not with_details:
        return ExceptionLines(line, [], [], total)
    syntax_error = _syntax_error_frame(exc) if isinstance(exc, SyntaxError) else None
    if syntax_error:
        frames.insert(0, syntax_error)
        total += 1
    remarks = text[:MAX_CHARS].strip().splitlines()[1 : 1 + _MAX_REMARKS]
    notes = getattr(exc, "__notes__", None)
    for note in notes[:_MAX_REMARKS] if isinstance(notes, (list, tuple)) else ():
        remarks += note[:MAX_CHARS].splitlines() if isinstance(note, str) else ()
    remarks = list(filter(None, map(str.strip, remarks[:_MAX_REMARKS])))
    return ExceptionLines(line, remarks, _frame_lines(frames), total)


def _innermost_frames(tb: TracebackType | None, limit: int) -> tuple[list[Frame], int]:
    """Return frames, the innermost first, repeated ones merged, and the number of all."""
    entries: list[TracebackType] = []
    while tb is not None:
        entries.append(tb)
        tb = tb.tb_next
    frames: list[Frame] = []
    position = len(entries) - 1
    while position >= 0 and len(frames) < limit:
        last, times = entries[position], 0
        code, instruction = last.tb_frame.f_code, last.tb_lasti
        while position >= 0:
            entry = entries[position]
            if entry.tb_frame.f_code is not code or entry.tb_lasti != instruction:
                break
            position -= 1
            times += 1
        frames.append(tracebacks.read_frame(last, times))
    return frames, len(entries)


def _syntax_error_frame(exc: SyntaxError) -> Frame | None:
    """Return the place of the text that Python could not parse."""
    if not isinstance(exc.filename, str):
        return None
    code = exc.text.strip() if isinstance(exc.text, str) else ""
    return Frame("", exc.filename, exc.lineno if isinstance(exc.lineno, int) else 0, code)


def _frame_lines(frames: Iterable[Frame]) -> list[tuple[str, int]]:
    """Return the line of each frame, and the number of frames that it stands for."""
    lines = []
    for frame in frames:
        code = f": {frame.code}" if frame.code else ""
        repeated = f" ({frame.times} times)" if frame.times > 1 else ""
        lines.append((f"  {_format_place(frame)}{code}{repeated}", frame.times))
    return lines


def _format_place(place: Frame) -> str:
    """Return ``charge, payments/api.py:42``."""
    path = "/".join(place.filename.replace("\\", "/").rsplit("/", 2)[-2:]).lstrip("/")
    function = place.function.rpartition("<locals>.")[2]
    return f"{function}, {path}:{place.lineno}" if function else f"{path}:{place.lineno}"
