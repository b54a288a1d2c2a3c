"""What is told of an exception, as lines; and a frame as one line."""

from __future__ import annotations

from typing import NamedTuple

from pushover_logging.tracebacks import Place
from pushover_logging.transcripts import TextFrame

FRAMES = 20
"""Of each exception, the innermost that are looked at: more do not fit."""


class Fault(NamedTuple):
    """One exception of a chain, or a stack, as lines; the root's own ``line`` is told apart."""

    line: str
    remarks: list[str]
    """What it says beyond its line, and its notes."""
    frames: list[tuple[str, int]]
    """The innermost first, each with the number of frames that it stands for."""
    total: int
    """How many frames it has in all."""


class Cause(NamedTuple):
    """What went wrong, empty without an exception; where; and the chain, from the root on."""

    line: str
    place: str
    faults: list[Fault]


def frame_line(frame: TextFrame) -> tuple[str, int]:
    """Return a frame's line, and for how many frames it stands."""
    code = f": {frame.code}" if frame.code else ""
    repeated = f" ({frame.times} times)" if frame.times > 1 else ""
    return f"  {where(frame)}{code}{repeated}", frame.times


def where(place: Place | TextFrame) -> str:
    """Return ``charge, payments/api.py:42``."""
    path = "/".join(place.filename.replace("\\", "/").rsplit("/", 2)[-2:]).lstrip("/")
    function = short(place.function)
    return f"{function}, {path}:{place.lineno}" if function else f"{path}:{place.lineno}"


def short(name: str) -> str:
    """Return a qualified name without the functions around it."""
    return name.rpartition("<locals>.")[2]
