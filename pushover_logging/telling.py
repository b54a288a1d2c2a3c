"""When counts become Messages, and for whom; and how much of the quota is left for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import groupby

from pushover_logging.api.quota import Quota
from pushover_logging.clock import Clock
from pushover_logging.diagnostics import warn
from pushover_logging.outbox.envelope import Envelope
from pushover_logging.rendering.summary import summary
from pushover_logging.throttle.problem import Count, Verdict
from pushover_logging.throttle.valves import Gate, gate_of

_LAST_WORDS_APART = 1.0  # seconds, doubled each time: a thread may log for as long as it lives
_MAY_COME = {Gate.LOW: "only new and worse problems", Gate.SCARCE: "only critical problems"}


class Telling:
    """Makes the Messages that tell counts; ``host`` is named in each."""

    def __init__(self, host: str | None, clock: Clock) -> None:
        self._host = host
        self._clock = clock
        self.end_anew()

    def end_anew(self) -> None:
        """Let the next last words come at once: somebody closes now. From any thread."""
        self._apart = _LAST_WORDS_APART
        self._last_words_from = -math.inf

    def last_words_in(self) -> float:
        """Return the seconds until there may be last words again, 0 for now."""
        return max(0.0, self._last_words_from - self._clock.monotonic())

    def envelopes(self, counts: Sequence[Count], *, final: bool) -> list[Envelope]:
        """Return the Messages that tell ``counts``: one for each user and device."""

        def addressee(count: Count) -> tuple[str, str]:
            return count.user or "", count.device or ""

        envelopes = []
        for _, group in groupby(sorted(counts, key=addressee), addressee):
            told = tuple(group)
            message = summary(told, self._host, final=final)
            now, created = self._clock.monotonic(), self._clock.time()
            envelopes.append(Envelope(message, Verdict.SUMMARY, now, created=created, counts=told))
        if final and envelopes:
            self._last_words_from = self._clock.monotonic() + self._apart
            self._apart *= 2
        return envelopes


class QuotaWatch:
    """Knows by the last answer how much is left. The state is of the thread that sends."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._gate = Gate.OPEN

    def look(self, quota: Quota | None, set_gate: Callable[[Gate], None]) -> float:
        """Set the throttle's gate; return the seconds until that changes by itself."""
        left, gate = math.inf, Gate.OPEN
        if quota is not None:
            left = quota.reset - 1 - self._clock.time()  # a whole second: it may come early
            if left > 0:
                gate = gate_of(quota.remaining, quota.limit)
            if gate > self._gate:
                said = _MAY_COME[gate]
                warn("%d of %d messages are left: %s come", quota.remaining, quota.limit, said)
        if gate is not self._gate:
            self._gate = gate
            set_gate(gate)
        return left if gate > Gate.OPEN else math.inf
