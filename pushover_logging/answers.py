"""What the service says, as values: each call's result, typed, and a refusal as our exception."""

import json
import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from pushover_logging.exceptions import QuotaError, RejectedError, TemporaryError
from pushover_logging.quota import NUMBER_LIMIT, Quota, checked_quota, wait_of
from pushover_logging.redaction import HIDDEN, keyless, without
from pushover_logging.text import clean, cut
from pushover_logging.wire import Answer

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
        shown = {**self._asdict(), "acknowledged_by": self.acknowledged_by and HIDDEN}
        return f"Receipt({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def read(answer: Answer, secrets: Iterable[str]) -> dict[str, Any]:
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
        return cut(keyless(without(line, secrets)), limit)

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
