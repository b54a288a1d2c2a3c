"""Read exceptions and tracebacks, as objects and as text, for the fingerprint and the formatter."""

from __future__ import annotations

import builtins
import linecache
import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from opcode import opmap
from types import FrameType, SimpleNamespace, TracebackType
from typing import Any, NamedTuple, TypeGuard

ASYNCIO = "asyncio.exceptions"
"""The module of asyncio's own exceptions, as their types and their tracebacks name it."""

MAX_MEMBERS = 100  # how many members of an exception group are read

MARK = "(most recent call last):"  # in the header of every traceback and stack
TRACEBACK = f"Traceback {MARK}\n"
_KEY_END = 16_384  # characters that a fingerprint reads at either end of a text
_TEXT_END = 32_768
"""Characters that `parse_tracebacks` reads at either end: a chain's root is first in the text."""
_MAX_REMARKS = 8
_RAISES = frozenset({opmap["RAISE_VARARGS"], opmap["RERAISE"]})

# Errors of Python's own that say what is wrong, whatever replaces them.
_CLEAR = (
    OSError, ImportError, SyntaxError, TypeError, MemoryError, RecursionError, SystemError,
    BaseExceptionGroup, KeyboardInterrupt, SystemExit,
)  # fmt: skip
_CANCELLATIONS = frozenset({"CancelledError", "Cancelled"})  # of asyncio and futures, of trio

_EXTENSIONS = (".so", ".pyd")  # of compiled modules
_SESSIONS = ("<stdin>", "<string>", "<console>", "<ipython-input")  # sources that no file has
_PATH = re.compile(r"[/\\.]")  # what generated code has none of: "memory:0x7f57b2195850"
_COMPILED = re.compile(r"\.(?:pyx|pxi|pxd)$")
_STANDARD_LIBRARY = os.path.join(os.path.dirname(os.__file__), "")  # noqa: PTH118, PTH120  a prefix of file names
_INSTALLED = re.compile(r"[\\/](?:(?:site|dist)-packages|lib[\\/]python3\.\d+)[\\/]")

_FRAME = re.compile(r'^[ |]*File "([^"\n]+)", line \d+, in (.+)(?:\n[ |]*(\S.*))?', re.MULTILINE)
# A line that begins at the left; the members of an exception group have a margin there.
_UNINDENTED = re.compile(r"^(?: *[|+] |(?![|+] ))(\S.*)", re.MULTILINE)
_HEADER = rf"(?:^|\n)[ |+]*(?:Exception Group )?(?P<kind>Traceback|Stack) {re.escape(MARK)}"
_MARGIN = re.compile(r"\A *[|+] ")  # of an exception group's members
_FRAME_LINE = r'(?:\s+|> )File "(?P<file>[^"]+)", line (?P<line>\d+)(?:, in (?P<function>.+))?'
_MARKERS = frozenset(" ^~")  # below a line's code
_MEMBER_RULE = r"(?m)^[ |]*\+[-+]*-+ \d+ -+$"  # above each member of a group
_REPEATED = r"\s+\[Previous line repeated (\d+) more times?\]"
_CONTEXT_LINE = "During handling of the above"
CAUSE_LINE = "The above exception was the direct cause"
_CHAIN_LINES = (CAUSE_LINE, _CONTEXT_LINE)
_REMOTE = "RemoteTraceback"
_QUOTES = ('"""', "'''")  # around the text of a remote traceback
_ANY_HEADER = re.compile(
    rf"(?:[ |+]{{0,40}}Exception Group )?(?:Traceback|Stack) {re.escape(MARK)}"
)
_ANY_FRAME = re.compile(r'^(.*?)(?:  |> )File "[^"]+", line \d+')
_GROUP_MARGIN = re.compile(r"[ +]*\|[ |+]*")
_COLOURS = re.compile("\x1b\\[[0-9;:?]*[ -/]*[@-~]")  # ECMA-48 control sequences
_DIGITS = re.compile(r"\d")


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
    remarks: list[str]  # the lines below, as they are: the rest of the text, and the notes
    frames: list[Frame]  # in the order of the text, the innermost last
    is_context: bool = False  # it was handled when the exception arose, and did not lead to it


def is_exc_info(info: object) -> TypeGuard[tuple[object, BaseException, object]]:
    """Return True if a record's ``exc_info``, which can be any object, holds an exception."""
    parts = ("type", "value", "traceback")
    return (
        isinstance(info, tuple) and len(info) == len(parts) and isinstance(info[1], BaseException)
    )


def exception_chain(exc: BaseException) -> list[BaseException]:
    """Return ``exc`` and the exceptions that it followed, the outermost first.

    The chain follows ``__cause__``, else an unsuppressed ``__context__``, as a traceback does, and
    ends before an exception that it already holds. An exception group counts as one exception.
    `split_chain` says which of them led to ``exc``.
    """
    causes, contexts = split_chain(exc)
    return [*causes, *contexts]


def split_chain(exc: BaseException) -> tuple[list[BaseException], list[BaseException]]:
    """Return the exceptions that led to ``exc``, and those that were only handled when it arose.

    Both lists are outermost first. An exception leads to another by ``raise ... from``, or by a
    ``raise`` in the ``except`` block itself. An exception from code that the block calls is a
    failure of its own, and so is an accident inside a library that the library replaced by an
    exception. The causes do not end in a cancellation: the exception that resulted, a TimeoutError
    for example, takes its place as the root.
    """
    causes: list[BaseException] = []
    contexts: list[BaseException] = []
    chain = causes
    seen: set[int] = set()
    current: BaseException | None = exc
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        chain.append(current)
        cause = current.__cause__
        if cause is None and not current.__suppress_context__:
            cause = current.__context__
            if cause is not None and chain is causes and _arose_deeper(current, cause):
                chain = contexts
        current = cause
    while len(causes) > 1 and causes[-2].args and _is_librarys_accident(causes[-1], exc):
        contexts.insert(0, causes.pop())
    end = len(causes)
    while end > 1 and type(causes[end - 1]).__name__ in _CANCELLATIONS:
        end -= 1
    return [*causes[: end - 1], *causes[end:], causes[end - 1]], contexts


def _arose_deeper(exc: BaseException, handled: BaseException) -> bool:
    """Return True if ``exc`` arose in code that the handler of ``handled`` called."""
    if exc.__traceback__ is None or handled.__traceback__ is None:
        return False
    handler = handled.__traceback__.tb_frame  # the outermost frame is the one that caught it
    first = entry = exc.__traceback__
    while entry.tb_next is not None:
        entry = entry.tb_next
    if entry.tb_frame is handler:
        return not _is_raise(entry)
    frame: FrameType | None = entry.tb_frame
    while frame is not None:
        if frame is handler:
            return True
        frame = frame.f_back
    return any(each.tb_frame is handler for each in _entries(first))


def _is_librarys_accident(exc: BaseException, logged: BaseException) -> bool:
    """Return True if an error of Python's own arose and was caught in code of libraries alone.

    A ``raise`` with a text is no accident: it says what is wrong. Without any frame of the
    program's own an installed program looks like a library.
    """
    tb = exc.__traceback__
    if tb is None or type(exc).__module__ != "builtins" or isinstance(exc, _CLEAR):
        return False
    if _has_own_frame(tb) or not _has_own_frame(logged.__traceback__):
        return False
    while tb.tb_next is not None:
        tb = tb.tb_next
    return not exc.args or not _is_raise(tb)


def _has_own_frame(tb: TracebackType | None) -> bool:
    while tb is not None and not _is_own(tb.tb_frame.f_code.co_filename):
        tb = tb.tb_next
    return tb is not None


def _is_own(filename: str) -> bool:
    return is_in_app(filename) or filename.startswith(_SESSIONS)


def _is_raise(entry: TracebackType) -> bool:
    """Return True if the entry's instruction is a ``raise`` statement's."""
    code = entry.tb_frame.f_code.co_code
    return code[entry.tb_lasti] in _RAISES if entry.tb_lasti < len(code) else True


def root_cause(exc: BaseException) -> BaseException:
    """Return the exception that all the others of a chain came from."""
    return split_chain(exc)[0][-1]


def inner_tracebacks(exc: BaseException) -> list[ParsedTraceback]:
    """Return the exceptions in the text of ``exc``, the root first: those of another process."""
    try:
        text = str(exc)
    except Exception:  # noqa: BLE001  any code of the program
        return []
    if MARK not in text:
        return []
    return [found for found in parse_tracebacks(plain_traceback(text)) if found.line]


def is_remote(exc: BaseException) -> bool:
    """Return True if an exception only carries the traceback of another process as its text.

    Pools and task queues have such a type each: multiprocessing, joblib and Celery, for example.
    """
    return not split_traceback(str(exc))[0].strip(" \n\"'")


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


def is_os_error(name: str) -> bool:
    """Return True if ``name``, with or without its module, is that of an OSError of Python."""
    kind = getattr(builtins, name.rpartition(".")[2], None)
    return isinstance(kind, type) and issubclass(kind, OSError)


@lru_cache(maxsize=1024)
def is_in_app(filename: str) -> bool:
    """Return True if a file is source of the program, not of Python or of an installed package.

    Neither the source of a compiled extension nor generated code, such as ``<string>``, is.
    """
    return not (
        filename.startswith(("<", _STANDARD_LIBRARY))
        or not _PATH.search(filename)
        or _INSTALLED.search(filename)
        or _COMPILED.search(filename)
    )


def package_of(filename: str) -> str:
    """Return the name of the installed package that a file belongs to; "" if it is in-app."""
    if is_in_app(filename):
        return ""
    name = _INSTALLED.split(filename.removeprefix(_STANDARD_LIBRARY))[-1]
    name = re.sub(r"^(?:site|dist)-packages[\\/]", "", name)
    parts = re.split(r"[\\/]", name.lstrip("\\/"))
    if _COMPILED.search(filename) and parts[0] in {"src", "lib"}:
        del parts[0]
    return parts[0].partition(".")[0] if parts[0][:1] != "<" else "generated code"


def in_app_frame(*tracebacks: TracebackType | None) -> Frame | None:
    """Return the innermost in-app frame of the first traceback with one.

    Without one it is the innermost frame of an interactive session, else any innermost frame.
    """
    sessions: list[TracebackType] = []
    innermost: list[TracebackType] = []
    for tb in tracebacks:
        entries = _entries(tb)
        for entry in reversed(entries):
            filename = entry.tb_frame.f_code.co_filename
            if is_in_app(filename) and not _is_compiled(entry):
                return read_frame(entry)
            is_main = entry.tb_frame.f_globals.get("__name__") == "__main__"  # not generated code
            if is_main and filename.startswith(_SESSIONS):
                sessions.append(entry)
        innermost += entries[-1:]
    return next(map(read_frame, sessions + innermost), None)


def in_app_place(frames: Sequence[Frame]) -> Frame | None:
    """Return the frame of a traceback's text that `in_app_frame` would return."""
    inner = list(reversed(frames))
    own = [frame for frame in inner if is_in_app(frame.filename)]
    sessions = [frame for frame in inner if frame.filename.startswith(_SESSIONS)]
    return next(iter([*own, *sessions, *inner]), None)


def _entries(tb: TracebackType | None) -> list[TracebackType]:
    entries = []
    while tb is not None:
        entries.append(tb)
        tb = tb.tb_next
    return entries


def _is_compiled(entry: TracebackType) -> bool:
    """Return True if an entry's source, which may have the name of a Python file, is compiled."""
    return str(entry.tb_frame.f_globals.get("__file__")).endswith(_EXTENSIONS)


def read_frame(entry: TracebackType, times: int = 1) -> Frame:
    """Return the frame of a traceback's entry; linecache keeps the file of its code."""
    code, namespace = entry.tb_frame.f_code, entry.tb_frame.f_globals
    lineno = entry.tb_lineno or 0  # None for an instruction that belongs to no source line
    line = ""
    try:
        given = None if code.co_filename in linecache.cache else _loader_of(namespace)
        line = linecache.getline(code.co_filename, lineno, given).strip()
    except Exception:  # noqa: BLE001, S110  it imports, which the end of an interpreter refuses
        pass
    module = str(namespace.get("__name__", ""))
    return Frame(code.co_qualname, code.co_filename, lineno, line, times, module)


def _loader_of(namespace: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a module's globals as linecache reads them.

    Since Python 3.15 it warns of a ``__spec__`` that is missing or has another loader, and a
    warning can be an error.
    """
    spec = namespace.get("__spec__")
    loader = namespace.get("__loader__") or getattr(spec, "loader", None)
    if loader is None:
        return None
    spec = SimpleNamespace(name=getattr(spec, "name", None), loader=loader)
    return {"__name__": namespace.get("__name__"), "__loader__": loader, "__spec__": spec}


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


def exception_text(text: str) -> str:
    """Return `exception_line`, with the lines of the same exception below it."""
    line = exception_line(text)
    rest = text[text.rfind(line) + len(line) :].splitlines()[1:]
    return "\n".join([line, *_remarks([re.sub(_MARGIN, "", each) for each in rest])])


def text_place_parts(text: str) -> tuple[str, str, str]:
    """Return the file's name, function and source line of the last traceback's in-app frame."""
    frames = _FRAME.findall(text, max(text.rfind(TRACEBACK), 0))
    if not frames:
        return "", "", ""
    in_app = (frame for frame in reversed(frames) if is_in_app(frame[0]))
    filename, function, line = next(in_app, frames[-1])
    return re.split(r"[\\/]", filename)[-1], function, line


def plain_traceback(text: str) -> str:
    """Return ``text`` with each traceback as Python prints it.

    Colours, the prefix of a header on its line, and a margin before each line are removed: an
    indentation, or what a supervisor adds, such as ``web-1  | ``.
    """
    if MARK not in text:
        return text
    if len(text) > 2 * _TEXT_END:
        text = f"{text[:_TEXT_END]}\n{text[-_TEXT_END:]}"
    if f"{MARK}\\n" in text and f"{MARK}\n" not in text:  # the repr of a text
        text = text.replace("\\n", "\n").replace('\\"', '"').replace("\\'", "'")
    lines = _COLOURS.sub("", text).splitlines()
    for number, line in enumerate(lines):
        header = _ANY_HEADER.search(line) if MARK in line else None
        if header is None:
            continue
        margin = _margin(lines[number + 1 : number + 4])
        if margin and not _GROUP_MARGIN.fullmatch(margin):
            _remove_margin(lines, number, margin)
            header = _ANY_HEADER.search(lines[number]) or header
        prefix = lines[number][: header.start()]
        if prefix.strip(" |+"):
            lines[number] = f"{prefix.rstrip()}\n{lines[number][header.start() : header.end()]}"
    return "\n".join([*lines, ""] if text.endswith("\n") else lines)


def _margin(lines: Sequence[str]) -> str:
    """Return what stands before the first frame of a traceback, apart from its indentation."""
    frame = next(filter(None, map(_ANY_FRAME.match, lines)), None)
    return frame[1] if frame else ""


def _remove_margin(lines: list[str], start: int, margin: str) -> None:
    """Remove ``margin``, whose digits can vary, from the lines of a traceback."""
    shape, size = _DIGITS.sub("0", margin), len(margin)
    for number in range(start, len(lines)):
        line = lines[number]
        if _DIGITS.sub("0", line[:size]) == shape:
            lines[number] = line[size:]
        elif line.strip() and line.strip() != margin.strip() and number > start:
            break
        elif number > start:
            lines[number] = ""


def split_traceback(text: str) -> tuple[str, str]:
    """Return the text before the first traceback or stack, and the rest."""
    found = re.search(_HEADER, text)
    if not found:
        return text, ""
    head = text[: found.start()]
    if head.rstrip().endswith(_QUOTES):  # those of another process's traceback
        head = head.rstrip().rstrip("\"'").rstrip()
        before, _, last = head.rpartition("\n")
        head = before if last.rstrip(": ").endswith(_REMOTE) else head
    return head, text[found.start() :]


def parse_tracebacks(text: str) -> list[ParsedTraceback]:
    """Return the exceptions in ``text``, the root first, then groups, contexts and stacks."""
    exceptions: list[ParsedTraceback] = []
    groups: list[ParsedTraceback] = []
    contexts: list[ParsedTraceback] = []
    stacks: list[ParsedTraceback] = []
    text = _text_ends(text)
    headers = list(re.finditer(_HEADER, text))
    starts = [header.start() for header in headers] + [len(text)]
    rest: list[str] | None = None  # the lines between the exception before and this header
    blocks = list(zip(headers, starts[1:], strict=True))
    if len(blocks) > 2 * MAX_MEMBERS:
        blocks = blocks[:MAX_MEMBERS] + blocks[-MAX_MEMBERS:]
    for header, next_start in blocks:
        parsed, after = _parse_block(text[header.end() : next_start])
        if header["kind"] == "Stack":
            stacks.append(ParsedTraceback("", [], parsed.frames))
        elif "Group" in header.group():
            groups.append(parsed)
        elif not parsed.line:
            stacks.append(parsed)
        elif rest is not None and all(map(str.strip, rest)) and not groups:
            exceptions.insert(max(len(exceptions) - 1, 0), parsed)  # inside that exception's text
        else:
            if _is_handled(exceptions, rest or (), parsed):
                contexts += [each._replace(is_context=True) for each in exceptions]
                exceptions = []
            exceptions.append(parsed)
        rest = after if parsed.line and header["kind"] != "Stack" else None
    while len(exceptions) > 1 and _is_parsed_accident(exceptions[0], exceptions[1], exceptions[-1]):
        contexts.append(exceptions.pop(0)._replace(is_context=True))
    named = next((n for n, each in enumerate(exceptions) if not _is_cancellation(each)), 0)
    exceptions[: named + 1] = [*exceptions[named : named + 1], *exceptions[:named]]
    return [*exceptions, *reversed(groups), *contexts, *stacks]


def _is_cancellation(exc: ParsedTraceback) -> bool:
    return exc.line.partition(":")[0].rpartition(".")[2] in _CANCELLATIONS


def _is_parsed_accident(
    exc: ParsedTraceback, replaced_by: ParsedTraceback, logged: ParsedTraceback
) -> bool:
    """Return True if `_is_librarys_accident` holds for the text of an exception."""
    name, _, words = exc.line.partition(":")
    kind = getattr(builtins, name, None)
    if not isinstance(kind, type) or issubclass(kind, _CLEAR) or ": " not in replaced_by.line:
        return False
    if not exc.frames or _has_parsed_own_frame(exc) or not _has_parsed_own_frame(logged):
        return False
    code = exc.frames[-1].code
    return bool(code) and not (words and code.startswith("raise "))


def _has_parsed_own_frame(exc: ParsedTraceback) -> bool:
    return any(_is_own(each.filename) for each in exc.frames)


def _is_handled(
    before: Sequence[ParsedTraceback], rest: Sequence[str], exc: ParsedTraceback
) -> bool:
    """Return True if ``exc`` arose deeper in the handler of the exception before."""
    if not before or not any(line.startswith(_CONTEXT_LINE) for line in rest):
        return False
    if not before[-1].frames or not exc.frames:
        return False
    handler, innermost = before[-1].frames[0], exc.frames[-1]
    is_same = (handler.filename, handler.function) == (innermost.filename, innermost.function)
    return not is_same or (bool(innermost.code) and not re.search(r"\braise\b", innermost.code))


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


def _parse_block(block: str) -> tuple[ParsedTraceback, list[str]]:
    """Return the exception of a block, and the lines after the one that names it."""
    frames: list[Frame] = []
    lines = [_MARGIN.sub("", line) if line else line for line in block.splitlines()]
    if block.endswith("\n"):  # a blank line before the next header
        lines.append("")
    for number, line in enumerate(lines):
        if not line:
            continue
        if frame := re.match(_FRAME_LINE, line):
            function = frame["function"] or ""
            frames.append(Frame(function, frame["file"], int(frame["line"])))
        elif line[:1].strip():
            rest = lines[number + 1 :]
            return ParsedTraceback(line.strip(), _remarks(rest), frames), rest
        elif repeated := re.match(_REPEATED, line):
            times = 1 + int(repeated[1])
            frames[-1:] = [last._replace(times=times) for last in frames[-1:]]
        elif frames and not frames[-1].code and line.strip() and not _MARKERS.issuperset(line):
            frames[-1] = frames[-1]._replace(code=line.strip())
    return ParsedTraceback("", [], frames), []


def _remarks(lines: list[str]) -> list[str]:
    """Return the lines that belong to an exception, up to the next exception or group member."""
    remarks: list[str] = []
    for line in lines[:_MAX_REMARKS]:
        if line.startswith((*_CHAIN_LINES, *_QUOTES)) or not line.strip(" +-0123456789"):
            break
        remarks.append(line.rstrip())
    return remarks
