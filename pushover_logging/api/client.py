"""PushoverClient on requests: one call, one answer, failures as exceptions of ours."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import partial
from hashlib import blake2b
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from pushover_logging.api.quota import NUMBER_LIMIT, Quota, checked_quota, quota_of, wait_of
from pushover_logging.api.transport import HttpResponse, Transport
from pushover_logging.exceptions import (
    ConfigurationError,
    QuotaError,
    RejectedError,
    TemporaryError,
)
from pushover_logging.message import Message, are_users, is_key
from pushover_logging.rendering.redaction import (
    HIDDEN,
    describe_secret,
    hide_keys,
    redacted,
    without,
)
from pushover_logging.rendering.text import clean, truncate

_NOT_PARAMETERS = {"status", "request", "errors", "receipt"}


class Sent(NamedTuple):
    """An accepted Message: the service's id of the request, and an emergency's receipt."""

    request: str
    receipt: str | None = None


class Validation(NamedTuple):
    """A user or group key that the service knows.

    ``group`` tells which of the two it is, ``devices`` are the names of a user's active devices
    (of a group the service tells none), ``licenses`` the platforms that the user has paid for.
    """

    group: bool
    devices: tuple[str, ...] = ()
    licenses: tuple[str, ...] = ()


class Receipt(NamedTuple):
    """How an emergency stands: https://pushover.net/api/receipts.

    Times are Unix times in seconds, None for what has not happened. ``acknowledged`` tells whether
    somebody has, ``acknowledged_at`` when, ``acknowledged_by`` which user key, with the device
    ``acknowledged_by_device``. ``last_delivered_at`` is the last repeat, ``expired`` whether they
    are over, ``expires_at`` when they end by themselves. ``called_back`` and ``called_back_at``
    tell the same of the ``callback``.
    """

    acknowledged: bool
    acknowledged_at: int | None
    acknowledged_by: str | None
    acknowledged_by_device: str | None
    last_delivered_at: int | None
    expired: bool
    expires_at: int | None
    called_back: bool
    called_back_at: int | None

    def __repr__(self) -> str:
        redacted = {**self._asdict(), "acknowledged_by": self.acknowledged_by and HIDDEN}
        return f"Receipt({', '.join(f'{name}={value!r}' for name, value in redacted.items())})"


def read(answer: HttpResponse, secrets: Iterable[str]) -> dict[str, Any]:
    """Return the JSON of an answer that says yes.

    Raises QuotaError, TemporaryError or RejectedError, by https://pushover.net/api#friendly; none
    of them shows one of the ``secrets``.
    """
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        msg = "the quota is used up, or too much was asked at once (429)"
        raise QuotaError(msg, wait=wait_of(answer.headers, time.time()))
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        said = None
    refused = HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
    if not refused and not isinstance(said, dict):
        msg = f"the service answered {answer.status} with something that is not its JSON"
        raise TemporaryError(msg)
    said = said if isinstance(said, dict) else {}
    if answer.status == HTTPStatus.OK and said.get("status") == 1:
        return said
    if not refused and answer.status != HTTPStatus.OK:
        msg = f"the service answered {answer.status}"
        raise TemporaryError(msg)
    raise _rejection(answer.status, said, tuple(secrets))


def sent_of(said: Mapping[str, Any]) -> Sent:
    """Return what ``messages.json`` says."""
    return Sent(str(said.get("request", "")), said.get("receipt"))


def validation_of(said: Mapping[str, Any]) -> Validation:
    """Return what ``users/validate.json`` says."""
    names = (_texts(said.get(name)) for name in ("devices", "licenses"))
    return Validation(bool(said.get("group")), *names)


def limits_of(said: Mapping[str, Any]) -> Quota:
    """Return what ``apps/limits.json`` says. Raises TemporaryError for what are no numbers."""
    found = checked_quota(*(said.get(name) for name in ("limit", "remaining", "reset")))
    if found is None:
        msg = "the service told no limits"
        raise TemporaryError(msg)
    return found


def sounds_of(said: Mapping[str, Any]) -> dict[str, str]:
    """Return what ``sounds.json`` says: names with descriptions."""
    sounds = said.get("sounds")
    found = sounds.items() if isinstance(sounds, dict) else ()
    return {str(name): str(description) for name, description in found}


def receipt_of(said: Mapping[str, Any]) -> Receipt:
    """Return what ``receipts/RECEIPT.json`` says."""
    return Receipt(
        acknowledged=bool(said.get("acknowledged")),
        acknowledged_at=_moment(said.get("acknowledged_at")),
        acknowledged_by=_text(said.get("acknowledged_by")),
        acknowledged_by_device=_text(said.get("acknowledged_by_device")),
        last_delivered_at=_moment(said.get("last_delivered_at")),
        expired=bool(said.get("expired")),
        expires_at=_moment(said.get("expires_at")),
        called_back=bool(said.get("called_back")),
        called_back_at=_moment(said.get("called_back_at")),
    )


def cancelled_of(said: Mapping[str, Any]) -> int:
    """Return how many emergencies ``cancel_by_tag`` stopped, as far as the service tells."""
    return _moment(said.get("canceled")) or 0


def _rejection(status: int, said: Mapping[str, Any], secrets: tuple[str, ...]) -> RejectedError:
    def clear(text: str, limit: int) -> str:
        line = " ".join(clean(text).split())
        return truncate(hide_keys(without(line, secrets)), limit)

    errors = tuple(clear(one, 200) for one in _texts(said.get("errors"))[:10])
    named = frozenset(clear(str(key), 40) for key in said.keys() - _NOT_PARAMETERS)
    text = "; ".join(errors) or ", ".join(sorted(named)) or "no reason given"
    return RejectedError(
        f"the service refused it ({status}): {text}",
        parameters=named,
        errors=errors,
        status=status,
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _text(value: object) -> str | None:
    return str(value) if value else None


def _moment(value: object) -> int | None:
    return int(value) if isinstance(value, (int, float)) and 0 < value <= NUMBER_LIMIT else None


API_URL = "https://api.pushover.net"
TIMEOUT = (5.0, 10.0)
LONGEST = 1_000_000_000  # seconds: no timer of Python's takes much more

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def checked_url(api_url: object) -> str:
    """Return ``api_url`` without a closing slash; http is for loopback only.

    Raises ConfigurationError.
    """
    text = api_url.strip() if isinstance(api_url, str) else ""
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        safe = parts.port != 0
    except ValueError:  # of a port, or of a host in brackets, that is none
        parts, host, safe = urlsplit(""), "", False
    safe = safe and (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK))
    if not safe or not host or parts.username or set("?#") & set(text):
        place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"  # without a password
        given = redacted(place if host else api_url)
        msg = f"api_url: got {given}, takes an https URL, or an http one on loopback"
        raise ConfigurationError(msg, option="api_url")
    return text.rstrip("/")


def checked_timeout(given: object) -> tuple[float, float]:
    """Return (connect, read) in seconds, from a pair, a number for both, or None for `TIMEOUT`.

    Raises ConfigurationError.
    """
    pair = given if isinstance(given, (list, tuple)) else (given, given)
    numbers = [one for one in pair if isinstance(one, (int, float)) and not isinstance(one, bool)]
    if given is None:
        return TIMEOUT
    if len(numbers) == len(pair) == 2 and all(0.001 <= one <= LONGEST for one in numbers):  # noqa: PLR2004  a pair
        return numbers[0], numbers[1]
    msg = (
        f"timeout: got {redacted(given)}, takes seconds, 0.001 to {LONGEST:,}, "
        "or a pair of them: connect, read"
    )
    raise ConfigurationError(msg, option="timeout")


def checked_credentials(token: object, user: object) -> tuple[str, str]:
    """Return both where they have the service's shape. Raises ConfigurationError, masked."""
    if not is_key(token):
        msg = (
            f"token: got {describe_secret(token)}, takes an application token, 30 of A-Z, a-z, 0-9"
        )
        raise ConfigurationError(msg, option="token")
    if not are_users(user):
        msg = (
            f"user: got {describe_secret(user)}, takes a user or group key, 30 of A-Z, a-z, 0-9, "
            "or up to 50 of them joined by commas"
        )
        raise ConfigurationError(msg, option="user")
    return str(token), str(user)


class PushoverClient:
    """The service, called by one thread at a time over one kept-alive connection.

    ``token`` is the application's, ``user`` the user or group key that Messages go to unless they
    name another, or several joined by commas. ``timeout`` is (connect, read) in seconds, or one
    number for both;
    ``api_url`` is where the service is. ``encryption_key``, 64 hexadecimal digits, encrypts
    message, title and url end to end. ``quota`` is the account's as the last answer told it, None
    before. ``application`` and ``account`` are hashes of the token, and of token, user and
    encryption key. Makes no connection before the first call. Raises ConfigurationError for what
    cannot work.

    Each call raises TemporaryError, QuotaError or RejectedError, by
    https://pushover.net/api#friendly; none of them shows the token or the user.
    """

    def __init__(
        self,
        token: str,
        user: str,
        *,
        api_url: str = API_URL,
        timeout: float | tuple[float, float] = TIMEOUT,
        encryption_key: str | None = None,
    ) -> None:
        self._token, self._user = checked_credentials(token, user)
        self.api_url: str = checked_url(api_url)
        self._wire = Transport(self.api_url, checked_timeout(timeout))
        self.quota: Quota | None = None
        self.application: str = _hash(self._token)
        # With the key: no process that has none may find, in a shared outbox, what is to be sent
        # encrypted, and send it in the clear.
        self.account: str = _hash(self._token, self._user, (encryption_key or "").strip().lower())
        self._seal: Callable[[dict[str, Any]], dict[str, Any]] = dict
        if encryption_key is not None:
            # Only here: it needs a package that an extra brings.
            from pushover_logging.api.encryption import encrypt_parameters, key_of  # noqa: PLC0415

            self._seal = partial(encrypt_parameters, key=key_of(encryption_key))

    def __repr__(self) -> str:
        """Show where it sends to, and no secret."""
        return f"{type(self).__name__}(api_url={self.api_url!r})"

    def send(self, message: Message) -> Sent:
        """Send ``message`` and return the service's word for it, with an emergency's receipt.

        One request, tried once. Raises RejectedError for what must not be sent again unchanged,
        QuotaError with the seconds until more may be sent, TemporaryError for what may pass.
        """
        data = {"token": self._token, "user": self._user, **self._seal(_parameters(message))}
        upload = message.attachment
        kind = message.attachment_type or "application/octet-stream"
        files = None if upload is None else {"attachment": ("image", upload, kind)}
        return sent_of(self._read(self._wire.post("/1/messages.json", data, files)))

    def validate(self, user: str | None = None, device: str | None = None) -> Validation:
        """Ask whether the service knows a user or group key, by default the client's own.

        ``device`` is a device of that user that must be known as well. Meant for set-up, not for
        each message: https://pushover.net/api#validate. RejectedError, where it is not known, names
        ``user`` or ``device`` in its ``parameters``. ConfigurationError for what is no one key.
        """
        key = self._user if user is None else user
        if not is_key(key):
            msg = f"user: got {describe_secret(key)}, takes one user or group key, 30 of A-Z, a-z, 0-9"
            raise ConfigurationError(msg, option="user")
        data = {"user": key} if device is None else {"user": key, "device": device}
        return validation_of(self._post("/1/users/validate.json", data))

    def limits(self) -> Quota:
        """Return the account's messages a month, what is left of them, and when that is renewed.

        https://pushover.net/api#limits. Keeps it as `quota`.
        """
        self.quota = limits_of(self._get("/1/apps/limits.json"))
        return self.quota

    def sounds(self) -> dict[str, str]:
        """Return the names of all sounds, the account's own included, with their descriptions."""
        return sounds_of(self._get("/1/sounds.json"))

    def receipt(self, receipt: str) -> Receipt:
        """Return how the emergency stands that `send` gave this ``receipt`` for.

        The service knows it for a week, and wants to be asked no more often than every 5 s:
        https://pushover.net/api/receipts. Raises RejectedError for one that it does not know.
        """
        return receipt_of(self._get(f"/1/receipts/{quote(receipt, safe='')}.json"))

    def cancel(self, receipt: str) -> None:
        """Stop the repeats of one emergency, by the ``receipt`` that `send` returned for it.

        Raises RejectedError for one that is not known.
        """
        self._post(f"/1/receipts/{quote(receipt, safe='')}/cancel.json", {})

    def cancel_by_tag(self, tag: str) -> int:
        """Stop the repeats of all emergencies with this tag; return how many, 0 where not told.

        See https://pushover.net/api/receipts#cancel_by_tag.
        """
        path = f"/1/receipts/cancel_by_tag/{quote(tag, safe='')}.json"
        return cancelled_of(self._post(path, {}))

    def close(self) -> None:
        """Close the connection; a later call opens a new one."""
        self._wire.close()

    def forget(self) -> None:
        """Leave the connection to the parent process, whose it is, after a fork."""
        self._wire.forget()

    def _post(self, path: str, data: dict[str, str]) -> dict[str, Any]:
        return self._read(self._wire.post(path, {"token": self._token, **data}))

    def _get(self, path: str) -> dict[str, Any]:
        return self._read(self._wire.get(path, self._token))

    def _read(self, answer: HttpResponse) -> dict[str, Any]:
        self.quota = quota_of(answer.headers) or self.quota
        return read(answer, (self._token, self._user))


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
