"""What the stand-in remembers: messages, attempts, the quota, and the faults it is to play."""

from __future__ import annotations

import dataclasses
import secrets
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pushover_logging.inbox import rules
from pushover_logging.inbox.faults import MESSAGES_PATH, Fault, Faults

KEPT = 10_000
# https://pushover.net/api#limits: what a free account may send in a month.
DEFAULT_LIMIT = 10_000
# The status in an Attempt of a request that got no answer.
NOT_ANSWERED = 0


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
class Answer:
    """What goes back to the client: HTTP status, body and headers, in the way of ``fault``."""

    status: int
    body: str
    headers: Mapping[str, str]
    fault: Fault | None = None


class Store:
    """The memory of one stand-in.

    ``refused`` is as the Inbox's, ``faults`` are the ones to play, ``clock`` gives Unix time.
    """

    def __init__(
        self,
        refused: set[str] | None = None,
        *,
        faults: Faults | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.refused: set[str] = set() if refused is None else refused
        self._faults = faults or Faults()
        self._clock = clock
        # The one lock, over all that follows: a thread of the server for each connection, and the
        # threads of the tests.
        self._changed = threading.Condition()
        self._messages: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._attempts: deque[Attempt] = deque(maxlen=KEPT)
        self._limit = DEFAULT_LIMIT
        self._remaining = DEFAULT_LIMIT
        self._reset = rules.next_reset(clock())

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The accepted messages, oldest first, as copies; at most the last 10,000."""
        with self._changed:
            return [dict(message) for message in self._messages]

    @property
    def attempts(self) -> list[Attempt]:
        """The requests that were answered or are hanging, oldest first; at most the last 10,000."""
        with self._changed:
            return list(self._attempts)

    def set_quota(
        self, *, limit: int | None = None, remaining: int | None = None, reset: float | None = None
    ) -> None:
        """Set the month's quota: messages in all, messages left, Unix time of the reset.

        What is None stays as it is. At the reset ``remaining`` becomes ``limit`` again.
        """
        with self._changed:
            self._limit = self._limit if limit is None else limit
            self._remaining = self._remaining if remaining is None else remaining
            self._reset = self._reset if reset is None else int(reset)

    def clear(self) -> None:
        """Forget messages and attempts; quota, faults and what is refused stay."""
        with self._changed:
            self._messages.clear()
            self._attempts.clear()

    def wait_for(self, count: int, timeout: float = 10.0) -> list[dict[str, Any]]:
        """Return the messages as soon as there are ``count`` or more of them.

        Raises AssertionError after ``timeout`` seconds, with the titles of those that came.
        """
        with self._changed:
            if self._changed.wait_for(lambda: len(self._messages) >= count, timeout):
                return self.messages
            titles = [message.get("title") or message["message"] for message in self._messages]
            statuses = [attempt.status for attempt in self._attempts]
        text = (
            f"{len(titles)} of {count} messages arrived within {timeout:g} s: {titles!r}; "
            f"requests were answered with {statuses!r}"
        )
        raise AssertionError(text)

    def answer(
        self,
        fields: dict[str, str],
        attachment: rules.Attachment | None = None,
        connection: tuple[str, int] = ("", 0),
    ) -> Answer:
        """Answer one request to send a message; waits only where a fault says so."""
        came = Attempt(time.monotonic(), self._clock(), fields, connection, NOT_ANSWERED)
        fault = self._faults.take(MESSAGES_PATH, fields)
        if fault is None:
            return self._judge(came, attachment)
        if fault.status is not None:
            self._record(dataclasses.replace(came, status=fault.status))
            self._faults.wait(fault.delay)
            return Answer(fault.status, fault.body, fault.headers, fault)
        if fault.hang or fault.reset:
            self._record(came)
            self._faults.wait(None if fault.hang else fault.delay)
            return Answer(NOT_ANSWERED, "", {}, fault)
        if self._faults.wait(fault.delay):  # The inbox closes: nobody is told anything any more.
            self._record(came)
            return Answer(NOT_ANSWERED, "", {}, Fault(hang=True))
        return dataclasses.replace(self._judge(came, attachment, lost=fault.lost), fault=fault)

    def _record(self, attempt: Attempt) -> None:
        with self._changed:
            self._attempts.append(attempt)
            self._changed.notify_all()

    def _judge(
        self, came: Attempt, attachment: rules.Attachment | None, *, lost: bool = False
    ) -> Answer:
        with self._changed:
            if self._clock() >= self._reset:
                self._remaining = self._limit
                self._reset = rules.next_reset(self._clock())
            exceeded = self._limit if self._remaining <= 0 else None
            refusal = rules.check(came.fields, attachment, self.refused, exceeded)
            status, body = refusal or self._accept(came, attachment)
            self._record(dataclasses.replace(came, status=NOT_ANSWERED if lost else status))
            return Answer(status, rules.compact(body), self._limit_headers())

    def _accept(self, came: Attempt, attachment: rules.Attachment | None) -> rules.Refusal:
        fields = came.fields
        body: dict[str, object] = {"status": 1, "request": str(uuid.uuid4())}
        if fields.get("priority") == rules.EMERGENCY:
            body["receipt"] = secrets.token_hex(15)
        if attachment is None and "attachment_base64" in fields:
            size = rules.decoded_size(fields["attachment_base64"]) or 0
            attachment = rules.Attachment("", fields.get("attachment_type", ""), size)
        shown = None if attachment is None else dataclasses.asdict(attachment)
        seen = {"received": came.received, "request": body["request"], "attachment": shown}
        self._messages.append({**fields, **seen})
        self._remaining -= len(rules.users_of(fields))
        return 200, body

    def _limit_headers(self) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "X-Limit-App-Limit": str(self._limit),
            "X-Limit-App-Remaining": str(self._remaining),
            "X-Limit-App-Reset": str(self._reset),
        }
