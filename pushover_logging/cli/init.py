"""``pushover-logging init``: asks for both keys, checks them with the service, and keeps them."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import sys
import tempfile
from pathlib import Path

from pushover_logging import config
from pushover_logging.api.client import PushoverClient
from pushover_logging.cli.argparse_help import add_command
from pushover_logging.cli.terminal import on_lines, progress
from pushover_logging.exceptions import ConfigurationError, RejectedError
from pushover_logging.message import Message, are_users, is_key

_FILE = ".env"
_KEY_LENGTH = 30  # https://pushover.net/api#identifiers
_QUOTES = "'\"`\u2018\u2019\u201c\u201d"
_NAMES = {"token": "API token", "user": "user key"}
_WHERE = {
    "token": (
        "To get an API token, create an application at https://pushover.net/apps/build, and copy "
        "its token."
    ),
    "user": "To get your user key, log in at https://pushover.net: it is at the top right.",
}
_EXAMPLES = """\
examples:
  pushover-logging init
  pushover-logging init --print shell
  PUSHOVER_TOKEN_FILE=token PUSHOVER_USER_FILE=user pushover-logging init --non-interactive

exit status: 0 the keys work, 1 the service rejects them, 2 wrong usage or configuration, 75 not
checked: try again after 5 s or more, 130 Ctrl-C
"""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``init``."""
    text = "Ask for token and user key, check them with the service, and write them to .env."
    parser = add_command(subparsers, run, text, _EXAMPLES)
    parser.add_argument(
        "--print",
        choices=("shell", "docker", "systemd"),
        help="print the lines for a shell, Docker or systemd instead of writing .env",
    )
    parser.add_argument(
        "--non-interactive",
        action="store_true",
        help="ask nothing: use PUSHOVER_TOKEN and PUSHOVER_USER, or the files named by "
        "PUSHOVER_TOKEN_FILE and PUSHOVER_USER_FILE",
    )


def run(arguments: argparse.Namespace) -> int:
    """Set up both keys; return 0. Raises ConfigurationError and DeliveryError."""
    if arguments.non_interactive:
        token, user = config.credential("token", None), config.credential("user", None)
        for name, text in (("token", token), ("user", user)):
            if mistake := find_mistake(name, text):
                msg = f"{name}: {mistake}"
                raise ConfigurationError(msg, option=name)
        client = _check_both(token, user)
    elif sys.stdin is not None and sys.stdin.isatty():
        try:
            client, token, user = _ask_for_both()
        except EOFError:
            raise KeyboardInterrupt from None
    else:
        msg = "init asks for the keys on a terminal; without one, use --non-interactive"
        raise ConfigurationError(msg)
    values = {"PUSHOVER_TOKEN": token, "PUSHOVER_USER": user}
    if os.environ.get("PUSHOVER_API_URL"):
        values["PUSHOVER_API_URL"] = client.api_url  # the inbox's
    with contextlib.closing(client):
        if arguments.print:
            print(_lines(arguments.print, values))
            load = ""
        else:
            _write(values)
            load = f"set -a; . ./{_FILE}; set +a; "
        with progress(f"sending to {client.api_url}"):
            client.send(Message(message="It works: pushover-logging can reach you."))
    _say("A test push was sent: look at your phone, or at the page of the inbox.")
    _say(f"Next: {load}pushover-logging check")
    return 0


def find_mistake(name: str, text: str) -> str:
    """Return what is wrong with ``text`` as a token or user key, "" if its format is right."""
    if is_key(text) or (name == "user" and are_users(text)):
        return ""
    size = "too short" if len(text) < _KEY_LENGTH else "too long"
    mistakes = (
        (not text, "it is empty"),
        ("@" in text, "it is an e-mail address, not a key"),
        (not set(_QUOTES).isdisjoint(text), "it has quotes in it; leave them out"),
        (len(text.split()) > 1, "it has spaces in it; copy the key alone"),
        (
            len(text) != _KEY_LENGTH,
            f"it is {size}: {len(text)} characters, and a key has {_KEY_LENGTH}; copy all of it",
        ),
    )
    other = "it has characters other than A-Z, a-z, 0-9"
    return next((mistake for is_made, mistake in mistakes if is_made), other)


def _check_both(token: str, user: str) -> PushoverClient:
    """Return a client if the service accepts both keys."""
    client = _client(token, user)
    try:
        _show_devices(client, user)
    except RejectedError as error:
        client.close()
        if "token" in error.parameters and _is_swapped(token, user):
            msg = "token and user: they are swapped; PUSHOVER_TOKEN has the user key"
            raise ConfigurationError(msg) from error
        raise
    return client


def _ask_for_both() -> tuple[PushoverClient, str, str]:
    """Ask until the service accepts both keys."""
    token, user = _ask("token"), _ask("user")
    while True:
        try:
            return _check_both(token, user), token, user
        except ConfigurationError:
            _say("The two keys were swapped: the first was the user key. That is corrected.")
            token, user = user, token
        except RejectedError as error:
            name = "user" if "user" in error.parameters else "token"
            _say(f"The service refuses the {_NAMES[name]}: {'; '.join(error.errors)}")
            if name == "token":
                token = _ask("token")
            else:
                user = _ask("user")


def _ask(name: str) -> str:
    """Ask for a key until its format is right; the terminal does not show it."""
    _say(_WHERE[name])
    while True:
        text = getpass.getpass(f"{_NAMES[name]} (not shown): ").strip()
        bare = text.strip(_QUOTES).strip()
        mistake = find_mistake(name, bare)
        if not mistake:
            if bare != text:
                _say("The quotes around the key are left out.")
            return bare
        _say(f"That is not the {_NAMES[name]}: {mistake}.")


def _is_swapped(token: str, user: str) -> bool:
    """Return True if the service accepts the two keys in each other's place."""
    if not is_key(user) or token == user:
        return False
    with contextlib.closing(_client(user, token)) as client:
        try:
            client.validate(token)
        except RejectedError:
            return False
    return True


def _client(token: str, user: str) -> PushoverClient:
    given = config.Credentials(token, user, config.encryption_key(None))
    client = config.client(given)
    assert client is not None  # noqa: S101  only a missing token makes none
    return client


def _show_devices(client: PushoverClient, user: str) -> None:
    """Print the devices of each user. Raises RejectedError if the service does not know one."""
    with progress(f"asking {client.api_url}"):
        found = [client.validate(key) for key in user.split(",")]
    devices = [device for each in found for device in each.devices]
    groups = sum(each.group for each in found)
    shown = [f"devices: {', '.join(devices)}"] if devices else []
    shown += ["a group"] if groups else []
    _say(f"The service accepts both keys; {'; '.join(shown) or 'there is no active device'}.")


def _lines(form: str, values: dict[str, str]) -> str:
    """Return the lines that set ``values`` in a shell, for Docker, or for systemd."""
    lines = [f"{name}={value}" for name, value in values.items()]
    if form == "shell":
        return "\n".join(f"export {line}" for line in lines)
    if form == "docker":
        head = (
            "# in a file F with mode 0600: docker run --env-file F, or env_file: F in compose.yaml"
        )
        return "\n".join([head, *lines])
    head = "# in /etc/pushover.env with mode 0600"
    unit = ["# in the unit", "[Service]", "EnvironmentFile=/etc/pushover.env"]
    return "\n".join([head, *lines, *unit])


def _write(values: dict[str, str]) -> None:
    """Write ``values`` to .env with mode 0600, beside its other lines, and let git ignore it."""
    path = Path(_FILE).resolve()
    try:
        before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in before if line.split("=")[0].strip() not in values]
        lines = [*kept, *(f"{name}={value}" for name, value in values.items())]
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{_FILE}.")  # its mode is 0600
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123  a descriptor
            file.write("\n".join([*lines, ""]))
        Path(name).replace(path)
        ignored = _ignore()
    except (OSError, UnicodeError) as error:
        msg = f"{_FILE} cannot be written ({getattr(error, 'strerror', 'it is not UTF-8')})"
        raise ConfigurationError(msg) from error
    _say(f"The keys are in {_FILE}, which only you can read{ignored}.")


def _ignore() -> str:
    """Add .env to the .gitignore of this folder, if there is one without it."""
    path = Path(".gitignore")
    text = path.read_text(encoding="utf-8") if path.is_file() else _FILE
    if {_FILE, f"/{_FILE}", "*.env", f"{_FILE}*"} & set(text.split()):
        return ""
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{'' if text.endswith(chr(10)) or not text else chr(10)}{_FILE}\n")
    return f"; {_FILE} is now in .gitignore"


def _say(text: str) -> None:
    """Print a line on stderr, which is not mixed with the lines of ``--print``."""
    sys.stderr.write(f"{on_lines(text)}\n")
    sys.stderr.flush()
