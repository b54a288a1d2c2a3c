"""``pushover-logging check``: asks the service whether all is set up, and says how to mend it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from pushover_logging import config
from pushover_logging.api.client import API_URL, PushoverClient
from pushover_logging.api.quota import Quota
from pushover_logging.assembly import ledger_for
from pushover_logging.cli.helping import add_command
from pushover_logging.cli.progress import shown
from pushover_logging.clock import Clock
from pushover_logging.exceptions import (
    ConfigurationError,
    DeliveryError,
    QuotaError,
    RejectedError,
)
from pushover_logging.message import Message
from pushover_logging.rendering.summary import format_duration
from pushover_logging.rendering.text import clean

WRONG = 1
_EXAMPLES = """\
examples:
  pushover-logging check
  pushover-logging check --device pixel --sound siren --send
  pushover-logging check --json | jq .quota.remaining

exit status: 0 all is well, 1 something is wrong (each thing with its mend), 2 wrong usage
"""
_MENDS = {
    "token": (
        "set PUSHOVER_TOKEN to the API token of an application, from https://pushover.net/apps; "
        "it is not the user key"
    ),
    "user": (
        "set PUSHOVER_USER to the user key that https://pushover.net shows when you are logged in, "
        "or to a group's key"
    ),
    "api_url": f"unset PUSHOVER_API_URL for the real service, {API_URL}",
    "encryption_key": (
        "set PUSHOVER_ENCRYPTION_KEY to the 64 digits that the devices have, or unset it"
    ),
    "outbox": "set PUSHOVER_OUTBOX to a file's path or auto, or unset it",
    "throttle": "set PUSHOVER_THROTTLE to seconds, a redis:// URL or off, or unset it",
    "service": "look at the network, at HTTPS_PROXY, and at PUSHOVER_API_URL where it is set",
    "sound": "take one of {}",
    "device": "take one of {}; or none, for all devices",
    "quota": "send less, or raise the account's limit: nothing is delivered for {}",
}
_WIDTH = 16  # characters of a finding's name
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; ``mend`` is what to do where it is not ``ok``."""

    name: str
    ok: bool
    said: str
    mend: str = ""


@dataclass(slots=True)
class Found:
    """All that was found, and what the service told of the account."""

    checks: list[Finding] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    sounds: list[str] = field(default_factory=list)
    quota: Quota | None = None

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return all(one.ok for one in self.checks)

    def well(self, name: str, said: str) -> None:
        """Note what is as it should be."""
        self.checks.append(Finding(name, ok=True, said=" ".join(said.split())))

    def wrong(self, name: str, said: str, *names: str) -> None:
        """Note what is not; ``names`` fill its mend."""
        said, mend = " ".join(said.split()), _MENDS[name].format(*names)
        self.checks.append(Finding(name, ok=False, said=said, mend=mend))


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``check``."""
    text = (
        "Ask the service whether token, user, devices and sounds are right, and what is left of "
        "the quota; say how to mend what is wrong."
    )
    parser = add_command(subparsers, run, text, _EXAMPLES)
    parser.add_argument("--device", metavar="NAMES", help="devices that must be there, by commas")
    parser.add_argument("--sound", metavar="NAME", help="a sound that must be there")
    parser.add_argument("--send", action="store_true", help="send a push as well")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Look at everything; return 0 where all is well, else 1."""
    found = Found()
    client = _configured(found)
    if client is not None:
        try:
            with shown(f"asking {client.api_url}"):
                _ask(client, arguments, found)
        except DeliveryError as error:
            _note(error, found)
        except ConfigurationError as error:  # of the push: a device, or a sound, that cannot be
            found.wrong(str(error.option), str(error), "those that are there")
        finally:
            client.close()
    sys.stdout.write(_as_json(found) if arguments.json else clean(_as_text(found)))
    return 0 if found.ok else WRONG


def _configured(found: Found) -> PushoverClient | None:
    """Look at what the environment says; return the client that it makes, None where it cannot."""
    token = _tried(found, lambda: config.credential("token", None))
    user = _tried(found, lambda: config.credential("user", None))
    key = _tried(found, lambda: config.encryption_key(None))
    rules = _tried(found, lambda: config.rules(None))
    if token == config.OFF:
        found.wrong("token", "PUSHOVER_TOKEN is off: nothing is sent")
    elif token is not None and user is not None:
        client = _tried(found, lambda: config.client(token, user, None, None, key))
        if client is not None:
            path = _tried(found, lambda: config.outbox(None, client.application))
            if path is not None and _is_of_others(path):
                found.wrong("outbox", f"{path} is no outbox's file: a handler would use memory")
            elif rules is not None:  # a handler's books, for what only their parts find wrong
                _tried(found, lambda: ledger_for(rules, 1, path, client.account, "", Clock()))
        return client
    return None


def _is_of_others(path: Path) -> bool:
    # Only here: Windows has no fcntl.
    from pushover_logging.outbox.hostfile import host_file  # noqa: PLC0415

    return host_file(path).is_of_others()


def _tried(found: Found, work: Callable[[], T]) -> T | None:
    try:
        return work()
    except ConfigurationError as error:
        name = str(error.option)
        found.wrong(name, str(error).removeprefix(f"{name}: "))
        return None


def _ask(client: PushoverClient, arguments: argparse.Namespace, found: Found) -> None:
    """Ask the service everything; raises what has no finding of its own."""
    users = config.credential("user", None).split(",")
    has_devices = [_ask_user(client, user, users, found) for user in users] == [True]
    found.checks.insert(0, Finding("token", ok=True, said="the service takes it"))
    if arguments.device:
        _look_at_devices(arguments.device.split(","), found, told=has_devices)
    found.sounds = sorted(client.sounds())
    if arguments.sound:
        if arguments.sound in found.sounds:
            found.well("sound", arguments.sound)
        else:
            found.wrong("sound", f"there is no {arguments.sound}", ", ".join(found.sounds))
    _look_at_quota(client.limits(), found)
    if arguments.send and found.ok:
        text = "It works."
        client.send(Message(message=text, device=arguments.device, sound=arguments.sound))
        found.well("message", "sent")


def _ask_user(client: PushoverClient, user: str, users: list[str], found: Found) -> bool:
    """Look at one user; return whether the service told its devices."""
    which = f" {users.index(user) + 1} of {len(users)}" if len(users) > 1 else ""
    try:
        known = client.validate(user)
    except RejectedError as error:
        if "user" not in error.parameters:
            raise
        found.wrong("user", f"refused{which}: {'; '.join(error.errors)}")
        return False
    devices = list(known.devices)
    found.devices += [one for one in devices if one not in found.devices]
    told = "a group" if known.group else f"devices: {', '.join(devices)}"
    found.well("user", f"known{which}, {told}")
    return not known.group


def _look_at_devices(names: list[str], found: Found, *, told: bool) -> None:
    if not told:
        found.well("device", "not looked at: only one user's are known")
        return
    missing = [name for name in names if name not in found.devices]
    if missing:
        found.wrong(
            "device", f"the user has no {', '.join(missing)}", ", ".join(found.devices) or "none"
        )
    else:
        found.well("device", ", ".join(names))


def _look_at_quota(quota: Quota, found: Found) -> None:
    found.quota = quota
    renewed = format_duration(max(0, round(quota.reset - time.time())))
    said = f"{max(0, quota.remaining):,} of {quota.limit:,} messages left, renewed in {renewed}"
    if quota.remaining > 0:
        found.well("quota", said)
    else:
        found.wrong("quota", said, renewed)


def _note(error: DeliveryError, found: Found) -> None:
    if isinstance(error, RejectedError) and "token" in error.parameters:
        found.wrong("token", f"refused: {'; '.join(error.errors)}")
    elif isinstance(error, QuotaError):
        found.wrong("quota", str(error), format_duration(round(error.wait)))
    else:
        found.wrong("service", str(error))


def _as_text(found: Found) -> str:
    lines = []
    for one in found.checks:
        lines.append(f"{one.name:<{_WIDTH}}{'ok' if one.ok else 'WRONG'}: {one.said}")
        if one.mend:
            lines.append(f"{'':<{_WIDTH}}mend: {one.mend}")
    return "\n".join([*lines, ""])


def _as_json(found: Found) -> str:
    return json.dumps({"ok": found.ok, **asdict(found)}, indent=2) + "\n"
