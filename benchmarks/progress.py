"""What a person who waits is shown: which benchmark runs, and how far it is."""

from __future__ import annotations

import sys
import time

_STATE = {"name": "", "at": 0.0}
_EVERY = 1.0  # seconds between two lines where there is no terminal


def begin(name: str) -> None:
    """Say which benchmark begins."""
    _STATE.update(name=name, at=0.0)
    say("begins")


def say(text: str) -> None:
    """Say how far it is, on stderr: in one line of a terminal, else now and then."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{_STATE['name']}: {text}")
    elif time.monotonic() - float(_STATE["at"]) > _EVERY:
        _STATE["at"] = time.monotonic()
        sys.stderr.write(f"{_STATE['name']}: {text}\n")
    sys.stderr.flush()


def end() -> None:
    """Leave the line to what is printed next."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
