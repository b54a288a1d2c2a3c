"""The rules of the Pushover API as pure functions, so that the inbox answers as the service does.

If an answer of the service was recorded, the body is the same, word for word. If none was, a
comment notes it, and the body has the style of the recorded ones.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

# https://pushover.net/api#messages and #limits: characters are Unicode code points.
MAX_LENGTHS = {"message": 1024, "title": 250, "url": 512, "url_title": 100}
# https://pushover.net/api#identifiers
KEY = re.compile(r"[A-Za-z0-9]{30}")
DEVICE = re.compile(r"[A-Za-z0-9_-]{1,25}")
MAX_USERS = 50
# The example token and user key of https://pushover.net/api: well-formed, and not secret.
EXAMPLE_TOKEN = "azGDORePK8gMaC0QOYAMyEEuzJnyUi"  # noqa: S105
EXAMPLE_USER = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"
# https://pushover.net/api#attachments
MAX_ATTACHMENT_BYTES = 5_242_880
# https://pushover.net/api#priority
PRIORITIES = {"-2": "lowest", "-1": "low", "0": "normal", "1": "high", "2": "emergency"}
EMERGENCY = "2"
MIN_RETRY_SECONDS = 30
MAX_EXPIRE_SECONDS = 10_800

BAD_REQUEST = 400
TOO_MANY_REQUESTS = 429

# More digits than any limit has, so that a longer number is not even parsed.
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")

# The HTTP status and the JSON of the body.
ApiAnswer = tuple[int, dict[str, object]]


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file in a message: its name, MIME type, size in bytes, and content."""

    name: str
    type: str
    size: int
    data: bytes = field(default=b"", repr=False)


def is_key(text: str) -> bool:
    """Return True if a text has the format of a token or of a user or group key."""
    return KEY.fullmatch(text) is not None


def check(
    fields: Mapping[str, str],
    attachment: Attachment | None = None,
    exceeded_limit: int | None = None,
    is_token: Callable[[str], bool] = is_key,
    is_user: Callable[[str], bool] = is_key,
) -> ApiAnswer | None:
    """Return the refusal of a ``POST /1/messages.json``, None if the service accepts it.

    ``attachment`` is the file of a multipart body. ``exceeded_limit`` is the quota if it is used
    up, else None. ``is_token`` and ``is_user`` return True for a valid key. Like the service, it
    reports the first error only.
    """
    return (
        check_token(fields, is_token)
        or _check_quota(exceeded_limit)
        or _check_user(fields, is_user)
        or _check_texts(fields)
        or _check_markup(fields)
        or _check_priority(fields)
        or _check_times(fields)
        or _check_device(fields)
        or _check_attachment(fields, attachment)
    )


def check_token(fields: Mapping[str, str], is_token: Callable[[str], bool]) -> ApiAnswer | None:
    """Return the refusal of an invalid application token, None for a valid one."""
    if is_token(fields.get("token", "")):
        return None
    error = "application token is invalid, see https://pushover.net/api"
    return refusal({"token": "invalid"}, error)


def environ(url: str) -> dict[str, str]:
    """Return the environment variables that make a program use the inbox at ``url``."""
    return {
        "PUSHOVER_API_URL": url,
        "PUSHOVER_TOKEN": EXAMPLE_TOKEN,
        "PUSHOVER_USER": EXAMPLE_USER,
    }


def users_of(fields: Mapping[str, str]) -> list[str]:
    """Return the user and group keys that a message is sent to."""
    return fields.get("user", "").split(",")


def decoded_size(text: str) -> int | None:
    """Return the size in bytes of a decoded Base64 text, None if it is not Base64."""
    try:
        return len(base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError):
        return None


def compact_json(body: object) -> str:
    """Return JSON without spaces, as the service writes it."""
    return json.dumps(body, separators=(",", ":"))


def next_reset(now: float) -> int:
    """Return the Unix time of the first quota reset after ``now``."""
    # https://pushover.net/api#limits: 00:00 US Central time on the 1st, here always UTC-6.
    # Daylight saving time would need a time zone database, for one hour that does not matter.
    central = dt.timezone(dt.timedelta(hours=-6))
    today = dt.datetime.fromtimestamp(now, central)
    month = today.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return int((month + dt.timedelta(days=32)).replace(day=1).timestamp())


def success(values: Mapping[str, object]) -> ApiAnswer:
    """Return the answer to a successful call, with ``values``."""
    return 200, {"status": 1, **values, "request": str(uuid.uuid4())}


def refusal(problems: Mapping[str, str], error: str, status: int = BAD_REQUEST) -> ApiAnswer:
    """Return the answer to a refused call; ``problems`` are by parameter."""
    return status, {**problems, "errors": [error], "status": 0, "request": str(uuid.uuid4())}


def _check_quota(exceeded_limit: int | None) -> ApiAnswer | None:
    if exceeded_limit is None:
        return None
    error = f"application has exceeded current limit of {exceeded_limit} messages"
    return refusal({"token": "invalid"}, error, TOO_MANY_REQUESTS)


def _check_user(fields: Mapping[str, str], is_user: Callable[[str], bool]) -> ApiAnswer | None:
    users = users_of(fields)
    # The service's answer to more than 50 users is not known; assumed to be the same.
    if all(map(is_user, users)) and len(users) <= MAX_USERS:
        return None
    error = (
        "user identifier is not a valid user, group, or subscribed user key, "
        "see https://pushover.net/api#identifiers"
    )
    return refusal({"user": "invalid"}, error)


def _check_texts(fields: Mapping[str, str]) -> ApiAnswer | None:
    if not fields.get("message", "").strip():
        return refusal({"message": "cannot be blank"}, "message cannot be blank")
    # It is not known whether the service refuses or truncates a text that is too long. Refusing
    # it reveals the client that sends one.
    for name, limit in MAX_LENGTHS.items():
        if len(fields.get(name, "")) > limit:
            problem = f"is too long, must be at most {limit} characters"
            return refusal({name: problem}, f"{name} is too long")
    return None


def _check_markup(fields: Mapping[str, str]) -> ApiAnswer | None:
    if not (_is_on(fields.get("html")) and _is_on(fields.get("monospace"))):
        return None
    problems = {"html": "cannot be set with monospace", "monospace": "cannot be set with html"}
    return refusal(problems, "html and monospace are mutually exclusive")


def _check_priority(fields: Mapping[str, str]) -> ApiAnswer | None:
    priority = fields.get("priority") or "0"
    if priority not in PRIORITIES:
        problem = "is invalid, can only be -2, -1, 0, 1, or 2"
        error = "priority is invalid, see https://pushover.net/api#priority"
        return refusal({"priority": problem}, error)
    return _check_emergency(fields) if priority == EMERGENCY else None


def _check_emergency(fields: Mapping[str, str]) -> ApiAnswer | None:
    # The recorded answer to a message without both names only expire, so expire is checked first.
    for name in ("expire", "retry"):
        if not fields.get(name):
            problem = "must be supplied with priority=2"
            return refusal({name: problem}, f"{name} {problem}")
    retry = _number(fields["retry"])
    if retry is None or retry < MIN_RETRY_SECONDS:
        problem = f"is too small, must be at least {MIN_RETRY_SECONDS} seconds"
        return refusal({"retry": problem}, "retry is invalid")
    expire = _number(fields["expire"])
    # The service's error text for an invalid expire is not known.
    if expire is None or not 0 < expire <= MAX_EXPIRE_SECONDS:
        problem = f"is invalid, must be from 1 to {MAX_EXPIRE_SECONDS} seconds"
        return refusal({"expire": problem}, "expire is invalid")
    return None


def _check_times(fields: Mapping[str, str]) -> ApiAnswer | None:
    # The error text for an invalid timestamp is not known.
    timestamp = _number(fields.get("timestamp") or "0")
    if timestamp is None or timestamp < 0:
        return refusal({"timestamp": "is invalid, must be a Unix time"}, "timestamp is invalid")
    # https://pushover.net/api#ttl: ignored with priority 2. The error text is not known.
    if not fields.get("ttl") or fields.get("priority") == EMERGENCY:
        return None
    ttl = _number(fields["ttl"])
    if ttl is not None and ttl > 0:
        return None
    problem = "is invalid, must be a positive number of seconds"
    return refusal({"ttl": problem}, "ttl is invalid")


def _check_device(fields: Mapping[str, str]) -> ApiAnswer | None:
    # https://pushover.net/api#identifiers: an unknown device means all devices, and with several
    # users the parameter is ignored. The error text for a malformed name is not known.
    device = fields.get("device", "")
    if not device or len(users_of(fields)) > 1:
        return None
    if all(DEVICE.fullmatch(name) for name in device.split(",")):
        return None
    return refusal({"device": "is invalid"}, "device is invalid")


def _check_attachment(fields: Mapping[str, str], attachment: Attachment | None) -> ApiAnswer | None:
    # The service's error text for an invalid attachment is not known.
    size = attachment.size if attachment else 0
    name = "attachment"
    if "attachment_base64" in fields:
        decoded = decoded_size(fields["attachment_base64"])
        name = "attachment_base64"
        if decoded is None:
            return refusal({name: "is not valid Base64"}, f"{name} is invalid")
        size = max(size, decoded)
    if size <= MAX_ATTACHMENT_BYTES:
        return None
    problem = f"is too large, must be at most {MAX_ATTACHMENT_BYTES} bytes"
    return refusal({name: problem}, f"{name} is too large")


def _is_on(value: str | None) -> bool:
    return value == "1"


def _number(value: str) -> int | None:
    return int(value) if _WHOLE_NUMBER.fullmatch(value) else None
