"""The end of a command's output: bounded, however much there is of it, and fit to be told."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pushover_logging.rendering.redaction import MAX_CHARS
from pushover_logging.rendering.text import clean, largest_fitting

_KEPT = MAX_CHARS // 4  # bytes, and at most twice as many: all of it is looked at for secrets
_ELLIPSIS = "…"


class Tail:
    """Keeps the last bytes of what is added, by any thread: the lock is over a bounded copy."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes = bytearray()
        self._whole = True

    def add(self, part: bytes) -> None:
        """Take a part of the output."""
        with self._lock:
            self._bytes += part[-_KEPT:]
            if len(part) > _KEPT or len(self._bytes) > 2 * _KEPT:
                self._whole = False
                del self._bytes[:-_KEPT]

    def text(self, redaction: Callable[[str], str]) -> str:
        """Return the last lines, without secrets; one that was cut off in its middle is left out.

        Half of a line may be half of a secret, which no pattern knows.
        """
        with self._lock:
            text, whole = bytes(self._bytes).decode("utf-8", "replace"), self._whole
        text = clean(text)
        if not whole:
            text = text.partition("\n")[2] if "\n" in text.rstrip("\n") else ""
        return redaction(text).strip("\n")


def last(text: str, fits: Callable[[str], bool]) -> str:
    """Return the longest end of ``text`` that ``fits``, from a line's beginning where it can be."""
    if fits(text):
        return text
    end = _end(text, largest_fitting(len(text), lambda size: fits(_end(text, size))))
    lines = end.partition("\n")[2]
    return f"{_ELLIPSIS}\n{lines}" if lines and fits(f"{_ELLIPSIS}\n{lines}") else end


def _end(text: str, size: int) -> str:
    return _ELLIPSIS + text[len(text) - size + 1 :] if size else ""
