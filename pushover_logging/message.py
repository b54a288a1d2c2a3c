"""`Message` holds the parameters of one ``messages.json`` request, checked at construction."""

from __future__ import annotations

import re
from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass, field, fields
from urllib.parse import urlsplit

from pushover_logging.clock import DURATION, parse_duration
from pushover_logging.exceptions import ConfigurationError, invalid
from pushover_logging.rendering.redaction import describe_secret, redacted

# https://pushover.net/api: lengths in characters (Unicode code points), sizes in bytes.
MESSAGE_LIMIT = 1024
TITLE_LIMIT = 250
URL_LIMIT = 512
URL_TITLE_LIMIT = 100
ATTACHMENT_LIMIT = 5_242_880
USERS_LIMIT = 50
# https://pushover.net/api#priority, in seconds.
RETRY_MINIMUM = 30
EXPIRE_MAXIMUM = 10_800
RETRY_DEFAULT = 60
EXPIRE_DEFAULT = 3600

# By the names that the apps show.
PRIORITIES = {"lowest": -2, "low": -1, "normal": 0, "high": 1, "emergency": 2}
EMERGENCY = PRIORITIES["emergency"]
LOWEST = PRIORITIES["lowest"]

_KEY = re.compile(r"[A-Za-z0-9]{30}")
_DEVICE = re.compile(r"[A-Za-z0-9_-]{1,25}")
TEXT_LIMITS = {
    "message": MESSAGE_LIMIT, "title": TITLE_LIMIT, "url": URL_LIMIT, "url_title": URL_TITLE_LIMIT,
    **dict.fromkeys(("device", "tags", "sound", "attachment_type", "callback"), URL_LIMIT),
}  # fmt: skip
_NUMBERS = (
    ("retry", RETRY_MINIMUM, None), ("expire", 1, EXPIRE_MAXIMUM), ("ttl", 1, None),
    ("timestamp", 0, None),
)  # fmt: skip
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_ON_ONE_LINE = frozenset({"tags", "sound", "attachment_type", "callback"})


def is_key(value: object) -> bool:
    """Return True if ``value`` has the format of a token or of one user or group key."""
    return isinstance(value, str) and _KEY.fullmatch(value) is not None


def are_users(value: object) -> bool:
    """Return True if ``value`` is 1 to 50 user or group keys, joined by commas without spaces."""
    keys = value.split(",") if isinstance(value, str) else []
    return 0 < len(keys) <= USERS_LIMIT and all(map(is_key, keys))


def priority_number(value: object) -> int:
    """Return the number, -2 to 2, of a priority's number or name (``"emergency"``).

    Raises ConfigurationError for anything else.
    """
    if isinstance(value, str):
        value = PRIORITIES.get(value.strip().lower(), value)
    if isinstance(value, int) and not isinstance(value, bool) and LOWEST <= value <= EMERGENCY:
        return value
    raise invalid(redacted(value), "priority", f"-2 to 2 or one of {', '.join(PRIORITIES)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One push, immutable: https://pushover.net/api.

    ``message`` has 1 to 1,024 characters, ``title`` at most 250, ``url`` 512, ``url_title`` 100.
    ``priority`` is -2 to 2 or its name. Only priority 2 uses ``retry`` (seconds between the
    repeats, 30 or more, by default 60), ``expire`` (seconds until the repeats end, at most 10,800,
    by default 3,600), ``tags`` (comma-separated, or a list) and ``callback`` (a URL).
    ``timestamp`` is Unix time, ``ttl`` the seconds until the devices delete the message. ``retry``,
    ``expire`` and ``ttl`` can also be texts like ``1h30m``. ``user`` is the key of a user or group
    other than the client's. ``device`` is one name, several joined by commas, or a list; ``sound``
    is the name of a sound. ``html`` renders simple tags, ``monospace`` uses a fixed-width font; set
    only one of them. ``attachment`` is the bytes of an image, and ``attachment_type`` its MIME
    type; ``attachment_base64`` is the image as Base64 text. ``escalate_to`` is the key of the user
    or group that gets an emergency if nobody acknowledges it; it is not sent to the service. Raises
    ConfigurationError with the name of the invalid field.
    """

    message: str
    title: str | None = None
    priority: int = 0
    user: str | None = field(default=None, repr=False)
    device: str | None = None
    sound: str | None = None
    url: str | None = None
    url_title: str | None = None
    timestamp: int | None = None
    ttl: int | None = None
    retry: int | None = None
    expire: int | None = None
    tags: str | None = None
    callback: str | None = None
    html: bool = False
    monospace: bool = False
    attachment: bytes | None = field(default=None, repr=False)
    attachment_base64: str | None = field(default=None, repr=False)
    attachment_type: str | None = None
    escalate_to: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check every field that is set, and set the defaults of an emergency."""
        if not isinstance(self.message, str) or not self.message.strip():
            raise invalid(redacted(self.message), "message", "a text that is not blank")
        if type(self.priority) is not int or not LOWEST <= self.priority <= EMERGENCY:
            object.__setattr__(self, "priority", priority_number(self.priority))
        for name in ("device", "tags"):
            value = getattr(self, name)
            if isinstance(value, (list, tuple)):
                with suppress(Exception):  # any code of the program; the check refuses the list
                    object.__setattr__(self, name, ",".join(map(str, value)))
        self._check_texts()
        addresses = (self.user, self.device, self.callback, self.escalate_to)
        if any(address is not None for address in addresses):
            self._check_addresses()
        self._check_numbers()
        for name in ("html", "monospace"):
            value = getattr(self, name)
            if value is not False and value is not True:
                raise invalid(redacted(value), name, "True or False")
        if self.html and self.monospace:
            takes = "False if monospace is set: they exclude each other"
            raise invalid(repr(self.html), "html", takes)
        if self.attachment is not None or self.attachment_base64 is not None:
            self._check_attachment()

    def _check_texts(self) -> None:
        for name, limit in TEXT_LIMITS.items():
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, str):
                raise invalid(redacted(value), name, "a text")
            if len(value) > limit:
                size = f"{len(value)} characters"
                raise invalid(size, name, f"at most {limit}")
            if _SURROGATE.search(value):
                takes = "text without lone surrogates, which UTF-8 cannot encode"
                raise invalid(redacted(value), name, takes)
            # The attachment's type is a header, and the others end up in logs and on terminals.
            if name in _ON_ONE_LINE and _CONTROL.search(value):
                raise invalid(redacted(value), name, "text without control characters")

    def _check_addresses(self) -> None:
        if self.user is not None and not are_users(self.user):
            takes = "a key, 30 of A-Z, a-z, 0-9, or up to 50 of them joined by commas"
            raise invalid(describe_secret(self.user), "user", takes)
        if self.escalate_to is not None and not is_key(self.escalate_to):
            takes = "the key of one user or group, 30 of A-Z, a-z, 0-9"
            raise invalid(describe_secret(self.escalate_to), "escalate_to", takes)
        if self.device is not None and not all(map(_DEVICE.fullmatch, self.device.split(","))):
            takes = "names of 1 to 25 of A-Z, a-z, 0-9, _ and -, joined by commas"
            raise invalid(redacted(self.device), "device", takes)
        with suppress(ValueError):  # an invalid host in brackets
            if self.callback is None or urlsplit(self.callback).scheme in {"http", "https"}:
                return
        raise invalid(redacted(self.callback), "callback", "an http or https URL")

    def _check_numbers(self) -> None:
        if self.priority == EMERGENCY:
            for name, default in (("retry", RETRY_DEFAULT), ("expire", EXPIRE_DEFAULT)):
                if getattr(self, name) is None:
                    object.__setattr__(self, name, default)
        for name, low, high in _NUMBERS:
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, str) and name != "timestamp":
                value = self._parse_seconds(name, value)
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            if not is_whole or value < low or (high is not None and value > high):
                takes = f"{low} or more" if high is None else f"{low} to {high}"
                takes = f"{takes} seconds" if is_whole else f"whole seconds, {takes}"
                raise invalid(redacted(value), name, takes)

    def _parse_seconds(self, name: str, text: str) -> int:
        """Set a field to the seconds of a text; return them."""
        try:
            seconds = int(parse_duration(text))
        except ValueError as error:
            raise invalid(redacted(text), name, DURATION) from error
        object.__setattr__(self, name, seconds)
        return seconds

    def _check_attachment(self) -> None:
        if self.attachment is not None:
            if not isinstance(self.attachment, bytes):
                kind = f"a {type(self.attachment).__name__}"
                raise invalid(kind, "attachment", "an image's bytes")
            if self.attachment_base64 is not None:
                size = f"{len(self.attachment)} bytes"
                takes = "nothing if attachment_base64 is set: a message has one image"
                raise invalid(size, "attachment", takes)
            _check_size("attachment", len(self.attachment))
        if self.attachment_base64 is not None:
            try:
                data = b64decode(self.attachment_base64, validate=True)
            except (TypeError, ValueError) as error:
                msg = "attachment_base64: takes an image as Base64 text"
                raise ConfigurationError(msg, option="attachment_base64") from error
            _check_size("attachment_base64", len(data))
            if self.attachment_type is None:
                given = "no attachment_type"
                raise invalid(given, "attachment_base64", "its MIME type as well")


FIELDS = frozenset(each.name for each in fields(Message))


def _check_size(name: str, size: int) -> None:
    if not 0 < size <= ATTACHMENT_LIMIT:
        given = f"{size} bytes"
        raise invalid(given, name, f"1 to {ATTACHMENT_LIMIT} bytes")
