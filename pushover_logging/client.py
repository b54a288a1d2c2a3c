"""PushoverClient on requests: one call, one answer, failures as exceptions of ours."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from hashlib import blake2b
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from pushover_logging import wire
from pushover_logging.exceptions import (
    ConfigurationError,
    QuotaError,
    RejectedError,
    TemporaryError,
)
from pushover_logging.message import Message, are_users, is_key
from pushover_logging.quota import Quota, quota_of, wait_of
from pushover_logging.redaction import masked, without
from pushover_logging.text import cut

API_URL = "https://api.pushover.net"
TIMEOUT = (5.0, 10.0)
UPLOAD_RATE = 64 * 1024  # bytes a second: an upload gets the time that this rate needs

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_NOT_PARAMETERS = {"status", "request", "errors", "receipt"}


@dataclass(frozen=True, slots=True)
class Sent:
    """An accepted Message: the service's id of the request, and an emergency's receipt."""

    request: str
    receipt: str | None = None


def checked_url(api_url: object) -> str:
    """Return ``api_url`` without a closing slash; http is for loopback only.

    Raises ConfigurationError.
    """
    parts = urlsplit(api_url) if isinstance(api_url, str) else urlsplit("")
    host = parts.hostname or ""
    safe = parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
    if not safe or not host or parts.query or parts.username:
        shown = f"{parts.scheme}://{host}" if host else repr(api_url)
        msg = f"api_url: got {shown}, takes an https URL, or an http one on loopback"
        raise ConfigurationError(msg, option="api_url")
    return str(api_url).rstrip("/")


def checked_credentials(token: object, user: object) -> tuple[str, str]:
    """Return both where they have the service's shape. Raises ConfigurationError, masked."""
    if not is_key(token):
        msg = f"token: got {masked(token)}, takes an application token, 30 of A-Z, a-z, 0-9"
        raise ConfigurationError(msg, option="token")
    if not are_users(user):
        msg = (
            f"user: got {masked(user)}, takes a user or group key, 30 of A-Z, a-z, 0-9, "
            "or up to 50 of them joined by commas"
        )
        raise ConfigurationError(msg, option="user")
    return str(token), str(user)


class PushoverClient:
    """The service, called by one thread at a time over one kept-alive connection.

    ``timeout`` is (connect, read) in seconds; ``api_url`` is where the service is. Makes no
    connection before the first call. ``application`` and ``account`` are hashes of the token, and
    of token, user and encryption key. ``encryption_key``, 64 hexadecimal digits, encrypts message,
    title and url end to end. Raises ConfigurationError for what cannot work.
    """

    def __init__(
        self,
        token: str,
        user: str,
        *,
        api_url: str = API_URL,
        timeout: tuple[float, float] = TIMEOUT,
        encryption_key: str | None = None,
    ) -> None:
        self._token, self._user = checked_credentials(token, user)
        self.api_url = checked_url(api_url)
        self._timeout = timeout
        self._session: requests.Session | None = None
        self.quota: Quota | None = None
        self.application = _hash(self._token)
        # With the key: no process that has none may find, in a shared outbox, what is to be sent
        # encrypted, and send it in the clear.
        self.account = _hash(self._token, self._user, (encryption_key or "").strip().lower())
        self._seal: Callable[[dict[str, Any]], dict[str, Any]] = dict
        if encryption_key is not None:
            # Only here: it needs a package that an extra brings.
            from pushover_logging.encryption import key_of, sealed  # noqa: PLC0415

            self._seal = partial(sealed, key=key_of(encryption_key))

    def __repr__(self) -> str:
        """Show where it sends to, and no secret."""
        return f"{type(self).__name__}(api_url={self.api_url!r})"

    def send(self, message: Message) -> Sent:
        """Send one Message and return the service's word for it.

        Raises TemporaryError, QuotaError or RejectedError, by
        https://pushover.net/api#friendly; nothing of them shows the token or the user.
        """
        data = {"token": self._token, "user": self._user, **self._seal(_parameters(message))}
        upload = message.attachment
        kind = message.attachment_type or "application/octet-stream"
        files = None if upload is None else {"attachment": ("image", upload, kind)}
        status, headers, body = self._post("/1/messages.json", data, files)
        self.quota = quota_of(headers) or self.quota
        if status == requests.codes.too_many_requests:
            msg = "the quota is used up, or too much was sent at once (429)"
            raise QuotaError(msg, wait=wait_of(headers, time.time()))
        answer = self._answer(status, body)
        return Sent(str(answer.get("request", "")), answer.get("receipt"))

    def cancel(self, tag: str) -> None:
        """Stop the repeats of the emergencies with this tag; those that are not there are no fault.

        See https://pushover.net/api/receipts#cancel_by_tag. Raises TemporaryError or QuotaError.
        """
        status, headers, _ = self._post(
            f"/1/receipts/cancel_by_tag/{quote(tag, safe='')}.json", {"token": self._token}, None
        )
        if status == requests.codes.too_many_requests:
            msg = "too much was asked at once (429)"
            raise QuotaError(msg, wait=wait_of(headers, time.time()))
        if status >= requests.codes.server_error:
            msg = f"the service answered {status}"
            raise TemporaryError(msg)

    def close(self) -> None:
        """Close the connection; a later call opens a new one."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def forget(self) -> None:
        """Leave the connection to the parent process, whose it is, after a fork."""
        self._session = None

    def _post(
        self, path: str, data: Mapping[str, Any], files: Mapping[str, Any] | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        if self._session is None:
            self._session = requests.Session()
        size = len(files["attachment"][1]) if files else len(data.get("attachment_base64", ""))
        connect, read = (limit + size / UPLOAD_RATE for limit in self._timeout)
        try:
            response = self._session.post(
                self.api_url + path,
                data=data,
                files=files,
                timeout=(connect, read),
                allow_redirects=False,
                stream=True,
            )
            with response:
                return response.status_code, response.headers, wire.read(response, self._timeout[1])
        except (requests.RequestException, HTTPError, OSError) as error:
            if isinstance(error, requests.RequestException):
                error.request = None  # its body holds the token
            timed_out = isinstance(error, (requests.Timeout, ReadTimeoutError, TimeoutError))
            msg = f"no answer from {self.api_url}: {type(error).__name__}"
            raise TemporaryError(
                msg, timed_out=timed_out, may_have_arrived=not wire.is_unconnected(error)
            ) from error

    def _answer(self, status: int, body: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        refused = requests.codes.bad_request <= status < requests.codes.server_error
        if not isinstance(answer, dict):
            answer = {}
            if not refused:
                msg = f"the service answered {status} with something that is not its JSON"
                raise TemporaryError(msg)
        if status == requests.codes.ok and answer.get("status") == 1:
            return answer
        if not refused and status != requests.codes.ok:
            msg = f"the service answered {status}"
            raise TemporaryError(msg)
        raise self._rejection(status, answer)

    def _rejection(self, status: int, answer: Mapping[str, Any]) -> RejectedError:
        given = answer.get("errors")
        sentences = given if isinstance(given, list) else []
        secrets = (self._token, self._user)
        errors = tuple(cut(without(str(one), secrets), 200) for one in sentences[:10])
        named = frozenset(
            cut(without(str(key), secrets), 40) for key in answer.keys() - _NOT_PARAMETERS
        )
        text = "; ".join(errors) or ", ".join(sorted(named)) or "no reason given"
        return RejectedError(
            f"the service refused it ({status}): {text}",
            parameters=named,
            errors=errors,
            status=status,
        )


def _hash(*secrets: str) -> str:
    """Return a name for what must not be named."""
    return blake2b("".join(secrets).encode(), digest_size=8, person=b"pushover").hexdigest()


def _parameters(message: Message) -> dict[str, Any]:
    values = {one.name: getattr(message, one.name) for one in fields(message)}
    del values["attachment"]
    if message.attachment is not None:
        del values["attachment_type"]
    return {
        name: int(value) if isinstance(value, bool) else value
        for name, value in values.items()
        if value is not None and value is not False
    }
