"""The messages that the stand-in keeps, numbered, and what has changed since when."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pushover_logging.inbox.receipts import Receipt

KEPT = 10_000
# What all messages and attempts together may take: attachments are up to 5 MiB each.
KEPT_BYTES = 128 * 1024 * 1024
# What of a request's body is shown; an attachment says nothing to a reader.
RAW_BYTES = 32 * 1024


@dataclass(slots=True)
class Kept:
    """One accepted message.

    ``message`` is what the Inbox tells of it, ``raw`` the request's head and the beginning of its
    body, ``picture`` the attachment's bytes, ``number`` counts from 1 since the last clear,
    ``version`` is that of the history at the last change.
    """

    message: dict[str, Any]
    raw: bytes = b""
    picture: bytes = b""
    receipt: Receipt | None = None
    number: int = 0
    version: int = 0
    size: int = field(init=False)

    def __post_init__(self) -> None:
        """Weigh it."""
        texts = (str(value) for value in self.message.values())
        self.size = len(self.raw) + len(self.picture) + sum(map(len, texts))


@dataclass(frozen=True, slots=True)
class Filter:
    """What a reader wants to see: messages of ``priorities`` (none: of any) with ``text``."""

    text: str = ""
    priorities: frozenset[str] = frozenset()

    def passes(self, message: dict[str, Any]) -> bool:
        """Return whether the message is wanted; upper and lower case are the same."""
        if self.priorities and (message.get("priority") or "0") not in self.priorities:
            return False
        if not self.text:
            return True
        wanted = self.text.casefold()
        shown = {**message, **(message.get("decrypted") or {})}
        fields = ("title", "message", "url", "url_title", "device", "sound", "tags")
        return any(wanted in str(shown.get(name, "")).casefold() for name in fields)


class History:
    """The last 10,000 messages, or 128 MiB of them; the store's lock is over it."""

    def __init__(self) -> None:
        self._kept: deque[Kept] = deque()
        self._receipts: dict[str, Kept] = {}
        self._size = 0
        self._numbers = 0
        self.version: int = 0
        # The version at which all that came before was forgotten.
        self.cleared: int = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Kept]:
        return iter(self._kept)

    @property
    def first(self) -> int:
        """The oldest message's number, or that of the next one where there is none."""
        return self._kept[0].number if self._kept else self._numbers + 1

    def add(self, kept: Kept) -> None:
        """Keep a message; the oldest go where there are too many."""
        self._numbers += 1
        kept.number = self._numbers
        self._kept.append(kept)
        self._size += kept.size
        self.touch(kept)
        if kept.receipt:
            self._receipts[kept.receipt.receipt] = kept
        while len(self._kept) > KEPT or self._size > KEPT_BYTES:
            self._forget(self._kept.popleft())

    def touch(self, kept: Kept) -> None:
        """Note that a message has changed."""
        self.version += 1
        kept.version = self.version

    def number(self, number: int) -> Kept | None:
        """Return the message of that number."""
        place = number - self.first
        return self._kept[place] if 0 <= place < len(self._kept) else None

    def receipt(self, receipt: str) -> Kept | None:
        """Return the emergency of that receipt."""
        return self._receipts.get(receipt)

    def emergencies(self) -> list[Kept]:
        """Return the emergencies, oldest first."""
        return list(self._receipts.values())

    def before(self, number: int, wanted: Filter, limit: int) -> tuple[list[Kept], bool]:
        """Return up to ``limit`` messages older than ``number``, newest first; and if more are."""
        end = min(max(number - self.first, 0), len(self._kept))
        found: list[Kept] = []
        for kept in reversed(list(self._kept)[:end] if end < len(self._kept) else self._kept):
            if wanted.passes(kept.message):
                if len(found) == limit:
                    return found, True
                found.append(kept)
        return found, False

    def changed_since(self, version: int, limit: int) -> list[Kept] | None:
        """Return what changed after ``version``, oldest first; None where it is over ``limit``."""
        if self.version - version > limit or version < self.cleared or version > self.version:
            return None
        changed = [kept for kept in self._kept if kept.version > version]
        return sorted(changed, key=lambda kept: kept.number)

    def clear(self) -> None:
        """Forget all messages."""
        self._kept.clear()
        self._receipts.clear()
        self._size = self._numbers = 0
        self.version += 1
        self.cleared = self.version

    def _forget(self, kept: Kept) -> None:
        self._size -= kept.size
        if kept.receipt:
            del self._receipts[kept.receipt.receipt]
