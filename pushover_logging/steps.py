"""What one handler's sender does, a thing at a time: claim, send, act on the answer, tell.

`step` does the next thing and says how long there is none after it, so that a test can drive it on
a clock of its own. All here belongs to the one thread that steps, but for what is said otherwise.
"""

from __future__ import annotations

import contextlib
import traceback
from functools import partial
from pathlib import Path

from pushover_logging import lifecycle
from pushover_logging.api.client import PushoverClient
from pushover_logging.books.ledger import Ledger
from pushover_logging.books.looking import ended_alarms
from pushover_logging.clock import Clock
from pushover_logging.diagnostics import warn
from pushover_logging.exceptions import DeliveryError, RejectedError
from pushover_logging.outbox.envelope import Envelope
from pushover_logging.recovery import Recovery, scale_attachment
from pushover_logging.rendering.summary import with_verdict
from pushover_logging.telling import QuotaWatch, Telling

_LONGEST_WAIT = 3600.0


class Steps:
    """Times are in seconds; ``max_age`` is a Message's, ``host`` is named in summaries."""

    def __init__(
        self,
        ledger: Ledger,
        client: PushoverClient,
        clock: Clock,
        *,
        host: str | None,
        max_age: float,
    ) -> None:
        self._ledger, self._client, self._clock = ledger, client, clock
        self._telling, self._max_age = Telling(host, clock), max_age
        self.renew()

    def renew(self) -> None:
        """Start anew: at first, and in a fork's child."""
        self._recovery, self._watch = Recovery(self._clock), QuotaWatch(self._clock)
        self._full_told = self._fault_told = False
        self.closing: bool = False  # set by any thread, as `end_anew` may be called by any
        self.used: float = 0.0  # the monotonic second of the last send
        self.last_error: str | None = None

    def put(self, envelope: Envelope) -> None:
        """Put a Message of the program, whose thread calls; that the outbox is full is said."""
        if self._ledger.put(envelope) and not self._full_told:
            self._full_told = True
            warn("the outbox is full: the least urgent messages are dropped, see stats()")

    def close(self) -> None:
        """End when the backlog is out, with last words."""
        self.closing = True
        self._telling.end_anew()

    def step(self, *, hurried: bool) -> float:
        """Do the next thing; return how many seconds nothing else is to be done, 0 for none.

        ``hurried``: somebody waits for it, then others are asked more often. A fault that nobody
        foresaw, of ours or of what the program brought along, costs a pause, and is said once.
        """
        try:
            return self._step(hurried=hurried)
        except Exception as error:  # noqa: BLE001  nothing is sent any more where a thread ends
            where = traceback.extract_tb(error.__traceback__)[-1]
            # Without its text, which may hold a secret.
            said = f"{type(error).__name__} in {where.name}, {Path(where.filename).name}"
            self.last_error = f"the sender failed: {said}:{where.lineno}"
            self._recovery.back_off()
            pause = self._recovery.pause(self._clock.monotonic())
            if not self._fault_told:
                self._fault_told = True
                warn("%s; next try in %d s", self.last_error, pause)
            return pause

    def _step(self, *, hurried: bool) -> float:
        now = self._clock.monotonic()
        sends = self._ledger.outbox.may_send()
        fresh = self._watch.look(self._client.quota, self._ledger.reporting.set_gate)
        pause = self._recovery.pause(now)
        self._ledger.reporting.hold(held=pause > 0)
        mute = self._telling.last_words_in()
        self._tell(final=not mute and self._ends() and (pause > 0 or not sends), hurried=hurried)
        if trouble := self._ledger.outbox.trouble():
            warn("%s", trouble)
        beat = min(fresh, self._ledger.reporting.next_due(hurry=hurried))
        if pause > 0:
            return min(pause, beat)
        if not sends:
            self._ledger.outbox.catch_up()
            self._client.close()
            return beat
        closed = self._recovery.closed_to(now)
        envelope = self._ledger.claim(self._max_age, closed)
        if self.closing and (envelope is None or self._ends()):
            # Only now: the claim may have counted what others put.
            self._tell(final=not mute, hurried=hurried)
            envelope = envelope or self._ledger.claim(self._max_age, closed)
        if envelope is None:
            self._full_told = False
            return min(beat, *closed.values(), mute or _LONGEST_WAIT)
        self._recovery.redirect(envelope, now)
        self._send(envelope, hurried=hurried)
        return 0.0

    def _ends(self) -> bool:
        """Tell whether this handler closes, and all its own records are told."""
        return self.closing and self._ledger.settled(last_words=False)

    def _tell(self, *, final: bool, hurried: bool) -> None:
        told = partial(self._telling.envelopes, final=final)
        self._ledger.tell(told, final=final, hurry=hurried)

    def _send(self, envelope: Envelope, *, hurried: bool) -> None:
        self.used = self._clock.monotonic()
        try:
            scale_attachment(envelope)
            self._post(envelope)
        except DeliveryError as error:
            self.last_error = str(error)
            if self._recovery.keeps(error, envelope):
                self._ledger.outbox.retry(envelope)
            else:
                self._ledger.rejected(envelope, str(error))
        except BaseException:
            self._ledger.outbox.retry(envelope)
            raise
        else:
            self._fault_told = False
            self._recovery.succeeded(envelope)
            self._ledger.accepted(envelope)
            if hurried:
                self._ledger.outbox.catch_up()

    def _post(self, envelope: Envelope) -> None:
        with lifecycle.request_slot():
            count = envelope.counts[0] if envelope.counts else None
            for tag in ended_alarms(envelope):
                with contextlib.suppress(RejectedError):  # one that is not there is no fault
                    self._client.cancel_by_tag(tag)
            self._client.send(with_verdict(envelope.message, envelope.verdict, count))
