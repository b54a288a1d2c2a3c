"""What the stand-in remembers, under one lock: messages, attempts, receipts, the account."""

from __future__ import annotations

import base64
import dataclasses
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pushover_logging.inbox import history, rules
from pushover_logging.inbox.account import Account
from pushover_logging.inbox.history import History, Kept
from pushover_logging.inbox.receipts import Receipt

# The status in an Attempt of a request that got no answer.
NOT_ANSWERED = 0

Decrypt = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to send a message, accepted or not.

    ``monotonic`` (seconds of ``time.monotonic``) and ``received`` (Unix time) tell when it came,
    ``connection`` is the client's address and port, the same for the requests of one connection,
    ``status`` the HTTP status of the answer, 0 where there was none.
    """

    monotonic: float
    received: float
    fields: dict[str, str]
    connection: tuple[str, int]
    status: int


@dataclass(frozen=True, slots=True)
class Sent:
    """One request to send a message, as it came: fields, attachment and the raw request."""

    fields: dict[str, str]
    attachment: rules.Attachment | None = None
    raw: bytes = b""
    connection: tuple[str, int] = ("", 0)


class Store:
    """The memory of one stand-in.

    ``refused`` is as the Inbox's, ``clock`` gives Unix time, ``decrypt`` turns an encrypted field
    into text, or raises ValueError.
    """

    def __init__(
        self,
        refused: set[str] | None = None,
        *,
        clock: Callable[[], float] = time.time,
        decrypt: Decrypt | None = None,
    ) -> None:
        self.now = clock
        self._decrypt = decrypt
        # The one lock, over all that follows: a thread of the server for each connection, and the
        # threads of the tests. Nothing slow happens under it. Reentrant, so that each step can
        # take it for itself.
        self.changed: threading.Condition = threading.Condition()
        self.account: Account = Account(set() if refused is None else refused, clock)
        self.history: History = History()
        self._attempts: deque[Attempt] = deque()
        self._attempts_size = 0
        # Tells a reader that comes back whether it is still the same memory.
        self.epoch: str = secrets.token_hex(4)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock, and wake who waits for a change."""
        with self.changed:
            yield
            self.changed.notify_all()

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The accepted messages, oldest first, as copies."""
        with self.changed:
            return [dict(kept.message) for kept in self.history]

    @property
    def attempts(self) -> list[Attempt]:
        """The requests that were answered or are hanging, oldest first."""
        with self.changed:
            return list(self._attempts)

    def clear(self) -> None:
        """Forget messages, receipts and attempts; quota, faults and what is refused stay."""
        with self.changing():
            self.history.clear()
            self._attempts.clear()
            self._attempts_size = 0

    def wait_for(self, count: int, timeout: float = 10.0) -> list[dict[str, Any]]:
        """Return the messages as soon as there are ``count`` or more of them.

        Raises AssertionError after ``timeout`` seconds, with the titles of those that came.
        """
        with self.changed:
            if self.changed.wait_for(lambda: len(self.history) >= count, timeout):
                return self.messages
            messages = [kept.message for kept in self.history]
            statuses = [attempt.status for attempt in self._attempts]
        titles = [message.get("title") or message["message"] for message in messages]
        text = (
            f"{len(titles)} of {count} messages arrived within {timeout:g} s: {titles!r}; "
            f"requests were answered with {statuses!r}"
        )
        raise AssertionError(text)

    def begin(self, sent: Sent) -> Attempt:
        """Return the attempt that a request is, before it is answered."""
        return Attempt(
            time.monotonic(), self.now(), sent.fields, sent.connection, status=NOT_ANSWERED
        )

    def record(self, attempt: Attempt, status: int) -> None:
        """Keep an attempt that was answered with ``status``; the oldest go where are too many."""
        with self.changing():
            self._attempts.append(dataclasses.replace(attempt, status=status))
            self._attempts_size += _size(attempt)
            while len(self._attempts) > history.KEPT or self._attempts_size > history.KEPT_BYTES:
                self._attempts_size -= _size(self._attempts.popleft())

    def judge(self, attempt: Attempt, sent: Sent, *, lost: bool = False) -> rules.Refusal:
        """Accept or refuse a message; return status and body. ``lost``: nobody will read them."""
        opened = self._opened(sent.fields)
        with self.changing():
            exceeded, refused = self.account.exceeded_limit, self.account.refused
            refusal = rules.check(sent.fields, sent.attachment, refused, exceeded)
            status, body = refusal or self._accept(attempt, sent, opened)
            self.record(attempt, NOT_ANSWERED if lost else status)
            return status, body

    def _accept(self, attempt: Attempt, sent: Sent, opened: Mapping[str, object]) -> rules.Refusal:
        fields = sent.fields
        status, body = rules.success({})
        attachment = sent.attachment
        if attachment is None and "attachment_base64" in fields:
            data = base64.b64decode(fields["attachment_base64"])
            attachment = rules.Attachment("", fields.get("attachment_type", ""), len(data), data)
        shown = attachment and {
            name: getattr(attachment, name) for name in ("name", "type", "size")
        }
        seen = {"received": attempt.received, "request": body["request"], "attachment": shown}
        kept = Kept({**fields, **seen, **opened}, sent.raw, attachment.data if attachment else b"")
        if fields.get("priority") == rules.EMERGENCY:
            kept.receipt = _receipt(fields, attempt.received)
            kept.message["receipt"] = body["receipt"] = kept.receipt.receipt
        self.history.add(kept)
        self.account.spend(rules.users_of(fields))
        return status, body

    def _opened(self, fields: Mapping[str, str]) -> dict[str, object]:
        """Return ``decrypted``, the fields in the clear, where that can be; None where it fails."""
        limits = rules.MAX_LENGTHS.items()
        if fields.get("encrypted") != "1" or self._decrypt is None:
            return {}
        if any(len(fields.get(name, "")) > limit for name, limit in limits):
            return {}  # Will be refused; and what it is the gzip of may be huge.
        try:
            names = [name for name in rules.MAX_LENGTHS if fields.get(name)]
            return {"decrypted": {name: self._decrypt(fields[name]) for name in names}}
        except ValueError:
            return {"decrypted": None}


def _receipt(fields: Mapping[str, str], now: float) -> Receipt:
    return Receipt(
        receipt=secrets.token_hex(15),
        token=fields["token"],
        sent=now,
        retry=int(fields["retry"]),
        expire=int(fields["expire"]),
        tags=tuple(tag.strip() for tag in fields.get("tags", "").split(",") if tag.strip()),
        callback=fields.get("callback", ""),
    )


def _size(attempt: Attempt) -> int:
    return sum(map(len, attempt.fields.values()))
