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
from pushover_logging.identity.headline import (
    address_in,
    address_in_text,
    given_text,
    headline,
    json_words,
    last_error_line,
    names_nothing,
)
from pushover_logging.identity.record_parts import RecordParts
from pushover_logging.identity.tracebacks import Frame
from pushover_logging.rendering.redaction import MAX_CHARS

MAX_EXCEPTIONS = 100  # exceptions of a chain that are read, from the root on; no more lines fit
_WITH_FRAMES = 10  # of these, the first ones also get their frames
_MAX_FRAMES = 20  # of the program and of libraries each; no more fit
_MAX_READ = 200  # frames of each exception, among which these are looked for
_HANDLED = "While handling "
_MAX_REMARKS = 8
_NO_TEXT = "<exception str() failed>"  # as in Python's own tracebacks

_STARTS_WITH_NAME = re.compile(r"[A-Za-z_][\w.$]*(?:: |$)")
_MODULES = re.compile(r"\A(?:\w+\.)+?(?=(?!Error\b)\w+(?::|$)|\w+\.Error(?::|$))")


class FrameLine(NamedTuple):
    """The line of a frame, the number of frames it stands for, and its package, "" if in-app."""

    text: str  # empty if only the package is shown
    times: int
    package: str = ""


class ExceptionLines(NamedTuple):
    """The lines of one exception of a chain, or of a stack; ``total`` counts all its frames."""

    line: str  # empty for the root, whose line is that of the `ExceptionSummary`
    remarks: list[str]  # further lines of its text, and its notes
    frames: list[FrameLine]  # the innermost first
    total: int


class ExceptionSummary(NamedTuple):
    """What went wrong (empty without an exception), where, and the chain, the root first.

    ``frame`` is the one that ``place`` names.
    """

    line: str
    place: str
    exceptions: list[ExceptionLines]
    frame: Frame | None = None


def summarize_exception(record: logging.LogRecord, parts: RecordParts) -> ExceptionSummary:
    """Return the summary of a record's exception; ``parts`` are those of the record."""
    if parts.exceptions:
        summary = _summarize_object(parts.exceptions[0], parts.traceback)
    else:
        summary = _summarize_text(parts.exc_text)
    if parts.stack:
        stacks = _parsed_lines(tracebacks.parse_tracebacks(parts.stack))
        summary = summary._replace(exceptions=summary.exceptions + stacks)
    if record.pathname and not summary.place:
        place = Frame(str(record.funcName or ""), str(record.pathname), record.lineno)
        summary = summary._replace(place=_format_place(place), frame=place)
    return _without_repeated_place(summary)


def _without_repeated_place(summary: ExceptionSummary) -> ExceptionSummary:
    """Remove the summary's place from the line of the first frame."""
    root = summary.exceptions[0] if summary.exceptions else None
    if root is None or not root.frames:
        return summary
    line, times, package = root.frames[0]
    place, rest = line[: len(summary.place) + 2], line[len(summary.place) + 2 :]
    if place != f"  {summary.place}" or rest[:1] not in {"", ":", " "}:
        return summary
    function = summary.place.rpartition(", ")[0]
    line = f"  {function}{rest}" if function else f"  {rest.lstrip(': ')}"
    frames = [FrameLine(line, times, package)] if rest else []
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
        rest = [FrameLine(line, 1) for line in lines if line != summary][:_MAX_FRAMES]
        return ExceptionSummary(summary, "", [ExceptionLines("", [], rest, len(lines) - 1)])
    exceptions, root = _parsed_lines(parsed), parsed[0]
    if not root.line:
        return ExceptionSummary("", "", exceptions)
    line = exceptions[0].line
    exceptions[0] = exceptions[0]._replace(line="")
    line = _with_address(line, [block.line for block in parsed])
    if more := tracebacks.further_members(text):
        line = f"{line} (and {more} more)"
    place = tracebacks.in_app_place(root.frames)
    return ExceptionSummary(line, _format_place(place) if place else "", exceptions, place)


def _with_address(line: str, lines: Sequence[str]) -> str:
    """Return a root's line with the address that one of its chain's ``lines`` names, if needed."""
    name, _, text = line.partition(": ")
    if not names_nothing(text, is_os_error=tracebacks.is_os_error(name)):
        return line
    address = next(filter(None, map(address_in_text, lines)), "")
    return f"{line} ({address})" if address else line


def _parsed_lines(blocks: Iterable[tracebacks.ParsedTraceback]) -> list[ExceptionLines]:
    found = []
    for block in blocks:
        frames = _chosen(reversed(block.frames))
        total = sum(frame.times for frame in block.frames)
        name, colon, text = _MODULES.sub("", block.line, count=1).partition(": ")
        if colon:
            line, remarks = _named_headline(name, "\n".join([text, *block.remarks]))
        else:
            line, remarks = name or "Stack:", [*block.remarks]
        if block.is_context:
            line = f"{_HANDLED}{line}"
        remarks = list(map(str.strip, remarks))
        found.append(ExceptionLines(line, remarks, _frame_lines(frames), total))
    return found


def _summarize_object(exc: BaseException, tb: object) -> ExceptionSummary:
    causes, contexts = tracebacks.split_chain(exc)
    chain: Sequence[BaseException] = causes
    roots = 1
    if len(chain) > 1 or tracebacks.subexceptions(exc):
        roots = len(tracebacks.flatten_group(chain[-1]))
        chain = list(_from_root(chain))
    exceptions: list[ExceptionLines] = []
    remote: Frame | None = None  # the place in another process
    entries = []
    for each in chain:
        inner = tracebacks.inner_tracebacks(each)
        if inner:
            exceptions += _parsed_lines(inner)
            remote = remote or tracebacks.in_app_place(inner[0].frames)
            if tracebacks.is_remote(each):
                continue
        own = tb if each is exc and isinstance(tb, TracebackType) else each.__traceback__
        entries.append(own)
        exceptions.append(_read_exception(each, own, with_details=len(exceptions) < _WITH_FRAMES))
    root, line = chain[0], exceptions[0].line
    exceptions[0] = exceptions[0]._replace(line="")
    text = line.partition(": ")[2]
    if names_nothing(text, is_os_error=isinstance(root, OSError)):
        address = address_in(chain, text_of)
        line = f"{line} ({address})" if address else line
    if roots > 1:
        line = (
            f"{line} (and {roots - 1} {'or more' if roots == tracebacks.MAX_MEMBERS else 'more'})"
        )
    for each in reversed(contexts[: MAX_EXCEPTIONS - len(exceptions)]):
        found = _read_exception(
            each, each.__traceback__, with_details=len(exceptions) < _WITH_FRAMES
        )
        exceptions.append(found._replace(line=f"{_HANDLED}{found.line}"))
    place = remote if remote and tracebacks.is_in_app(remote.filename) else None
    if isinstance(root, SyntaxError):
        place = place or _syntax_error_frame(root)
    place = place or tracebacks.in_app_frame(*entries) or remote
    return ExceptionSummary(line, _format_place(place) if place else "", exceptions, place)


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
    text = text_of(exc)
    if isinstance(exc, SyntaxError) and isinstance(exc.msg, str):
        text = exc.msg  # its str() repeats the place
    text = tracebacks.split_traceback(text)[0] if tracebacks.MARK in text else text
    # Without the modules of its type: a lock screen shows forty characters.
    name = type(exc).__qualname__.rpartition("<locals>.")[2]
    if name == "Error":
        name = f"{type(exc).__module__.rpartition('.')[2]}.Error"
    line, rest = _named_headline(name, text)
    frames, total = _innermost_frames(tb, with_details=with_details)
    if not with_details:
        return ExceptionLines(line, [], [], total)
    syntax_error = _syntax_error_frame(exc) if isinstance(exc, SyntaxError) else None
    if syntax_error:
        frames.insert(0, syntax_error)
        total += 1
    error_line = last_error_line(exc)
    remarks = [f"stderr: {error_line}"] if error_line else []
    remarks += rest[:_MAX_REMARKS]
    notes = getattr(exc, "__notes__", None)
    for note in notes[:_MAX_REMARKS] if isinstance(notes, (list, tuple)) else ():
        remarks += note[:MAX_CHARS].splitlines() if isinstance(note, str) else ()
    remarks = list(filter(None, map(str.strip, remarks[:_MAX_REMARKS])))
    return ExceptionLines(line, remarks, _frame_lines(frames), total)


def _named_headline(name: str, text: str) -> tuple[str, list[str]]:
    """Return what an exception of a type says on one line, and its further lines.

    A lock screen shows forty characters: neither the name of the type comes twice, nor JSON before
    what it says.
    """
    first, rest = headline(text)
    before, said = json_words(first) if "{" in first else ("", "")
    if said:
        rest = [first, *rest]
        first = f"{before}{' ' if before[-1:] in {':', '-'} else ': '}{said}" if before else said
    if first.startswith((f"{name}: ", f"{name}(", f"{name}[")):
        first = first[len(name) :].removeprefix(": ")
    elif first.startswith(f"({name}) "):
        first = first[len(name) + 3 :]
    elif ": " in first:
        heading, _, words = first.partition(": ")
        if _letters(heading) == _letters(name):
            first = words
    return f"{name}: {first}" if first else name, rest


def _letters(name: str) -> str:
    """Return the letters of an error's name, of which ``Exception`` and ``Error`` are none."""
    return re.sub(r"(?i)exception|error|\s", "", name).lower()


def text_of(exc: BaseException) -> str:
    """Return an exception's text, as Python's own tracebacks show it if it raises."""
    try:
        return given_text(exc)
    except Exception:  # noqa: BLE001  any code of the program
        return _NO_TEXT


def _innermost_frames(tb: TracebackType | None, *, with_details: bool) -> tuple[list[Frame], int]:
    """Return frames, the innermost first, repeated ones merged, and the number of all."""
    entries: list[TracebackType] = []
    while tb is not None:
        entries.append(tb)
        tb = tb.tb_next
    return _chosen(_merged(entries)) if with_details else [], len(entries)


def _merged(entries: list[TracebackType]) -> Iterator[Frame]:
    """Yield the frames of a traceback's entries, the innermost first, repeated ones merged."""
    position = len(entries) - 1
    while position >= 0:
        last, times = entries[position], 0
        code, instruction = last.tb_frame.f_code, last.tb_lasti
        while position >= 0:
            entry = entries[position]
            if entry.tb_frame.f_code is not code or entry.tb_lasti != instruction:
                break
            position -= 1
            times += 1
        yield tracebacks.read_frame(last, times)


def _chosen(frames: Iterable[Frame]) -> list[Frame]:
    """Return the innermost frames, as many of the program as of libraries."""
    found, counts = [], {False: 0, True: 0}
    for frame in itertools.islice(frames, _MAX_READ):
        own = tracebacks.is_in_app(frame.filename)
        counts[own] += 1
        if counts[own] <= _MAX_FRAMES:
            found.append(frame)
        if counts[True] >= _MAX_FRAMES:
            break
    return found


def _syntax_error_frame(exc: SyntaxError) -> Frame | None:
    """Return the place of the text that Python could not parse."""
    if not isinstance(exc.filename, str) or exc.filename.startswith("<"):
        return None
    code = exc.text.strip() if isinstance(exc.text, str) else ""
    return Frame("", exc.filename, exc.lineno if isinstance(exc.lineno, int) else 0, code)


def _frame_lines(frames: Iterable[Frame]) -> list[FrameLine]:
    """Return the line of each frame."""
    lines = []
    for frame in frames:
        code = f": {frame.code}" if frame.code else ""
        repeated = f" ({frame.times} times)" if frame.times > 1 else ""
        line = f"  {_format_place(frame)}{code}{repeated}"
        lines.append(FrameLine(line, frame.times, tracebacks.package_of(frame.filename)))
    return lines


def _format_place(place: Frame) -> str:
    """Return ``charge, payments/api.py:42``."""
    path = "/".join(place.filename.replace("\\", "/").rsplit("/", 2)[-2:]).lstrip("/")
    function = place.function.rpartition("<locals>.")[2]
    return f"{function}, {path}:{place.lineno}" if function else f"{path}:{place.lineno}"
