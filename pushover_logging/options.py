"""The handler's options: where a missing one comes from, and what each may be."""

from __future__ import annotations

import math
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pushover_logging.client import API_URL, TIMEOUT, PushoverClient, checked_url
from pushover_logging.exceptions import ConfigurationError
from pushover_logging.message import Message

OFF = "off"
MESSAGE_OPTIONS = (
    "device", "sound", "url", "url_title", "ttl", "retry", "expire",
    "tags", "callback", "html", "monospace",
)  # fmt: skip
_CONTAINER = re.compile(r"[0-9a-f]{12}|[0-9a-f]{64}")


def credential(name: str, given: str | None) -> str:
    """Return the option ``name`` (token or user): as given, from the environment, or from a file.

    Raises ConfigurationError that names the variables where there is none.
    """
    if given is not None:
        return given
    variable = f"PUSHOVER_{name.upper()}"
    value = os.environ.get(variable)
    if value:
        return value.strip()
    path = os.environ.get(f"{variable}_FILE")
    if not path:
        msg = f"{name}: none was given; pass {name}=..., or set {variable} or {variable}_FILE"
        raise ConfigurationError(msg, option=name)
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        msg = (
            f"{name}: {variable}_FILE names {path!r}, which cannot be read ({type(error).__name__})"
        )
        raise ConfigurationError(msg, option=name) from error


def client(
    token: str | None, user: str | None, api_url: str | None, timeout: object
) -> PushoverClient | None:
    """Return the client that the four options make; None where the token is "off"."""
    if api_url is None:
        api_url = os.environ.get("PUSHOVER_API_URL") or API_URL
    address, limits = checked_url(api_url), _timeout(timeout)
    secret = credential("token", token)
    if secret == OFF:
        return None
    return PushoverClient(secret, credential("user", user), api_url=address, timeout=limits)


def throttle(given: object) -> object:
    """Return the throttle option: as given, ``PUSHOVER_THROTTLE``, or None for the defaults."""
    return given if given is not None else os.environ.get("PUSHOVER_THROTTLE") or None


def host(given: object) -> str | None:
    """Return the host shown in each message; none for a container's hexadecimal name."""
    if given is None:
        given = os.environ.get("PUSHOVER_HOST") or socket.gethostname()
        return None if _CONTAINER.fullmatch(given) else given
    if not isinstance(given, str):
        raise _wrong("host", given, "a text; an empty one shows no host")  # noqa: EM101  a name, not a text
    return given or None


def message_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Message fields that were set, checked. Raises ConfigurationError."""
    fields = {name: value for name, value in given.items() if value is not None}
    priority = 2 if {"retry", "expire"} & fields.keys() else 0
    Message(message="checked here, not at the first alert", priority=priority, **fields)
    return fields


def number(name: str, given: object, *, low: float) -> float:
    """Return a number of ``low`` or more. Raises ConfigurationError."""
    if isinstance(given, (int, float)) and not isinstance(given, bool) and low <= given < math.inf:
        return given
    raise _wrong(name, given, f"a number, {low:g} or more")


def _timeout(given: object) -> tuple[float, float]:
    """Return (connect, read) in seconds, from one number for both or a pair."""
    if given is None:
        return TIMEOUT
    pair = given if isinstance(given, (list, tuple)) else (given, given)
    if len(pair) != 2:  # noqa: PLR2004  a pair
        raise _wrong("timeout", given, "seconds, or a pair of them: connect, read")  # noqa: EM101  a name
    return number("timeout", pair[0], low=0.001), number("timeout", pair[1], low=0.001)


def not_yet(name: str, given: object) -> None:
    """Refuse an option that this version does not have, rather than pass over it in silence."""
    variable = f"PUSHOVER_{name.upper()}"
    if given is not None or os.environ.get(variable):
        msg = f"{name}: this version has none; leave out {name} and {variable}"
        raise ConfigurationError(msg, option=name)


def _wrong(name: str, given: object, takes: str) -> ConfigurationError:
    return ConfigurationError(f"{name}: got {given!r}, takes {takes}", option=name)
