"""Read exceptions and tracebacks, as objects and as text, for the fingerprint and the formatter."""

from __future__ import annotations

import linecache
import os
import re
from collections.abc import Sequence
from functools import lru_cache
from types import TracebackType
from typing import NamedTuple, TypeGuard

ASYNCIO = "asyncio.exceptions"
"""The module of asyncio's own exceptions, as their types and their tracebacks name it."""

MAX_MEMBERS = 100  # how many members of an exception group are read

MARK = "(most recent call last):"  # in the header of every traceback and stack
TRACEBACK = f"Traceback {MARK}\n"
_KEY_END = 16_384  # characters that a fingerprint reads at either end of a text
_TEXT_END = 32_768
"""Characters that `parse_tracebacks` reads at either end: a chain's root is first in the text."""
_MAX_REMARKS = 8

_STANDARD_LIBRARY = os.path.join(os.path.dirname(os.__file__), "")  # noqa: PTH118, PTH120  a prefix of file names
_INSTALLED = re.compile(r"[\\/](?:site|dist)-packages[\\/]")

_FRAME = re.compile(r'^[ |]*File "([^"\n]+)", line \d+, in (.+)(?:\n[ |]*(\S.*))?', re.MULTILINE)
# A line that begins at the left; the members of an exception group have a margin there.
_UNINDENTED = re.compile(r"^(?: *[|+] |(?![|+] ))(\S.*)", re.MULTILINE)
_HEADER = rf"(?:^|\n)[ |+]*(?:Exception Group )?(?P<kind>Traceback|Stack) {re.escape(MARK)}"
_MARGIN = re.compile(r"\A *[|+] ")  # of an exception group's members
_FRAME_LINE = r'\s+File "(?P<file>[^"]+)", line (?P<line>\d+)(?:, in (?P<function>.+))?'
_MARKERS = frozenset(" ^~")  # below a line's code
_MEMBER_RULE = r"(?m)^[ |]*\+[-+]*-+ \d+ -+$"  # above each member of a group
_REPEATED = r"\s+\[Previous line repeated (\d+) more times?\]"
_CHAIN_LINES = ("The above exception was", "During handling of the above")


class Frame(NamedTuple):
    """One frame of a traceback, without a reference to the frame object."""

    function: str  # the qualified name, in a text the plain one
    filename: str
    lineno: int
    code: str = ""
    times: int = 1  # how often it is repeated
    module: str = ""


class ParsedTraceback(NamedTuple):
    """One exception of a traceback's text, or a stack, whose ``line`` is empty."""

    line: str
    remarks: list[str]  # the lines below: the rest of the exception's text, and its notes
    frames: list[Frame]  # in the order of the text, the innermost last


def is_exc_info(info: object) -> TypeGuard[tuple[object, BaseException, object]]:
    """Return True if a record's ``exc_info``, which can be any object, holds an exception."""
    parts = ("type", "value", "traceback")
    return (
        isinstance(info, tuple) and len(info) == len(parts) and isinstance(info[1], BaseException)
    )


def exception_chain(exc: BaseException) -> list[BaseException]:
    """Return ``exc`` and the exceptions that led to it, the outermost first.

    The chain follows ``__cause__``, else an unsuppressed ``__context__``, as a traceback does, and
    ends before an exception that it already holds. An exception group counts as one exception. A
    chain does not end in CancelledError: the exception that resulted, a TimeoutError for example,
    takes its place as the root.
    """
    chain: list[BaseException] = []
    seen: set[int] = set()
    current: BaseException | None = exc
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        chain.append(current)
        cause = current.__cause__
        if cause is None and not current.__suppress_context__:
            cause = current.__context__
        current = cause
    end = len(chain)
    while end > 1:
        kind = type(chain[end - 1])
        if kind.__module__ != ASYNCIO or kind.__name__ != "CancelledError":
            break
        end -= 1
    return [*chain[: end - 1], *chain[end:], chain[end - 1]]


def root_cause(exc: BaseException) -> BaseException:
    """Return the last exception of `exception_chain(exc)`."""
    return exception_chain(exc)[-1]


def subexceptions(exc: object) -> Sequence[object]:
    """Return the list or tuple ``exceptions`` of any object that has one, as a group; else ()."""
    try:
        members = getattr(exc, "exceptions", None)
    except Exception:  # noqa: BLE001  a property of the program
        return ()
    return members if isinstance(members, (tuple, list)) else ()


def flatten_group(exc: BaseException) -> list[BaseException]:
    """Return up to `MAX_MEMBERS` members of a group and its inner groups; [exc] if it is none."""
    members: list[BaseException] = []
    seen: set[int] = set()
    pending = [exc]
    while pending and len(members) < MAX_MEMBERS:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        found = subexceptions(current)
        inner = [each for each in found if isinstance(each, BaseException)] if found else []
        if inner:
            pending.extend(reversed(inner))
        else:
            members.append(current)
    return members


@lru_cache(maxsize=1024)
def is_in_app(filename: str) -> bool:
    """Return True if a file belongs to the program, not to Python or to an installed package."""
    return not (filename.startswith(("<frozen", _STANDARD_LIBRARY)) or _INSTALLED.search(filename))


def in_app_frame(*tracebacks: TracebackType | None) -> Frame | None:
    """Return the innermost in-app frame of the first traceback with one, else any innermost."""
    fallback = None
    for tb in tracebacks:
        entries: list[TracebackType] = []
        current = tb
        while current is not None:
            entries.append(current)
            current = current.tb_next
        for entry in reversed(entries):
            if is_in_app(entry.tb_frame.f_code.co_filename):
                return read_frame(entry)
        fallback = fallback or (entries[-1] if entries else None)
    return read_frame(fallback) if fallback else None


def read_frame(entry: TracebackType, times: int = 1) -> Frame:
    """Return the frame of a traceback's entry; linecache keeps the file of its code."""
    code, namespace = entry.tb_frame.f_code, entry.tb_frame.f_globals
    lineno = entry.tb_lineno or 0  # None for an instruction that belongs to no source line
    line = linecache.getline(code.co_filename, lineno, namespace).strip()
    module = str(namespace.get("__name__", ""))
    return Frame(code.co_qualname, code.co_filename, lineno, line, times, module)


def both_ends(text: str) -> str:
    """Return a traceback's text, without the middle if it is very long."""
    if len(text) <= 2 * _KEY_END:
        return text
    end = text[-_KEY_END:]
    return "\n".join((text[:_KEY_END], end.partition("\n")[2] or end))


def exception_line(text: str) -> str:
    """Return the line ``Type: message`` of the last traceback in ``text``; else the last line."""
    start = text.rfind(TRACEBACK)
    found = _UNINDENTED.search(text, start + len(TRACEBACK)) if start >= 0 else None
    if found:
        return found[1].strip()
    return text.rstrip().rpartition("\n")[2].strip()


def text_place_parts(text: str) -> tuple[str, str, str]:
    """Return the file's name, function and source line of the last traceback's in-app frame."""
    frames = _FRAME.findall(text, max(text.rfind(TRACEBACK), 0))
    if not frames:
        return "", "", ""
    in_app = (frame for frame in reversed(frames) if is_in_app(frame[0]))
    filename, function, line = next(in_app, frames[-1])
    return re.split(r"[\\/]", filename)[-1], function, line


def split_traceback(text: str) -> tuple[str, str]:
    """Return the text before the first traceback or stack, and the rest."""
    found = re.search(_HEADER, text)
    return (text[: found.start()], text[found.start() :]) if found else (text, "")


def parse_tracebacks(text: str) -> list[ParsedTraceback]:
    """Return the exceptions in ``text``, the root first, then groups, then stacks."""
    exceptions: list[ParsedTraceback] = []
    groups: list[ParsedTraceback] = []
    stacks: list[ParsedTraceback] = []
    text = _text_ends(text)
    headers = list(re.finditer(_HEADER, text))
    starts = [header.start() for header in headers] + [len(text)]
    for header, next_start in zip(headers, starts[1:], strict=True):
        parsed = _parse_block(text[header.end() : next_start])
        if header["kind"] == "Stack":
            parsed = ParsedTraceback("", [], parsed.frames)
        if "Group" in header.group():
            groups.append(parsed)
        else:
            (exceptions if parsed.line else stacks).append(parsed)
    return [*exceptions, *reversed(groups), *stacks]


def further_members(text: str) -> int:
    """Return how many members after the first the groups in ``text`` have; 0 without a group."""
    text = _text_ends(text)
    groups = sum("Group" in header.group() for header in re.finditer(_HEADER, text))
    return max(len(re.findall(_MEMBER_RULE, text)) - groups, 0) if groups else 0


def _text_ends(text: str) -> str:
    """Return a text without its middle if it is too long to be parsed in a logging call."""
    if len(text) <= 2 * _TEXT_END:
        return text
    start, end = text[:_TEXT_END].rpartition("\n")[0], text[-_TEXT_END:].partition("\n")[2]
    return f"{start}\n{end}"


def _parse_block(block: str) -> ParsedTraceback:
    frames: list[Frame] = []
    lines = [_MARGIN.sub("", line) if line else line for line in block.splitlines()]
    for number, line in enumerate(lines):
        if not line:
            continue
        if frame := re.match(_FRAME_LINE, line):
            function = frame["function"] or ""
            frames.append(Frame(function, frame["file"], int(frame["line"])))
        elif line[:1].strip():
            return ParsedTraceback(line.strip(), _remarks(lines[number + 1 :]), frames)
        elif repeated := re.match(_REPEATED, line):
            times = 1 + int(repeated[1])
            frames[-1:] = [last._replace(times=times) for last in frames[-1:]]
        elif frames and not frames[-1].code and line.strip() and not _MARKERS.issuperset(line):
            frames[-1] = frames[-1]._replace(code=line.strip())
    return ParsedTraceback("", [], frames)


def _remarks(lines: list[str]) -> list[str]:
    """Return the lines that belong to an exception, up to the next exception or group member."""
    remarks: list[str] = []
    for line in lines[:_MAX_REMARKS]:
        if line.startswith(_CHAIN_LINES) or not line.strip(" +-0123456789"):
            break
        remarks.append(line.strip())
    return remarks
