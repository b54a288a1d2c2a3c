"""What a traceback that came as text says."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pushover_logging.tracebacks import is_in_app
from pushover_logging.transcripts import Transcript, further_members, transcripts
from pushover_logging.wording.faults import FRAMES, Cause, Fault, frame_line, where

_NAMED = re.compile(r"[A-Za-z_][\w.$]*(?:: |$)")
_MODULES = re.compile(r"(?:\w+\.)+(?=\w+(?::|$))")


def of_text(text: str) -> Cause:
    """Return what a traceback that came as text says; of any other text, its last line."""
    if not text.strip():
        return Cause("", "", [])
    found = transcripts(text)
    if not found:
        return _of_foreign(text.strip().splitlines())
    if not found[0].line:
        return Cause("", "", written(found))
    frames = found[0].frames
    place = next((one for one in reversed(frames) if is_in_app(one.filename)), None)
    faults = written(found)
    faults[0] = faults[0]._replace(line="")
    place = place or (frames[-1] if frames else None)
    line = _MODULES.sub("", found[0].line, count=1)
    if more := further_members(text):
        line = f"{line} (and {more} more)"
    return Cause(line, where(place) if place else "", faults)


def _of_foreign(lines: list[str]) -> Cause:
    """Return what a traceback in another way of writing says, as far as it can be told."""
    named = [line for line in lines if _NAMED.match(line)]
    line = named[-1] if named else lines[0]
    rest = [(one, 1) for one in lines if one != line][:FRAMES]
    return Cause(line, "", [Fault("", [], rest, len(lines) - 1)])


def written(found: Iterable[Transcript]) -> list[Fault]:
    """Return what was read of a text as it is told."""
    return [
        Fault(
            _MODULES.sub("", one.line, count=1) or "Stack:",
            one.remarks,
            [frame_line(frame) for frame in reversed(one.frames[-FRAMES:])],
            sum(frame.times for frame in one.frames),
        )
        for one in found
    ]
