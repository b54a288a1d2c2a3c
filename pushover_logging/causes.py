"""What a record's exception says: its root's own line, its place, and its frames."""

from __future__ import annotations

import logging
import traceback
from pathlib import PurePath

from pushover_logging.text import first_line
from pushover_logging.tracebacks import exception_chain, in_app_frame

_FRAMES = 12  # of each exception, the innermost: more do not fit


def _exception(record: logging.LogRecord) -> BaseException | None:
    info: object = record.exc_info  # any object: records also come from makeLogRecord and sockets
    exc = info[1] if isinstance(info, tuple) and len(info) > 1 else None
    return exc if isinstance(exc, BaseException) else None


def cause_of(record: logging.LogRecord) -> str:
    """Return the root exception's own line, empty where the record has no exception."""
    exc = _exception(record)
    if exc is not None:
        return _line_of(exception_chain(exc)[-1])
    lines = (record.exc_text or "").strip().splitlines()
    return lines[-1].strip() if lines else ""


def _line_of(exc: BaseException) -> str:
    # A SyntaxError's source, indented, comes before this line, an exception's notes after it.
    lines = traceback.format_exception_only(type(exc), exc)
    return first_line(next((line for line in lines if not line.startswith(" ")), ""))


def place_of(record: logging.LogRecord) -> str:
    """Return where it went wrong: the innermost in-app frame, else where the record was made."""
    exc = _exception(record)
    found = in_app_frame(exception_chain(exc)[-1].__traceback__) if exc is not None else None
    if found is None:
        return _where(record.funcName or "", record.pathname or "", record.lineno)
    return _where(found.function, found.filename, found.lineno)


def _where(function: str, filename: str, lineno: int) -> str:
    path = "/".join(PurePath(filename).parts[-2:]).lstrip("/")
    return f"{function}, {path}:{lineno}" if function else f"{path}:{lineno}"


def frames_of(record: logging.LogRecord) -> list[str]:
    """Return the exceptions, the outermost first, each with its frames, the innermost first."""
    exc = _exception(record)
    if exc is None:
        return list(reversed((record.exc_text or "").splitlines()[:-1]))
    chain = exception_chain(exc)
    lines = []
    for one in chain:
        lines.append(_line_of(one))
        frames = reversed(traceback.extract_tb(one.__traceback__, limit=-_FRAMES))
        lines.extend(
            f"  {_where(frame.name, frame.filename, frame.lineno or 0)}: {frame.line}"
            for frame in frames
        )
    return lines[1:] if len(chain) == 1 else lines  # the title says a single one's own line
