"""What happens to an emergency after it was sent: asked about, acknowledged, cancelled."""

from __future__ import annotations

import dataclasses
import threading

from pushover_logging.inbox import rules
from pushover_logging.inbox.callbacks import call_back, is_loopback
from pushover_logging.inbox.history import Kept
from pushover_logging.inbox.receipts import Receipt
from pushover_logging.inbox.store import Store

NOT_FOUND = 404


class Emergencies:
    """The receipts of a store's messages."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def state(self, receipt: str, token: str) -> rules.Refusal:
        """Answer ``GET /1/receipts/RECEIPT.json``; returns status and body."""
        with self._store.changed:
            kept = self._find(receipt, token)
            if kept is None or kept.receipt is None:
                return _unknown()
            return rules.success(kept.receipt.state(self._store.now()))

    def cancel(self, receipt: str, token: str) -> rules.Refusal:
        """Answer ``POST /1/receipts/RECEIPT/cancel.json``; returns status and body."""
        with self._store.changing():
            kept = self._find(receipt, token)
            if kept is None or kept.receipt is None:
                return _unknown()
            self._replace(kept, kept.receipt.cancelled(self._store.now()))
            return rules.success({})

    def cancel_by_tag(self, tag: str, token: str) -> rules.Refusal:
        """Answer ``POST /1/receipts/cancel_by_tag/TAG.json``; returns status and body."""
        with self._store.changing():
            now = self._store.now()
            found = 0
            for kept in self._store.history.emergencies():
                receipt = kept.receipt
                if receipt and receipt.token == token and tag in receipt.tags:
                    found += receipt.is_active(now)
                    self._replace(kept, receipt.cancelled(now))
            return rules.success({"canceled": found})

    def acknowledge(self, receipt: str, by: str, device: str) -> bool:
        """Acknowledge an emergency, and call back; return whether that receipt is known.

        ``by`` and ``device`` empty: the message's own.
        """
        with self._store.changing():
            kept = self._store.history.receipt(receipt)
            if kept is None or kept.receipt is None:
                return False
            before = kept.receipt
            by = by or rules.users_of(kept.message)[0]
            device = device or kept.message.get("device", "") or "phone"
            after = before.acknowledged(self._store.now(), by, device)
            self._replace(kept, after)
        if after is not before and is_loopback(after.callback):
            # On a thread: the program that is called may be slow, or the one that waits for us.
            threading.Thread(target=self._call_back, args=(after,), daemon=True).start()
        return True

    def _call_back(self, told: Receipt) -> None:
        state = told.state(self._store.now())
        names = (
            "acknowledged",
            "acknowledged_at",
            "acknowledged_by",
            "acknowledged_by_device",
        )
        fields = {"receipt": told.receipt, **{name: str(state[name]) for name in names}}
        if not call_back(told.callback, fields):
            return
        with self._store.changing():
            kept = self._store.history.receipt(told.receipt)
            if kept is not None and kept.receipt is not None:
                now = self._store.now()
                self._replace(kept, dataclasses.replace(kept.receipt, called_back_at=now))

    def _find(self, receipt: str, token: str) -> Kept | None:
        kept = self._store.history.receipt(receipt)
        if kept is None or kept.receipt is None or kept.receipt.token != token:
            return None
        return kept if kept.receipt.is_known(self._store.now()) else None

    def _replace(self, kept: Kept, receipt: Receipt) -> None:
        if receipt is not kept.receipt:
            kept.receipt = receipt
            self._store.history.touch(kept)


def _unknown() -> rules.Refusal:
    # The service's words on a receipt that it does not know are not recorded.
    error = "receipt not found; may be invalid or expired"
    return rules.refusal({"receipt": "not found"}, error, NOT_FOUND)
