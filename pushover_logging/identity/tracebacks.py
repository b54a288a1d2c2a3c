"""What a record's exception says: the chain of what led to it, and where it came from."""

from __future__ import annotations

import linecache
import os
import re
from collections.abc import Sequence
from functools import lru_cache
from types import TracebackType
from typing import NamedTuple, TypeGuard

_STANDARD_LIBRARY = os.path.join(os.path.dirname(os.__file__), "")  # noqa: PTH118, PTH120 - a prefix of file names
ASYNCIO = "asyncio.exceptions"  # where Python's own of asyncio are
TRACEBACK = "Traceback (most recent call last):\n"
_FRAME = re.compile(r'^[ |]*File "([^"\n]+)", line \d+, in (.+)(?:\n[ |]*(\S.*))?', re.MULTILINE)
# A line that begins at the left; the members of an exception group have a margin there.
_UNINDENTED = re.compile(r"^(?: *[|+] |(?![|+] ))(\S.*)", re.MULTILINE)

_END = 16_384  # characters
_NEWLINE = "\n"

MAX_MEMBERS = 100
"""How many members of an exception group are looked at."""

_INSTALLED = re.compile(r"[\\/](?:site|dist)-packages[\\/]")


class SourceLocation(NamedTuple):
    """Where an exception came from, held without its frame."""

    function: str
    """The qualified name on CPython 3.11 and newer, else the plain one."""
    filename: str
    lineno: int


def is_exc_info(info: object) -> TypeGuard[tuple[object, BaseException, object]]:
    """Say whether a record's ``exc_info``, as a program may have set it, holds an exception."""
    return (
        isinstance(info, tuple)
        and len(info) == len(("type", "value", "traceback"))
        and isinstance(info[1], BaseException)
    )


def place_parts(tb: TracebackType | None) -> tuple[str, str, str]:
    """Return module, function and the text of the source line of `in_app_frame(tb)`."""
    entry = _in_app_entry(tb)
    if entry is None:
        return "", "", ""
    place = _place(entry)
    namespace = entry.tb_frame.f_globals
    # The text of the line survives an edit above it; reading it costs one read of the file, which
    # linecache keeps, and which a traceback in the notification needs as well.
    line = linecache.getline(place.filename, place.lineno, namespace)
    return str(namespace.get("__name__", "")), place.function, line.strip()


def exception_chain(exc: BaseException) -> list[BaseException]:
    """Return ``exc`` and what led to it, outermost first.

    As a traceback prints it: ``__cause__``, else ``__context__`` unless suppressed. A chain that
    comes back to itself ends there. An exception group counts as one exception. That something was
    cancelled is no cause: what came of it, a TimeoutError, stands in its place.
    """
    chain: list[BaseException] = []
    seen: set[int] = set()
    current: BaseException | None = exc
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        chain.append(current)
        following = current.__cause__
        if following is None and not current.__suppress_context__:
            following = current.__context__
        current = following
    end = len(chain)
    while end > 1 and _is_cancelled(chain[end - 1]):
        end -= 1
    return [*chain[: end - 1], *chain[end:], chain[end - 1]]


def _is_cancelled(exc: BaseException) -> bool:
    return type(exc).__module__ == ASYNCIO and type(exc).__name__ == "CancelledError"


def root_cause(exc: BaseException) -> BaseException:
    """Return the exception that started it all: the end of `exception_chain(exc)`."""
    return exception_chain(exc)[-1]


def flatten_group(exc: BaseException) -> list[BaseException]:
    """Return the exceptions of a group, those of its inner groups in place; [exc] of any other.

    At most `MAX_MEMBERS`. What has a sequence ``exceptions`` is a group, so that CPython 3.10 with
    the ``exceptiongroup`` package reads as later ones do.
    """
    found: list[BaseException] = []
    seen: set[int] = set()
    waiting = [exc]
    while waiting and len(found) < MAX_MEMBERS:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        inner = [each for each in subexceptions(current) if isinstance(each, BaseException)]
        if inner:
            waiting.extend(reversed(inner))
        else:
            found.append(current)
    return found


def subexceptions(exc: object) -> Sequence[object]:
    """Return what an exception says that it is a group of; of most, nothing."""
    try:
        given = getattr(exc, "exceptions", None)
    except Exception:  # noqa: BLE001  a property of the program's own
        return ()
    return given if isinstance(given, (tuple, list)) else ()


def both_ends(text: str) -> str:
    """Return a traceback as text, of a very long one what stands at its two ends.

    A chain's root is first, the place and the naming line of what was logged are last.
    """
    if len(text) <= 2 * _END:
        return text
    end = text[-_END:]
    return f"{text[:_END]}\n{end.partition(_NEWLINE)[2] or end}"


def exception_line(text: str) -> str:
    """Return the line ``Type: message`` of the last traceback in ``text``; else the last line.

    Notes, a stack and the message's other lines may come after it.
    """
    at = text.rfind(TRACEBACK)
    found = _UNINDENTED.search(text, at + len(TRACEBACK)) if at >= 0 else None
    if found:
        return found[1].strip()
    return text.rstrip().rpartition("\n")[2].strip()


def text_place_parts(text: str) -> tuple[str, str, str]:
    """Return file name, function and source line of the in-app frame of a traceback as text.

    As `place_parts`, of the last traceback in ``text``; the file's name is without its folders,
    which differ from host to host.
    """
    frames = _FRAME.findall(text, max(text.rfind(TRACEBACK), 0))
    if not frames:
        return "", "", ""
    filename, function, line = next((f for f in reversed(frames) if is_in_app(f[0])), frames[-1])
    return re.split(r"[\\/]", filename)[-1], function, line


def in_app_frame(*tbs: TracebackType | None) -> SourceLocation | None:
    """Return the innermost place in the program's own code; None without a traceback.

    Of the first of ``tbs`` that has one. Not the program's own are the standard library,
    site-packages, dist-packages and frozen modules. Where nothing else is there, the innermost
    place of all in the first.
    """
    innermost = None
    for tb in tbs:
        last, in_app = _entries(tb)
        if in_app is not None:
            return _place(in_app)
        innermost = innermost or last
    return _place(innermost) if innermost else None


def _place(entry: TracebackType) -> SourceLocation:
    code = entry.tb_frame.f_code
    name: str = getattr(code, "co_qualname", code.co_name)
    # CPython gives None for an instruction that no source line stands for.
    return SourceLocation(name, code.co_filename, entry.tb_lineno or 0)


def _in_app_entry(tb: TracebackType | None) -> TracebackType | None:
    innermost, in_app = _entries(tb)
    return in_app or innermost


def _entries(tb: TracebackType | None) -> tuple[TracebackType | None, TracebackType | None]:
    """Return the innermost entry of ``tb``, and the innermost of the program's own code."""
    innermost = in_app = None
    while tb is not None:
        innermost = tb
        if is_in_app(tb.tb_frame.f_code.co_filename):
            in_app = tb
        tb = tb.tb_next
    return innermost, in_app


@lru_cache(maxsize=1024)
def is_in_app(filename: str) -> bool:
    """Tell whether a file is of the program's own code."""
    return not (filename.startswith(("<frozen", _STANDARD_LIBRARY)) or _INSTALLED.search(filename))


_MARK = "(most recent call last):"
_HEADER = rf"(?:^|\n)[ |+]*(?:Exception Group )?(?P<what>Traceback|Stack) {re.escape(_MARK)}"
_MARGIN = r"\A *[|+] "  # of an exception group's members
_TEXT_FRAME = r'\s+File "(?P<file>[^"]+)", line (?P<line>\d+)(?:, in (?P<function>.+))?'
_MARKS = frozenset(" ^~")  # below a line's code, since CPython 3.11
_RULE = r"(?m)^[ |]*\+[-+]*-+ \d+ -+$"  # above each member of a group
_REPEATED = r"\s+\[Previous line repeated (\d+) more times?\]"
_TEXT_END = 32_768
"""Characters that are read at either end of a text: a chain's root is first, its last line last."""
_REMARKS = 8
_JOINTS = ("The above exception was", "During handling of the above")


class TextFrame(NamedTuple):
    """A frame as it stands in a traceback's text."""

    function: str
    filename: str
    lineno: int
    code: str
    times: int = 1


class ParsedTraceback(NamedTuple):
    """One exception of a traceback's text, or a stack, whose ``line`` is empty."""

    line: str
    remarks: list[str]
    """What stands below the line: the rest of what it says, and notes."""
    frames: list[TextFrame]
    """The innermost last, as in the text."""


def split(text: str) -> tuple[str, str]:
    """Return what stands before the first traceback or stack in ``text``, and the rest."""
    if _MARK not in text:
        return text, ""
    found = re.search(_HEADER, text)
    return (text[: found.start()], text[found.start() :]) if found else (text, "")


def transcripts(text: str) -> list[ParsedTraceback]:
    """Return the exceptions of a traceback as text, the root first, a group after its members."""
    found: list[ParsedTraceback] = []
    groups: list[ParsedTraceback] = []
    if len(text) > 2 * _TEXT_END:
        text = f"{text[:_TEXT_END].rpartition(_NEWLINE)[0]}\n{text[-_TEXT_END:].partition(_NEWLINE)[2]}"
    starts = list(re.finditer(_HEADER, text))
    for number, start in enumerate(starts):
        end = starts[number + 1].start() if number + 1 < len(starts) else len(text)
        one = _read(text[start.end() : end])
        if start["what"] == "Stack":
            one = ParsedTraceback("", [], one.frames)
        (groups if "Group" in start.group() else found).append(one)
    stacks = [one for one in found if not one.line]
    return [*(one for one in found if one.line), *reversed(groups), *stacks]


def further_members(text: str) -> int:
    """Return how many members a group in ``text`` has beside the first; 0 without a group."""
    groups = sum("Group" in one.group() for one in re.finditer(_HEADER, text))
    return max(len(re.findall(_RULE, text)) - groups, 0) if groups else 0


def _read(block: str) -> ParsedTraceback:
    frames: list[TextFrame] = []
    lines = [re.sub(_MARGIN, "", line) for line in block.splitlines()]
    for number, line in enumerate(lines):
        if frame := re.match(_TEXT_FRAME, line):
            function = frame["function"] or ""
            frames.append(TextFrame(function, frame["file"], int(frame["line"]), ""))
        elif line[:1].strip():
            return ParsedTraceback(line.strip(), _remarks(lines[number + 1 :]), frames)
        elif repeated := re.match(_REPEATED, line):
            frames[-1:] = [one._replace(times=1 + int(repeated[1])) for one in frames[-1:]]
        elif frames and not frames[-1].code and line.strip() and not _MARKS.issuperset(line):
            frames[-1] = frames[-1]._replace(code=line.strip())
    return ParsedTraceback("", [], frames)


def _remarks(lines: list[str]) -> list[str]:
    """Return the lines up to what joins an exception to the next, or rules off a group's member."""
    found: list[str] = []
    for line in lines[:_REMARKS]:
        if line.startswith(_JOINTS) or not line.strip(" +-0123456789"):
            break
        found.append(line.strip())
    return found
