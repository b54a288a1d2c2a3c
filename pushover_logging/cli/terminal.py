"""The command's standard streams: progress on a terminal, and streams that are closed or broken."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from pushover_logging.rendering.text import clean, largest_fitting, truncate

_PROGRESS_DELAY = 1.0  # seconds
_CLEAR_LINE = "\r\x1b[K"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def open_streams() -> None:
    """Open the null device for closed streams; show ``?`` for what stdout cannot encode."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  until exit
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # stderr replaces them by default


def discard_stdout() -> None:
    """Redirect stdout to the null device, so that the flush at exit does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def warn(text: str) -> None:
    """Write a line to stderr; a terminal obeys nothing in ``text``."""
    sys.stderr.write(f"pushover-logging: {on_one_line(text)}\n")


def on_one_line(text: str) -> str:
    """Return ``text`` on one line, without what a terminal obeys or does not show."""
    line = " ".join(clean(text).replace("\t", " ").splitlines())
    return "".join(char if char.isprintable() else _REPLACEMENT for char in line)


def on_lines(text: str) -> str:
    """Return ``text`` with each of its lines as `on_one_line` returns it."""
    return "\n".join(map(on_one_line, text.split("\n")))


def truncate_columns(text: str, limit: int) -> str:
    """Return as much of ``text`` as a terminal shows in ``limit`` columns."""
    size = largest_fitting(len(text), lambda size: columns(truncate(text, size)) <= limit)
    return truncate(text, size)


def columns(text: str) -> int:
    """Return how many columns a terminal needs: two for wide characters, none for accents."""
    marks = sum(unicodedata.category(char) in {"Mn", "Me"} for char in text)
    return len(text) + sum(unicodedata.east_asian_width(char) in "WF" for char in text) - marks


@contextlib.contextmanager
def progress(text: str) -> Iterator[None]:
    """Show ``text`` on stderr if the block takes more than a second and stderr is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    shown = threading.Event()

    def show() -> None:
        sys.stderr.write(f"{text} ...")
        sys.stderr.flush()
        shown.set()

    timer = threading.Timer(_PROGRESS_DELAY, show)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if shown.is_set():
            sys.stderr.write(_CLEAR_LINE)
            sys.stderr.flush()
