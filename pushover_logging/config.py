"""Configuration: options are checked, and missing ones read from the environment or from files.

The handler and the command call one function for each option. Each raises ConfigurationError with
the option's name, the value that it got (secrets masked) and the values that it takes.
"""

from __future__ import annotations

import math
import os
import re
import stat
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from pushover_logging.api.client import (
    API_URL,
    MAX_SECONDS,
    PushoverClient,
    checked_timeout,
    checked_url,
)
from pushover_logging.clock import DURATION, parse_duration
from pushover_logging.dictconfig import plain
from pushover_logging.exceptions import ConfigurationError, invalid
from pushover_logging.levels import level_number
from pushover_logging.message import Message, is_key
from pushover_logging.rendering.formatter import PushoverFormatter
from pushover_logging.rendering.link import COMMIT_VARIABLES, SourceLink
from pushover_logging.rendering.redaction import Redaction, describe_secret, redacted
from pushover_logging.throttle.mutes import MAX_MUTE

if TYPE_CHECKING:
    from pushover_logging.throttle.rules import Rules

OFF = "off"
UNSET = "not set"  # the token of `install` with ``optional`` and no keys
MESSAGE_OPTIONS = (
    "device", "sound", "url", "url_title", "ttl", "retry", "expire",
    "tags", "callback", "html", "monospace",
)  # fmt: skip
_THROTTLE = {"windows", "group_by", "store", "summary_at_exit", "forget_after"}
_MAX_MUTE_NAME = 1000  # characters
_CONTAINER = re.compile(r"[0-9a-f]{12}|[0-9a-f]{64}")


def credential(name: str, given: str | None) -> str:
    """Return the option ``name`` (token or user) as given, from the environment, or from a file."""
    if given is not None:
        return given
    value = _secret(name)
    if value is None:
        variable = f"PUSHOVER_{name.upper()}"
        msg = f"{name}: none was given; set {variable} or {variable}_FILE; in code, pass {name}=..."
        raise ConfigurationError(msg, option=name)
    return OFF if value.lower() == OFF else value


def _secret(name: str) -> str | None:
    """Return a secret from the environment or from the file that it names; None without either."""
    variable = f"PUSHOVER_{name.upper()}"
    value = os.environ.get(variable, "").strip()
    path = os.environ.get(f"{variable}_FILE")
    if value or not path:
        return value or None
    try:
        return Path(path).read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeError) as error:
        why = type(error).__name__
        msg = f"{name}: {variable}_FILE names {redacted(path)}, which cannot be read ({why})"
        raise ConfigurationError(msg, option=name) from error


class Credentials(NamedTuple):
    """The secrets of one handler, read once; ``key`` is the encryption key, if any."""

    token: str
    user: str
    key: str | None = None

    def __repr__(self) -> str:
        return "Credentials(***)"

    def secrets(self) -> list[str]:
        """Return what no text may show."""
        users = self.user.split(",") if isinstance(self.user, str) else []
        keys = [self.key, self.key.upper()] if self.key else []
        return [*filter(is_key, (self.token, *users)), *keys]


def credentials(
    token: str | None = None, user: str | None = None, key: object = None
) -> Credentials | None:
    """Return token, user and encryption key, checked; None if the token is "off"."""
    if lacks_credentials(token, user):
        msg = (
            "token and user: neither was given; set PUSHOVER_TOKEN and PUSHOVER_USER, or "
            "PUSHOVER_TOKEN_FILE and PUSHOVER_USER_FILE; in code, pass token=... and user=..."
        )
        raise ConfigurationError(msg)
    found = credential("token", token)
    key = encryption_key(key)
    return None if found in (OFF, UNSET) else Credentials(found, credential("user", user), key)


def lacks_credentials(token: object = None, user: object = None) -> bool:
    """Return True if neither token nor user is given or set in the environment."""
    return token is None is user and _secret("token") is None and _secret("user") is None


def client_factory(
    given: Credentials | None, api_url: str | None = None, timeout: object = None
) -> Callable[[], PushoverClient] | None:
    """Return what makes a client of these options, once a process; None if nothing is sent."""
    if api_url is None:
        api_url = os.environ.get("PUSHOVER_API_URL") or API_URL
    address, seconds = checked_url(api_url), checked_timeout(timeout)
    if given is None:
        return None
    make = partial(PushoverClient, given.token, given.user, encryption_key=given.key)
    return partial(make, api_url=address, timeout=seconds)


def client(given: Credentials | None) -> PushoverClient | None:
    """Return a client for the environment's service; None if nothing is sent."""
    make = client_factory(given)
    return make() if make is not None else None


def formatter(given: Mapping[str, Any], secrets: Credentials | None) -> PushoverFormatter:
    """Return the formatter that a handler's options make."""
    made = PushoverFormatter(
        style=given["style"],
        title=given["title"],
        body=given["body"],
        extras=given["extras"],
        host=host(given["host"]),
        redaction=Redaction(given["redact"], secrets.secrets() if secrets else ()),
    )
    made.source = source_link(given["source_root"], given["commit"])
    if secrets is not None and secrets.key is not None:
        made.encrypted_length = encrypted_length()
    return made


def rules(option: object) -> Rules | None:
    """Return the rules that the option ``throttle`` asks for, None for False.

    It takes None (``PUSHOVER_THROTTLE``, else the defaults), True (the defaults), False, a duration
    (one fixed window), or a mapping with ``windows`` (durations, in turn), ``group_by`` (names of
    record fields), ``store``, ``summary_at_exit`` and ``forget_after`` (a duration).
    """
    from pushover_logging.throttle.rules import FORGET_AFTER, WINDOWS, Rules  # noqa: PLC0415

    if option is None:
        option = os.environ.get("PUSHOVER_THROTTLE") or True
    if option is True:
        return Rules()
    if option is False:
        return None
    if isinstance(option, str):
        return rules(_from_text(option))
    if isinstance(option, (int, float)):
        return Rules(windows=_windows([option]))
    option = plain(option)
    if isinstance(option, Mapping) and option.keys() <= _THROTTLE:
        at_exit = option.get("summary_at_exit", True)
        if not isinstance(at_exit, bool):
            raise invalid(redacted(at_exit), "throttle: summary_at_exit", "True or False")
        forget_after, store = option.get("forget_after", FORGET_AFTER), option.get("store")
        return Rules(
            windows=_windows(option.get("windows", WINDOWS)),
            group_by=_names(option.get("group_by", ())),
            store=None if store is None else store_url("throttle: store", store),
            summary_at_exit=at_exit,
            forget_after=seconds("throttle: forget_after", forget_after),
        )
    names = "windows, group_by, store, summary_at_exit and forget_after"
    takes = f"False, a duration for one fixed window, a redis:// URL, or a mapping with {names}"
    raise invalid(redacted(option), "throttle", takes)


def trail(lines: object, level: object) -> tuple[int, int]:
    """Return how many lines a trail shows, and the number of their lowest level."""
    try:
        lowest = level_number(level)
    except ConfigurationError as error:
        takes = "the name or number of a logging level"
        raise invalid(redacted(level), "trail_level", takes) from error
    count = int(number("trail", lines, low=0))
    return count, lowest if count else sys.maxsize


def outbox(given: object, application: str) -> Path | None:
    """Return the path of the outbox as given, else from ``PUSHOVER_OUTBOX``; None for memory.

    "auto" is a file for each ``application`` in `state_folder`, "off" is memory.
    """
    given = given if given is not None else os.environ.get("PUSHOVER_OUTBOX") or None
    if given is None or (isinstance(given, str) and given.strip().lower() == OFF):
        return None
    if not isinstance(given, (str, os.PathLike)) or not given:
        raise invalid(redacted(given), "outbox", "a path, or auto")
    if sys.platform == "win32":
        raise invalid(
            redacted(given), "outbox", "nothing on Windows, where memory is the only outbox"
        )
    try:
        auto = given == "auto"
        path = state_folder() / f"{application}.sqlite" if auto else Path(given).expanduser()
        if not path.is_absolute():
            path = _working_folder() / path  # the program may change it later
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        is_folder = False  # it might be created or become accessible later
    except (
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # RuntimeError: no home, or no working directory
        raise invalid(redacted(given), "outbox", "a path that is valid on this system") from error
    if is_folder:
        raise invalid(redacted(given), "outbox", "the path of a file, not of a folder")
    return path


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        msg = "the working directory was deleted"
        raise RuntimeError(msg) from error


def host(given: object) -> str | None:
    """Return the host name shown in each message; None for the generated name of a container."""
    if given is None:
        import socket  # noqa: PLC0415  imported for one call, and by the transport

        own = socket.gethostname()
        return os.environ.get("PUSHOVER_HOST") or (None if _CONTAINER.fullmatch(own) else own)
    if not isinstance(given, str):
        raise invalid(redacted(given), "host", "a text; an empty one shows no host")
    return given or None


def message_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Message fields that are not None, checked."""
    fields = {name: value for name, value in given.items() if value is not None}
    priority = 2 if {"retry", "expire"} & fields.keys() else 0
    Message(message="checked here, not at the first alert", priority=priority, **fields)
    return fields


def source_link(root: object, commit: object) -> SourceLink:
    """Return the fields of links to source lines; a commit that is not given is the environment's.

    Raises ConfigurationError for what is no path, and no text.
    """
    if root is not None and (not isinstance(root, (str, os.PathLike)) or not root):
        raise invalid(redacted(root), "source_root", "the path of a folder")
    if commit is None:
        commit = next(filter(None, map(os.environ.get, COMMIT_VARIABLES)), None)
    elif not isinstance(commit, str) or not commit.strip():
        raise invalid(redacted(commit), "commit", "the name of a commit, a tag or a branch")
    return SourceLink(None if root is None else Path(root).expanduser().absolute(), commit)


def number(name: str, given: object, *, low: float, takes: str = "a number") -> float:
    """Return ``given`` if it is a number of ``low`` or more."""
    is_bool = isinstance(given, bool)
    if isinstance(given, (int, float)) and not is_bool and low <= given <= MAX_SECONDS:
        return given
    raise invalid(redacted(given), name, f"{takes}, {low:g} or more, at most {MAX_SECONDS:,}")


def seconds(name: str, given: object) -> float:
    """Return ``given`` in seconds if it is a number, 0 or more, or a text like ``1h30m``."""
    with suppress(ValueError):
        given = parse_duration(given) if isinstance(given, str) else given
    return number(name, given, low=0, takes=DURATION)


def mute_seconds(name: str, given: object) -> float:
    """Return for how many seconds to mute: a number or a text like ``1h30m``."""
    with suppress(ConfigurationError):
        found = seconds(name, given)
        if 0 < found <= MAX_MUTE:
            return found
    raise invalid(redacted(given), name, f"{DURATION}, above 0 and at most 7d")


def mute_name(name: str, given: object) -> str | None:
    """Return which problem to mute: a fingerprint's name or a problem's id, or None for all."""
    if given is None:
        return None
    if isinstance(given, str) and given.strip() and len(given) <= _MAX_MUTE_NAME:
        with suppress(UnicodeError):
            given.encode()
            return given
    takes = f"the name or the ID of a problem, at most {_MAX_MUTE_NAME:,} characters"
    raise invalid(redacted(given), name, takes)


def boolean(name: str, given: object) -> bool:
    """Return ``given`` if it is True or False."""
    if isinstance(given, bool):
        return given
    raise invalid(redacted(given), name, "True or False")


def encryption_key(given: object) -> str | None:
    """Return the key as given, else from the environment or a file; None: no encryption."""
    value = given if given is not None else _secret("encryption_key")
    if value is None:
        return None
    from pushover_logging.api.encryption import parse_key  # noqa: PLC0415  needs an extra

    return parse_key(value).hex()


def encrypted_length() -> Callable[[str], int]:
    """Return the function that computes the length of an encrypted text."""
    from pushover_logging.api.encryption import encrypted_length as length  # noqa: PLC0415  needs an extra

    return length


def state_folder() -> Path:
    """Return the folder for files that outlive a process: systemd's, else the user's.

    Raises RuntimeError if the user has no home folder.
    """
    own = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if own:
        return Path(own)
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/pushover-logging"
    folder = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(folder, "pushover-logging")


def _from_text(text: str) -> object:
    if text.strip().lower() in {"off", "false", "no", "0"}:
        return False
    if "://" in text:
        return {"store": text}
    try:
        return parse_duration(text)
    except ValueError:
        takes = f"{DURATION}, a redis:// URL, or off"
        raise invalid(_without_password(text), "throttle", takes) from None


def store_url(name: str, given: object) -> str:
    """Return ``given`` if it can be the URL of a Redis; nothing connects."""
    with suppress(ValueError):  # an invalid port, or an invalid host in brackets
        if isinstance(given, str):
            url = urlsplit(given)
            if url.scheme in {"redis", "rediss", "unix"} and url.port != 0:
                return given
    raise invalid(_without_password(given), name, "a redis://, rediss:// or unix:// URL")


def _without_password(given: object) -> str:
    """Return what an error shows of what should be a URL, and might have a password."""
    is_public = not isinstance(given, str) or "@" not in given
    return redacted(given) if is_public else describe_secret(given)


def _names(given: object) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else given
    if isinstance(names, (list, tuple)) and all(one and isinstance(one, str) for one in names):
        return tuple(names)
    raise invalid(redacted(given), "throttle: group_by", "a record field's name, or a list of such")


def _windows(values: object) -> tuple[float, ...]:
    try:
        given = values if isinstance(values, (list, tuple)) else ()
        windows = tuple(
            parse_duration(one) if isinstance(one, str) else float(one) for one in given
        )
    except (TypeError, ValueError, OverflowError):
        windows = ()
    if windows and all(0 < window < math.inf for window in windows):
        return windows
    takes = f"a list of durations above 0, each {DURATION}"
    raise invalid(redacted(values), "throttle: windows", takes)
