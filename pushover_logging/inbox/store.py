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

from pushover_logging.exceptions import ConfigurationError
from pushover_logging.inbox import rules

KEPT = 10_000
# https://pushover.net/api#limits: what a free account may send in a month.
DEFAULT_LIMIT = 10_000
# The status in an Attempt of a request that got no answer.
NOT_ANSWERED = 0

Match = Callable[[Mapping[str, str]], bool]


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
    """What goes back to the client: HTTP status, body and headers."""

    status: int
    body: str
    headers: Mapping[str, str]


# Goes nowhere: the connection has ended.
_CLOSED = Answer(503, "", {})


@dataclass(slots=True)
class _Fault:
    status: int | None
    body: str
    headers: dict[str, str]
    delay: float
    hang: bool
    times: int | None
    match: Match | None


class Store:
    """The memory of one stand-in; ``clock`` gives Unix time, ``refused`` is as the Inbox's."""

    def __init__(
        self, refused: set[str] | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.refused: set[str] = set() if refused is None else refused
        self._clock = clock
        # The one lock, over all that follows: a thread of the server for each connection, and the
        # threads of the tests. It is reentrant, so that a fault's `match` may ask the store.
        self._changed = threading.Condition()
        self._messages: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._attempts: deque[Attempt] = deque(maxlen=KEPT)
        self._faults: list[_Fault] = []
        self._limit = DEFAULT_LIMIT
        self._remaining = DEFAULT_LIMIT
        self._reset = rules.next_reset(clock())
        self._closing = threading.Event()

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

    def fail_with(  # noqa: PLR0913 - each is one trait of a fault, by its keyword
        self,
        status: int | None = None,
        body: str | Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        delay: float = 0.0,
        hang: bool = False,
        times: int | None = 1,
        match: Match | None = None,
    ) -> None:
        """Queue a fault for the next ``times`` message requests (None: until cleared).

        ``status``, ``body`` (text, or a mapping that becomes JSON) and ``headers`` are answered
        instead of the checks, and nothing else: no quota headers, nothing accepted. A body without
        a status is answered with 200. With neither, the service is only slow: it answers as ever
        after ``delay`` seconds. ``hang`` never answers. ``match`` says by a request's fields
        whether it is meant; the oldest fault that matches is played.
        Raises ConfigurationError for ``times`` below 1 or a negative ``delay``.
        """
        if (times is not None and times < 1) or delay < 0:
            text = f"a fault takes times >= 1 (or None) and delay >= 0, got {times} and {delay}"
            raise ConfigurationError(text)
        answered = dict(headers or {})
        if body is not None and not isinstance(body, str):
            answered = {"Content-Type": "application/json", **answered}
            body = rules.compact(body)
        if status is None and (body is not None or headers):
            status = 200
        fault = _Fault(status, body or "", answered, delay, hang, times, match)
        with self._changed:
            self._faults.append(fault)

    def clear_faults(self) -> None:
        """Forget the faults that are queued; one that is being played goes on."""
        with self._changed:
            self._faults.clear()

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

    def open(self) -> None:
        """Let faults delay and hang (again)."""
        self._closing.clear()

    def close(self) -> None:
        """End each delay and hang now."""
        self._closing.set()

    def answer(
        self,
        fields: dict[str, str],
        attachment: rules.Attachment | None = None,
        connection: tuple[str, int] = ("", 0),
    ) -> Answer:
        """Answer one request to send a message; waits only where a fault says so."""
        came = Attempt(time.monotonic(), self._clock(), fields, connection, NOT_ANSWERED)
        fault = self._take_fault(fields)
        if fault is None:
            return self._judge(came, attachment)
        if fault.hang:
            self._record(came)
            self._closing.wait()
            return _CLOSED
        if fault.status is None and not self._closing.wait(fault.delay):
            return self._judge(came, attachment)
        if fault.status is None:
            self._record(came)
            return _CLOSED
        self._record(dataclasses.replace(came, status=fault.status))
        self._closing.wait(fault.delay)
        return Answer(fault.status, fault.body, fault.headers)

    def _take_fault(self, fields: Mapping[str, str]) -> _Fault | None:
        with self._changed:
            matching = (each for each in self._faults if not each.match or each.match(fields))
            fault = next(matching, None)
            if fault and fault.times is not None:
                fault.times -= 1
                if not fault.times:
                    self._faults.remove(fault)
            return fault

    def _record(self, attempt: Attempt) -> None:
        with self._changed:
            self._attempts.append(attempt)
            self._changed.notify_all()

    def _judge(self, came: Attempt, attachment: rules.Attachment | None) -> Answer:
        with self._changed:
            if self._clock() >= self._reset:
                self._remaining = self._limit
                self._reset = rules.next_reset(self._clock())
            exceeded = self._limit if self._remaining <= 0 else None
            refusal = rules.check(came.fields, attachment, self.refused, exceeded)
            status, body = refusal or self._accept(came, attachment)
            self._record(dataclasses.replace(came, status=status))
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
