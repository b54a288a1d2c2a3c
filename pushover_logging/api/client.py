"""PushoverClient: one method per API call; every failure is raised as an error of this package."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from functools import partial, wraps
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar
from urllib.parse import quote, urlsplit

from pushover_logging.api.quota import MAX_NUMBER, Quota, checked_quota, quota_of
from pushover_logging.exceptions import QuotaError, RejectedError, TemporaryError, invalid
from pushover_logging.message import Message, are_users, is_key
from pushover_logging.rendering.redaction import (
    HIDDEN,
    describe_secret,
    hide_keys,
    redacted,
    without,
)
from pushover_logging.rendering.text import clean, truncate

if TYPE_CHECKING:
    from pushover_logging.api.transport import HttpResponse

API_URL = "https://api.pushover.net"
REFUSED = "the service refused the request"  # how the text of a RejectedError starts
TIMEOUT = (5.0, 10.0)
MAX_SECONDS = 1_000_000_000  # Python's timers accept little more

P = ParamSpec("P")
T = TypeVar("T")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_ENVELOPE = {"status", "request", "errors", "receipt"}  # keys of an answer that are no parameters


class Sent(NamedTuple):
    """An accepted Message: the API's request id, and the receipt of an emergency."""

    request: str
    receipt: str | None = None


class Validation(NamedTuple):
    """A valid user or group key.

    ``group`` is True for a group. ``devices`` are the names of a user's active devices (the API
    returns none for a group), ``licenses`` the platforms for which the user has a license.
    """

    group: bool
    devices: tuple[str, ...] = ()
    licenses: tuple[str, ...] = ()


class Receipt(NamedTuple):
    """The state of an emergency: https://pushover.net/api/receipts.

    Times are Unix times in seconds; None means that it has not happened. ``acknowledged`` is True
    after the acknowledgement: ``acknowledged_at`` is its time, ``acknowledged_by`` the user key,
    ``acknowledged_by_device`` the device. ``last_delivered_at`` is the time of the last
    repeat. ``expired`` is True if the repeats have ended, ``expires_at`` is when they end
    unless acknowledged. ``called_back`` and ``called_back_at`` refer to the ``callback``.
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
        values = {**self._asdict(), "acknowledged_by": self.acknowledged_by and HIDDEN}
        return f"Receipt({', '.join(f'{name}={value!r}' for name, value in values.items())})"


def _without_locals(method: Callable[P, T]) -> Callable[P, T]:
    """Return ``method`` with failures whose frames have no local variables.

    Error reports contain those variables, and here they hold token, user and the whole request.
    """

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        handled = sys.exception()
        try:
            return method(*args, **kwargs)
        except BaseException as error:
            del args, kwargs
            _clear_locals(error, handled)
            raise

    return call


def _clear_locals(error: BaseException, handled: BaseException | None) -> None:
    """Clear the frames of ``error`` and of what led to it, up to what was ``handled`` before."""
    pending, seen = [error], {id(handled)}
    while pending:
        current = pending.pop()
        if id(current) not in seen:
            seen.add(id(current))
            traceback.clear_frames(current.__traceback__)
            pending += filter(None, (current.__cause__, current.__context__))


class PushoverClient:
    """A client of the Pushover API over one kept-alive connection, for one thread at a time.

    ``token`` is the application's token. ``user`` is a user or group key, or several keys joined by
    commas: they get each Message that has no ``user``. ``timeout`` is (connect, read) in seconds,
    or one number for both. ``api_url`` is the base address of the API. ``encryption_key``,
    64 hexadecimal digits, encrypts message, title and url end to end. Raises ConfigurationError if
    an argument is invalid. No connection is made before the first call.

    ``quota`` is the account's quota from the last answer, None before the first. ``application`` is
    a hash of the token, ``account`` a hash of token, user and encryption key.

    Each call raises TemporaryError, QuotaError or RejectedError, as described in
    https://pushover.net/api#friendly; none of them contains the token or the user key.
    """

    @_without_locals
    def __init__(
        self,
        token: str,
        user: str,
        *,
        api_url: str = API_URL,
        timeout: float | tuple[float, float] = TIMEOUT,
        encryption_key: str | None = None,
    ) -> None:
        characters = "30 of A-Z, a-z, 0-9"
        if not is_key(token):
            raise invalid(describe_secret(token), "token", f"an application token, {characters}")
        if not are_users(user):
            takes = f"a user or group key, {characters}, or up to 50 of them joined by commas"
            raise invalid(describe_secret(user), "user", takes)
        self._token, self._user = str(token), str(user)
        self.api_url: str = checked_url(api_url)
        self.timeout: tuple[float, float] = checked_timeout(timeout)
        # Imported here because it imports requests: on the thread that configures, never on the
        # sender's, where a fork would interrupt it.
        from pushover_logging.api.transport import Transport  # noqa: PLC0415

        self._transport = Transport(self.api_url, self.timeout)
        self.quota: Quota | None = None
        self.application: str = _hash(self._token)
        # The key is part of it, so that a process without the key does not find Messages in a
        # shared outbox that are meant to be encrypted, and send them in the clear.
        self.account: str = _hash(self._token, self._user, (encryption_key or "").strip().lower())
        self._encrypt: Callable[[dict[str, Any]], dict[str, Any]] = dict
        if encryption_key is not None:
            # Imported here because it needs the package of an extra.
            from pushover_logging.api.encryption import encrypt_parameters, parse_key  # noqa: PLC0415

            self._encrypt = partial(encrypt_parameters, key=parse_key(encryption_key))

    def __repr__(self) -> str:
        """Return the API's address; no secret."""
        api_url = getattr(self, "api_url", None)  # its constructor can fail before
        return f"{type(self).__name__}(api_url={api_url!r})"

    @_without_locals
    def send(self, message: Message, *, within: float | None = None) -> Sent:
        """Send ``message`` with one request, which is not retried.

        ``within`` is the seconds after which the request ends, even if ``timeout`` is longer.

        Raises RejectedError if the same Message must not be sent again, QuotaError with the seconds
        until sending is allowed again, and TemporaryError if a later try can succeed.
        """
        data = {"user": self._user, **self._encrypt(_parameters(message))}
        kind = message.attachment_type or "application/octet-stream"
        upload = message.attachment
        files = None if upload is None else {"attachment": ("image", upload, kind)}
        answer = self._post("/1/messages.json", data, files, within)
        return Sent(str(answer.get("request", "")), answer.get("receipt"))

    @_without_locals
    def validate(self, user: str | None = None, device: str | None = None) -> Validation:
        """Return what the API knows of a user or group key.

        ``user`` is the client's own by default, ``device`` a device that the user must have. Use
        this at set-up, not for each message: https://pushover.net/api#validate. Raises
        RejectedError with ``user`` or ``device`` in its ``parameters`` if the API does not know it,
        and ConfigurationError if ``user`` is not one well-formed key.
        """
        key = self._user if user is None else user
        if not is_key(key):
            takes = "one user or group key, 30 of A-Z, a-z, 0-9"
            raise invalid(describe_secret(key), "user", takes)
        data = {"user": key} if device is None else {"user": key, "device": device}
        answer = self._post("/1/users/validate.json", data)
        names = (_texts(answer.get(name)) for name in ("devices", "licenses"))
        return Validation(bool(answer.get("group")), *names)

    @_without_locals
    def limits(self) -> Quota:
        """Return the account's messages a month, how many remain, and when they are reset.

        The result is also kept as `quota`. See https://pushover.net/api#limits.
        """
        answer = self._get("/1/apps/limits.json")
        quota = checked_quota(*(answer.get(name) for name in ("limit", "remaining", "reset")))
        if quota is None:
            msg = "the answer of the service has no limits"
            raise TemporaryError(msg)
        self.quota = quota
        return quota

    @_without_locals
    def sounds(self) -> dict[str, str]:
        """Return the names of all sounds with their descriptions, the account's own included."""
        sounds = self._get("/1/sounds.json").get("sounds")
        found = sounds.items() if isinstance(sounds, dict) else ()
        return {str(name): str(description) for name, description in found}

    @_without_locals
    def receipt(self, receipt: str) -> Receipt:
        """Return the state of the emergency for which `send` returned this ``receipt``.

        The API keeps it for a week and allows one request every 5 s:
        https://pushover.net/api/receipts. Raises RejectedError if the receipt is unknown.
        """
        answer = self._get(f"/1/receipts/{quote(receipt, safe='')}.json")
        return Receipt(
            acknowledged=bool(answer.get("acknowledged")),
            acknowledged_at=_whole(answer.get("acknowledged_at")),
            acknowledged_by=_text(answer.get("acknowledged_by")),
            acknowledged_by_device=_text(answer.get("acknowledged_by_device")),
            last_delivered_at=_whole(answer.get("last_delivered_at")),
            expired=bool(answer.get("expired")),
            expires_at=_whole(answer.get("expires_at")),
            called_back=bool(answer.get("called_back")),
            called_back_at=_whole(answer.get("called_back_at")),
        )

    @_without_locals
    def cancel(self, receipt: str) -> None:
        """Stop the repeats of the emergency for which `send` returned this ``receipt``.

        Raises RejectedError if the receipt is unknown.
        """
        self._post(f"/1/receipts/{quote(receipt, safe='')}/cancel.json", {})

    @_without_locals
    def cancel_by_tag(self, tag: str) -> int:
        """Stop the repeats of all emergencies with this tag.

        Returns how many were stopped, 0 if the API does not report it:
        https://pushover.net/api/receipts#cancel_by_tag.
        """
        path = f"/1/receipts/cancel_by_tag/{quote(tag, safe='')}.json"
        return _whole(self._post(path, {}).get("canceled")) or 0

    def close(self) -> None:
        """Close the connection; a later call opens a new one."""
        self._transport.close()

    def _post(
        self,
        path: str,
        data: Mapping[str, Any],
        files: Any = None,  # noqa: ANN401  requests' own
        within: float | None = None,
    ) -> dict[str, Any]:
        answer = self._transport.post(path, {"token": self._token, **data}, files, within)
        return self._read(answer)

    def _get(self, path: str) -> dict[str, Any]:
        return self._read(self._transport.get(path, self._token))

    def _read(self, response: HttpResponse) -> dict[str, Any]:
        """Return the JSON object of a successful answer, and keep the quota of its headers."""
        self.quota = quota_of(response.headers) or self.quota
        if response.status == HTTPStatus.TOO_MANY_REQUESTS:
            msg = "the quota is used up, or there were too many requests at once (429)"
            raise QuotaError(msg, wait=response.retry_delay(time.time()))
        answer: dict[str, Any] = {}
        with suppress(ValueError, RecursionError):
            found = json.loads(response.body)
            answer = found if isinstance(found, dict) else {}
        if response.status == HTTPStatus.OK and answer.get("status") == 1:
            return answer
        is_final = response.status == HTTPStatus.OK or (
            HTTPStatus.BAD_REQUEST <= response.status < HTTPStatus.INTERNAL_SERVER_ERROR
        )
        # Proxies and portals refuse requests too, but not in these words.
        if is_final and answer.get("status") == 0 and _texts(answer.get("errors")):
            raise self._rejection(response.status, answer)
        why = "" if "status" in answer else " with a body that is not its JSON"
        msg = f"the service answered {response.status}{why}"
        raise TemporaryError(msg, status=response.status)

    def _rejection(self, status: int, answer: Mapping[str, Any]) -> RejectedError:
        def safe(text: str, limit: int) -> str:
            line = " ".join(clean(text).split())
            return truncate(hide_keys(without(line, (self._token, self._user))), limit)

        errors = tuple(safe(error, 200) for error in _texts(answer.get("errors"))[:10])
        parameters = frozenset(safe(str(key), 40) for key in answer.keys() - _ENVELOPE)
        reason = "; ".join(errors) or ", ".join(sorted(parameters)) or "no reason given"
        text = f"{REFUSED} ({status}): {reason}"
        return RejectedError(text, parameters=parameters, errors=errors, status=status)


def checked_url(api_url: object) -> str:
    """Return ``api_url`` without a trailing slash; http is allowed for loopback addresses only.

    Raises ConfigurationError.
    """
    text = api_url.strip() if isinstance(api_url, str) else ""
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        safe = parts.port != 0
    except ValueError:  # an invalid port, or an invalid host in brackets
        parts, host, safe = urlsplit(""), "", False
    safe = safe and (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK))
    if not safe or not host or parts.username or set("?#") & set(text):
        address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"  # without a password
        given = redacted(address if host else api_url)
        raise invalid(given, "api_url", "an https URL, or an http one on loopback")
    return text.rstrip("/")


def checked_timeout(given: object) -> tuple[float, float]:
    """Return (connect, read) in seconds, from a pair, a number for both, or None for `TIMEOUT`.

    Raises ConfigurationError.
    """
    if given is None:
        return TIMEOUT
    pair = given if isinstance(given, (list, tuple)) else (given, given)
    numbers = [each for each in pair if isinstance(each, (int, float)) and each is not True]
    if len(numbers) == len(pair) == 2 and all(0.001 <= each <= MAX_SECONDS for each in numbers):  # noqa: PLR2004  a pair
        return numbers[0], numbers[1]
    takes = f"seconds, 0.001 to {MAX_SECONDS:,}, or a pair of them: connect, read"
    raise invalid(redacted(given), "timeout", takes)


def _hash(*secrets: str) -> str:
    """Return a stable name for an application or account that reveals no secret."""
    from hashlib import blake2b  # noqa: PLC0415  it loads OpenSSL

    return blake2b("".join(secrets).encode(), digest_size=8, person=b"pushover").hexdigest()


def _parameters(message: Message) -> dict[str, Any]:
    values = {field.name: getattr(message, field.name) for field in fields(message)}
    del values["attachment"], values["escalate_to"]
    if message.attachment is not None:
        del values["attachment_type"]
    return {
        name: int(value) if isinstance(value, bool) else value
        for name, value in values.items()
        if value is not None and value is not False
    }


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _text(value: object) -> str | None:
    return str(value) if value else None


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, (int, float)) and 0 < value <= MAX_NUMBER else None
