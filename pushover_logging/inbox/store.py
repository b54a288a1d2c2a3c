"""Store: an inbox's messages, attempts and account, under one lock; InboxState: all its state."""

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
from pushover_logging.inbox.account import InboxAccount
from pushover_logging.inbox.clock import SpeedableClock
from pushover_logging.inbox.connections import ConnectionLog
from pushover_logging.inbox.faults import FaultQueue
from pushover_logging.inbox.history import History, StoredMessage
from pushover_logging.inbox.receipts import EmergencyReceipt

# The status of an Attempt that was not answered.
NOT_ANSWERED = 0

Decrypt = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to send a message, accepted or not.

    ``monotonic`` (seconds of ``time.monotonic``) and ``received`` (Unix time) are its time.
    ``connection`` is the client's address and port, which requests on one connection share.
    ``status`` is the HTTP status of the answer, 0 for none.
    """

    monotonic: float
    received: float
    fields: dict[str, str]
    connection: tuple[str, int]
    status: int


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A request to send a message: its fields, attachment, raw bytes, and client address."""

    fields: dict[str, str]
    attachment: rules.Attachment | None = None
    raw: bytes = b""
    connection: tuple[str, int] = ("", 0)


class Store:
    """The messages, attempts and account of one inbox.

    ``refused`` and ``strict`` are as for the Inbox. ``clock`` returns Unix time. ``decrypt``
    returns the text of an encrypted field, or raises ValueError.
    """

    def __init__(
        self,
        refused: set[str] | None = None,
        *,
        clock: Callable[[], float] = time.time,
        decrypt: Decrypt | None = None,
        strict: bool = False,
    ) -> None:
        self.now = clock
        self._decrypt = decrypt
        # Protects all that follows: each connection has a server thread, and tests have theirs.
        # Nothing slow happens under it. Reentrant, so that a method can acquire it for itself.
        self.changed: threading.Condition = threading.Condition()
        self.account: InboxAccount = InboxAccount(
            set() if refused is None else refused, clock, strict=strict
        )
        self.history: History = History()
        self._attempts: deque[Attempt] = deque()
        self._attempts_size = 0
        # Lets a reader that reconnects detect that this is another store.
        self.epoch: str = secrets.token_hex(4)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock, and then notify all threads that wait for a change."""
        with self.changed:
            yield
            self.changed.notify_all()

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The accepted messages, oldest first, as copies."""
        with self.changed:
            return [dict(message.fields) for message in self.history]

    @property
    def attempts(self) -> list[Attempt]:
        """The requests to send that were answered, or hang, oldest first."""
        with self.changed:
            return list(self._attempts)

    def clear(self) -> None:
        """Remove messages, receipts and attempts; the account stays as it is."""
        with self.changing():
            self.history.clear()
            self._attempts.clear()
            self._attempts_size = 0

    def wait_for(self, count: int, timeout: float = 10.0) -> list[dict[str, Any]]:
        """Return the messages as soon as there are at least ``count``.

        Raises AssertionError after ``timeout`` seconds, with the titles of those that arrived.
        """
        with self.changed:
            if self.changed.wait_for(lambda: len(self.history) >= count, timeout):
                return self.messages
            messages, statuses = self.messages, [attempt.status for attempt in self._attempts]
        titles = [message.get("title") or message["message"] for message in messages]
        text = (
            f"{len(titles)} of {count} messages arrived within {timeout:g} s: {titles!r}; "
            f"requests were answered with {statuses!r}"
        )
        raise AssertionError(text)

    def begin(self, incoming: IncomingMessage) -> Attempt:
        """Return the attempt for a request that is not answered yet."""
        return Attempt(
            time.monotonic(),
            self.now(),
            incoming.fields,
            incoming.connection,
            status=NOT_ANSWERED,
        )

    def record(self, attempt: Attempt, status: int) -> None:
        """Add an attempt answered with ``status``, and remove the oldest if there are too many."""
        with self.changing():
            self._attempts.append(dataclasses.replace(attempt, status=status))
            self._attempts_size += _size(attempt)
            while (
                len(self._attempts) > history.MAX_MESSAGES
                or self._attempts_size > history.MAX_BYTES
            ):
                self._attempts_size -= _size(self._attempts.popleft())

    def judge(
        self, attempt: Attempt, incoming: IncomingMessage, *, lost: bool = False
    ) -> rules.ApiAnswer:
        """Accept or refuse a message; ``lost`` means that the answer will not be sent."""
        decrypted = self._decrypted(incoming.fields)
        with self.changing():
            account = self.account
            refusal = rules.check(
                incoming.fields,
                incoming.attachment,
                account.exceeded_limit,
                account.takes_token,
                account.takes_user,
            )
            status, body = refusal or self._accept(attempt, incoming, decrypted)
            self.record(attempt, NOT_ANSWERED if lost else status)
            return status, body

    def _accept(
        self, attempt: Attempt, incoming: IncomingMessage, decrypted: Mapping[str, object]
    ) -> rules.ApiAnswer:
        fields = incoming.fields
        status, body = rules.success({})
        attachment = incoming.attachment
        if attachment is None and "attachment_base64" in fields:
            data = base64.b64decode(fields["attachment_base64"])
            attachment = rules.Attachment("", fields.get("attachment_type", ""), len(data), data)
        added = {
            "received": attempt.received,
            "request": body["request"],
            "attachment": attachment
            and {name: getattr(attachment, name) for name in ("name", "type", "size")},
        }
        picture = attachment.data if attachment else b""
        message = StoredMessage({**fields, **added, **decrypted}, incoming.raw, picture)
        message.unknown = self.account.unknown(fields)
        if fields.get("priority") == rules.EMERGENCY:
            message.receipt = _new_receipt(fields, attempt.received)
            message.fields["receipt"] = body["receipt"] = message.receipt.receipt
        self.history.add(message)
        self.account.spend(rules.users_of(fields))
        return status, body

    def _decrypted(self, fields: Mapping[str, str]) -> dict[str, object]:
        """Return ``decrypted``: the texts of an encrypted message, or None if that fails."""
        limits = rules.MAX_LENGTHS.items()
        if fields.get("encrypted") != "1" or self._decrypt is None:
            return {}
        if any(len(fields.get(name, "")) > limit for name, limit in limits):
            return {}  # will be refused, and could decompress to something huge
        try:
            names = [name for name in rules.MAX_LENGTHS if fields.get(name)]
            return {"decrypted": {name: self._decrypt(fields[name]) for name in names}}
        except ValueError:
            return {"decrypted": None}


@dataclass(frozen=True, slots=True)
class InboxState:
    """The state of one inbox, which its routes share; each part has its own lock."""

    store: Store
    faults: FaultQueue
    log: ConnectionLog
    clock: SpeedableClock

    def reset(self) -> None:
        """Restore the initial state: no messages or faults, initial account and clock."""
        self.faults.clear()
        self.clock.reset()
        with self.store.changed:
            self.store.clear()
            self.store.account.reset()
        self.log.clear()


def _new_receipt(fields: Mapping[str, str], now: float) -> EmergencyReceipt:
    return EmergencyReceipt(
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
