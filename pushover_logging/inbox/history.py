"""History: the numbered messages that the inbox keeps, and which have changed since a version."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pushover_logging.inbox.receipts import EmergencyReceipt

MAX_MESSAGES = 10_000
# For all messages, and for all attempts: an attachment can have 5 MiB.
MAX_BYTES = 128 * 1024 * 1024
# How much of a request's body is kept to be shown.
MAX_RAW_BYTES = 32 * 1024


@dataclass(slots=True)
class StoredMessage:
    """One accepted message.

    ``fields`` are what ``Inbox.messages`` returns of it, ``raw`` the head and the beginning of
    the body of its request, ``picture`` the attachment's bytes. ``number`` counts from 1 since the
    last clear. ``version`` is the history's version at the message's last change. ``unknown`` are
    the names of fields whose value the account does not have, such as a sound.
    """

    fields: dict[str, Any]
    raw: bytes = b""
    picture: bytes = b""
    receipt: EmergencyReceipt | None = None
    number: int = 0
    version: int = 0
    unknown: tuple[str, ...] = ()
    size: int = field(init=False)

    def __post_init__(self) -> None:
        """Compute the size."""
        texts = (str(value) for value in self.fields.values())
        self.size = len(self.raw) + len(self.picture) + sum(map(len, texts))


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Selects messages of ``priorities`` (empty: of any) that contain ``text``, in any case."""

    text: str = ""
    priorities: frozenset[str] = frozenset()

    def passes(self, fields: dict[str, Any]) -> bool:
        """Return True if a message with these fields is selected."""
        if self.priorities and (fields.get("priority") or "0") not in self.priorities:
            return False
        if not self.text:
            return True
        text = self.text.casefold()
        readable = {**fields, **(fields.get("decrypted") or {})}
        names = ("title", "message", "url", "url_title", "device", "sound", "tags")
        return any(text in str(readable.get(name, "")).casefold() for name in names)


class History:
    """The last 10,000 messages, or 128 MiB of them. The caller holds the store's lock."""

    def __init__(self) -> None:
        self._messages: deque[StoredMessage] = deque()
        self._emergencies: dict[str, StoredMessage] = {}
        self._size = 0
        self._last_number = 0
        self.version: int = 0
        self.cleared: int = 0  # the version of the last clear

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[StoredMessage]:
        return iter(self._messages)

    @property
    def first(self) -> int:
        """The number of the oldest message, or of the next one if there is none."""
        return self._messages[0].number if self._messages else self._last_number + 1

    def add(self, message: StoredMessage) -> None:
        """Add a message, and remove the oldest if there are too many."""
        self._last_number += 1
        message.number = self._last_number
        self._messages.append(message)
        self._size += message.size
        self.touch(message)
        if message.receipt:
            self._emergencies[message.receipt.receipt] = message
        while len(self._messages) > MAX_MESSAGES or self._size > MAX_BYTES:
            self._remove_oldest()

    def touch(self, message: StoredMessage) -> None:
        """Mark a message as changed."""
        self.version += 1
        message.version = self.version

    def number(self, number: int) -> StoredMessage | None:
        """Return the message with that number."""
        index = number - self.first
        return self._messages[index] if 0 <= index < len(self._messages) else None

    def emergency(self, receipt: str) -> StoredMessage | None:
        """Return the emergency with that receipt."""
        return self._emergencies.get(receipt)

    def emergencies(self) -> list[StoredMessage]:
        """Return the emergencies, oldest first."""
        return list(self._emergencies.values())

    def before(
        self, number: int, selected: MessageFilter, limit: int
    ) -> tuple[list[StoredMessage], bool]:
        """Return up to ``limit`` messages before ``number``, newest first; True if more exist."""
        end = min(max(number - self.first, 0), len(self))
        found: list[StoredMessage] = []
        for message in reversed(list(self)[:end] if end < len(self) else self._messages):
            if selected.passes(message.fields):
                if len(found) == limit:
                    return found, True
                found.append(message)
        return found, False

    def changed_since(self, version: int, limit: int) -> list[StoredMessage] | None:
        """Return the messages changed after ``version``, oldest first; None if over ``limit``."""
        if self.version - version > limit or version < self.cleared or version > self.version:
            return None
        return [message for message in self if message.version > version]

    def clear(self) -> None:
        """Remove all messages."""
        self._messages.clear()
        self._emergencies.clear()
        self._size = self._last_number = 0
        self.version += 1
        self.cleared = self.version

    def _remove_oldest(self) -> None:
        message = self._messages.popleft()
        self._size -= message.size
        if message.receipt:
            del self._emergencies[message.receipt.receipt]
