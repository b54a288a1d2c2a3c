"""Tracebacks that came as text: a QueueListener's records, a socket's, a subprocess's stderr."""

from __future__ import annotations

import re
from typing import NamedTuple

_MARK = "(most recent call last):"
_HEADER = rf"(?:^|\n)[ |+]*(?:Exception Group )?(?P<what>Traceback|Stack) {re.escape(_MARK)}"
_MARGIN = r"\A *[|+] "  # of an exception group's members
_FRAME = r'\s+File "(?P<file>[^"]+)", line (?P<line>\d+)(?:, in (?P<function>.+))?'
_MARKS = frozenset(" ^~")  # below a line's code, since CPython 3.11
_RULE = r"(?m)^[ |]*\+[-+]*-+ \d+ -+$"  # above each member of a group
_REPEATED = r"\s+\[Previous line repeated (\d+) more times?\]"
_END = 32_768
"""Characters that are read at either end of a text: a chain's root is first, its last line last."""
_NEWLINE = "\n"
_REMARKS = 8
_JOINTS = ("The above exception was", "During handling of the above")


class TextFrame(NamedTuple):
    """A frame as it stands in a traceback's text."""

    function: str
    filename: str
    lineno: int
    code: str
    times: int = 1


class Transcript(NamedTuple):
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


def transcripts(text: str) -> list[Transcript]:
    """Return the exceptions of a traceback as text, the root first, a group after its members."""
    found: list[Transcript] = []
    groups: list[Transcript] = []
    if len(text) > 2 * _END:
        text = f"{text[:_END].rpartition(_NEWLINE)[0]}\n{text[-_END:].partition(_NEWLINE)[2]}"
    starts = list(re.finditer(_HEADER, text))
    for number, start in enumerate(starts):
        end = starts[number + 1].start() if number + 1 < len(starts) else len(text)
        one = _read(text[start.end() : end])
        if start["what"] == "Stack":
            one = Transcript("", [], one.frames)
        (groups if "Group" in start.group() else found).append(one)
    stacks = [one for one in found if not one.line]
    return [*(one for one in found if one.line), *reversed(groups), *stacks]


def further_members(text: str) -> int:
    """Return how many members a group in ``text`` has beside the first; 0 without a group."""
    groups = sum("Group" in one.group() for one in re.finditer(_HEADER, text))
    return max(len(re.findall(_RULE, text)) - groups, 0) if groups else 0


def _read(block: str) -> Transcript:
    frames: list[TextFrame] = []
    lines = [re.sub(_MARGIN, "", line) for line in block.splitlines()]
    for number, line in enumerate(lines):
        if frame := re.match(_FRAME, line):
            function = frame["function"] or ""
            frames.append(TextFrame(function, frame["file"], int(frame["line"]), ""))
        elif line[:1].strip():
            return Transcript(line.strip(), _remarks(lines[number + 1 :]), frames)
        elif repeated := re.match(_REPEATED, line):
            frames[-1:] = [one._replace(times=1 + int(repeated[1])) for one in frames[-1:]]
        elif frames and not frames[-1].code and line.strip() and not _MARKS.issuperset(line):
            frames[-1] = frames[-1]._replace(code=line.strip())
    return Transcript("", [], frames)


def _remarks(lines: list[str]) -> list[str]:
    """Return the lines up to what joins an exception to the next, or rules off a group's member."""
    found: list[str] = []
    for line in lines[:_REMARKS]:
        if line.startswith(_JOINTS) or not line.strip(" +-0123456789"):
            break
        found.append(line.strip())
    return found
