"""Emergencies: the receipts of a store's messages are queried, acknowledged and cancelled here.

The acknowledgement of a message with a ``callback`` is posted to it, if that is on this machine:
https://pushover.net/api/receipts#callback
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import ipaddress
import threading
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

import requests

from pushover_logging.inbox import rules
from pushover_logging.inbox.history import StoredMessage
from pushover_logging.inbox.receipts import EmergencyReceipt
from pushover_logging.inbox.store import Store

CALLBACK_TIMEOUT = 5.0  # seconds
_CALLBACK_FIELDS = (
    "acknowledged",
    "acknowledged_at",
    "acknowledged_by",
    "acknowledged_by_device",
)


class Emergencies:
    """The emergencies in ``store``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def state(self, receipt: str, token: str) -> rules.ApiAnswer:
        """Answer ``GET /1/receipts/RECEIPT.json``."""
        with self._store.changed:
            found = self._find(receipt, token)
            if found is None:
                return _not_found()
            return rules.success(found[1].state(self._store.now()))

    def cancel(self, receipt: str, token: str) -> rules.ApiAnswer:
        """Answer ``POST /1/receipts/RECEIPT/cancel.json``."""
        with self._store.changing():
            found = self._find(receipt, token)
            if found is None:
                return _not_found()
            message, known = found
            self._replace(message, known.cancelled(self._store.now()))
            return rules.success({})

    def cancel_by_tag(self, tag: str, token: str) -> rules.ApiAnswer:
        """Answer ``POST /1/receipts/cancel_by_tag/TAG.json``."""
        with self._store.changing():
            now = self._store.now()
            count = 0
            for message in self._store.history.emergencies():
                receipt = message.receipt
                if receipt and receipt.token == token and tag in receipt.tags:
                    count += receipt.is_active(now)
                    self._replace(message, receipt.cancelled(now))
            return rules.success({"canceled": count})

    def acknowledge(self, receipt: str, by: str, device: str) -> bool:
        """Acknowledge an emergency and call its callback; return False if it is unknown.

        An empty ``by`` or ``device`` means the message's own.
        """
        with self._store.changing():
            message = self._store.history.emergency(receipt)
            if message is None or message.receipt is None:
                return False
            before = message.receipt
            by = by or rules.users_of(message.fields)[0]
            device = device or message.fields.get("device", "") or "phone"
            after = before.acknowledged(self._store.now(), by, device)
            self._replace(message, after)
        if after is not before and is_loopback(after.callback):
            # In a thread, because the program that is called might be slow, or wait for this call.
            threading.Thread(target=self._call_back, args=(after,), daemon=True).start()
        return True

    def _call_back(self, receipt: EmergencyReceipt) -> None:
        state = receipt.state(self._store.now())
        fields = {name: str(state[name]) for name in _CALLBACK_FIELDS}
        if not call_back(receipt.callback, {"receipt": receipt.receipt, **fields}):
            return
        with self._store.changing():
            message = self._store.history.emergency(receipt.receipt)
            if message is not None and message.receipt is not None:
                now = self._store.now()
                self._replace(message, dataclasses.replace(message.receipt, called_back_at=now))

    def _find(self, receipt: str, token: str) -> tuple[StoredMessage, EmergencyReceipt] | None:
        message = self._store.history.emergency(receipt)
        known = message and message.receipt
        if not (message and known and known.token == token and known.is_known(self._store.now())):
            return None
        return message, known

    def _replace(self, message: StoredMessage, receipt: EmergencyReceipt) -> None:
        if receipt is not message.receipt:
            message.receipt = receipt
            self._store.history.touch(message)


def is_loopback(url: str) -> bool:
    """Return True if a URL leads to this machine; ``localhost`` is the only name that does."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return parts.scheme in {"http", "https"} and (
            host == "localhost" or ipaddress.ip_address(host).is_loopback
        )
    except ValueError:
        return False


def call_back(url: str, fields: Mapping[str, str]) -> bool:
    """POST an acknowledgement to a loopback URL; return True if the answer is a 2xx.

    Nothing is sent if the connection leads elsewhere, for example because of the name's entry in
    the hosts file.
    """
    try:
        request = requests.Request("POST", url, data=fields).prepare()
        parts = urlsplit(request.url or "")
        if not is_loopback(parts.geturl()):
            return False
        is_tls = parts.scheme == "https"
        kind = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
        with contextlib.closing(
            kind(parts.hostname or "", parts.port, timeout=CALLBACK_TIMEOUT)
        ) as connection:
            connection.connect()
            if not ipaddress.ip_address(connection.sock.getpeername()[0]).is_loopback:
                return False
            # The body of the answer is not read; only the status matters.
            connection.request("POST", request.path_url, request.body, dict(request.headers))
            return connection.getresponse().status // 100 == 2  # noqa: PLR2004  2xx
    except (requests.RequestException, http.client.HTTPException, OSError, ValueError):
        return False


def _not_found() -> rules.ApiAnswer:
    # The service's error text for an unknown receipt is not known.
    error = "receipt not found; may be invalid or expired"
    return rules.refusal({"receipt": "not found"}, error, HTTPStatus.NOT_FOUND)
