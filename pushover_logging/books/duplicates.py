"""The path that a storm takes: a record of a problem that goes on costs one look-up and a count."""

from __future__ import annotations

import contextlib
import logging
import threading

from pushover_logging.books.stats import Books
from pushover_logging.guard import is_inside
from pushover_logging.identity.fingerprint import TEMPLATE, call_key
from pushover_logging.throttle.local import LocalThrottle
from pushover_logging.throttle.table import Answer

Call = tuple[object, ...]
CALLS = 2048  # that are remembered
_WITH_ARGS = 2  # parts of such a call: logger and template


class Duplicates:
    """Knows the fingerprints of plain records by their calls; see `origin.call_of`.

    Any thread may call: the guard is held over the count, and each entry is written whole.
    """

    def __init__(self, guard: threading.RLock, throttle: LocalThrottle, books: Books) -> None:
        self._guard = guard
        self._throttle = throttle
        self._books = books
        self._calls: dict[Call, str] = {}

    def count(self, record: logging.LogRecord) -> bool:
        """Count a record that changes nothing else; False: it takes a closer look."""
        try:
            key = self._calls.get(call_key(record) or ())
        except Exception:  # noqa: BLE001  records also come from sockets, in any shape
            return False
        if key is None:
            return False
        if is_inside(self._guard):
            return False
        with self._guard:
            if not self._throttle.count_duplicate(key, record.levelno, record.created):
                return False
            self._books.suppressed += 1
            return True

    def remember(self, record: logging.LogRecord, key: str | None, answer: Answer | None) -> None:
        """Know the fingerprint ``key`` of a call, where all such records have it.

        Not where args make the text, nor where the record went by the key of a group.
        """
        if key is None or answer is None or answer.key != key:
            return
        if len(self._calls) >= CALLS:
            self._calls.clear()
        with contextlib.suppress(Exception):
            call = call_key(record)
            if call and (len(call) != _WITH_ARGS or key.startswith(TEMPLATE)):
                self._calls[call] = key
