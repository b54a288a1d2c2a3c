"""``pushover-logging check``: checks the configuration with the service, and suggests fixes."""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import inspect
import json
import logging
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from pushover_logging import config, program_setup
from pushover_logging.api.client import API_URL, PushoverClient
from pushover_logging.api.quota import Quota
from pushover_logging.cli.argparse_help import add_command
from pushover_logging.cli.terminal import on_lines, progress
from pushover_logging.clock import Clock
from pushover_logging.diagnostics import LOGGER_NAME
from pushover_logging.exceptions import (
    ConfigurationError,
    DeliveryError,
    QuotaError,
    RejectedError,
)
from pushover_logging.handler import RECORD_KEYS, PushoverHandler
from pushover_logging.message import Message
from pushover_logging.rendering.redaction import redacted
from pushover_logging.rendering.summary import format_duration
from pushover_logging.throttle.rules import Rules

WRONG = 1
_EXAMPLES = """\
examples:
  pushover-logging check
  pushover-logging check --device pixel --sound siren --send
  pushover-logging check --import shop.settings
  pushover-logging check --json | jq .quota.remaining

exit status: 0 all checks passed, 1 a check failed (each with a fix), 2 wrong usage
"""
_FIXES = {
    "token": (
        "set PUSHOVER_TOKEN to the API token of an application, from https://pushover.net/apps; "
        "it is not the user key"
    ),
    "user": (
        "set PUSHOVER_USER to the user key that https://pushover.net shows when you are logged in, "
        "or to a group key"
    ),
    "api_url": f"unset PUSHOVER_API_URL to use {API_URL}",
    "encryption_key": (
        "set PUSHOVER_ENCRYPTION_KEY to the 64 digits that are set on the devices, or unset it"
    ),
    "outbox": "set PUSHOVER_OUTBOX to the path of a file or to auto, or unset it",
    "throttle": "set PUSHOVER_THROTTLE to seconds, a redis:// URL or off, or unset it",
    "service": "check the network, HTTPS_PROXY, and PUSHOVER_API_URL if it is set",
    "sound": "use one of {}",
    "device": "use one of {}; or none, for all devices",
    "logging": "correct it in the program",
    "quota": "send less, or raise the account's limit: nothing is delivered for {}",
}
_WIDTH = 16  # characters of a check's name
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check; ``fix`` is what to do if it is not ``ok``."""

    name: str
    ok: bool
    text: str
    fix: str = ""


# Since Python 3.14 on Linux, too.
_POOLS = () if multiprocessing.get_all_start_methods()[0] == "fork" else (
    Check("pools", ok=True, text="workers do not inherit logging that is set up under __main__: "
          "give a pool initializer=pushover_logging.install_in_worker"),
)  # fmt: skip


@dataclass(slots=True)
class Report:
    """The results of all checks, and what the service returned about the account."""

    checks: list[Check] = field(default_factory=lambda: [*_POOLS])
    devices: list[str] = field(default_factory=list)
    sounds: list[str] = field(default_factory=list)
    quota: Quota | None = None

    @property
    def ok(self) -> bool:
        """True if all checks are."""
        return all(check.ok for check in self.checks)

    def passed(self, name: str, text: str) -> None:
        """Add a check that passed."""
        self.checks.append(Check(name, ok=True, text=" ".join(text.split())))

    def failed(self, name: str, text: str, *values: str) -> None:
        """Add a check that failed; ``values`` complete its fix."""
        fix = _FIXES[name].format(*values)
        self.checks.append(Check(name, ok=False, text=" ".join(text.split()), fix=fix))

    def warned(self, text: str) -> None:
        """Add a warning of the library's, with its own fix if it has one, unless it is there."""
        problem, _, fix = text.partition("; ")
        check = Check("logging", ok=False, text=problem, fix=fix or _FIXES["logging"])
        if check not in self.checks:
            self.checks.append(check)


class _Collector(logging.Handler):
    """Adds the library's own warnings to a report."""

    def __init__(self, report: Report) -> None:
        super().__init__(logging.WARNING)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        self._report.warned(record.getMessage())


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``check``."""
    text = "Check token, user, devices, sounds and quota with the service, and suggest fixes."
    parser = add_command(subparsers, run, text, _EXAMPLES)
    parser.add_argument("--device", metavar="NAMES", help="devices to check, joined by commas")
    parser.add_argument("--sound", metavar="NAME", help="a sound to check")
    parser.add_argument(
        "--import", dest="module", metavar="MODULE",
        help="also check how this module sets up the program's logging",
    )  # fmt: skip
    parser.add_argument("--send", action="store_true", help="also send a push if all checks pass")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run all checks; return 0 if they pass, else 1."""
    report = Report()
    client = _check_environment(report)
    if arguments.module is not None:
        _check_program(arguments.module, report)
    if client is not None:
        try:
            with progress(f"asking {client.api_url}"):
                _check_service(client, arguments, report)
        except DeliveryError as error:
            _add_error(error, report)
        except ConfigurationError as error:  # the device or sound of the push is malformed
            report.failed(str(error.option), str(error), "the existing names")
        finally:
            client.close()
    sys.stdout.write(_as_json(report) if arguments.json else on_lines(_as_text(report)))
    return 0 if report.ok else WRONG


def _check_environment(report: Report) -> PushoverClient | None:
    """Check the environment variables, and return a client with them if that is possible."""
    token = _try(report, lambda: config.credential("token", None))
    user = _try(report, lambda: config.credential("user", None))
    key = _try(report, lambda: config.encryption_key(None))
    rules = _try(report, lambda: config.rules(None))
    if token == config.OFF:
        report.failed("token", "PUSHOVER_TOKEN is off: nothing is sent")
    elif token is not None and user is not None:
        client = _try(report, lambda: config.client(config.Credentials(token, user, key)))
        if client is not None:
            path = _try(report, lambda: config.outbox(None, client.application))
            if path is not None and _is_of_others(path):
                report.failed("outbox", f"{path} is not an outbox file: a handler would use memory")
            if rules is not None and rules.store is not None:
                _try(report, lambda: _check_store(rules, client.account))
        return client
    return None


def _check_program(name: str, report: Report) -> None:
    """Import the module ``name``, and check the loggers as it leaves them, and its sources."""
    own, collector, before = logging.getLogger(LOGGER_NAME), _Collector(report), len(report.checks)
    own.addHandler(collector)
    sys.path.insert(0, str(Path.cwd()))
    try:
        with contextlib.redirect_stdout(sys.stderr):
            importlib.import_module(name)
    except Exception as error:  # noqa: BLE001  any code of the program
        got = error if isinstance(error, ConfigurationError) else redacted(error)
        report.failed("logging", f"{name} cannot be imported: {got}")
        return
    finally:
        own.removeHandler(collector)
    for problem in (*_problems_of_loggers(), *_problems_of_sources(name.partition(".")[0])):
        report.warned(problem)
    if len(report.checks) == before:
        report.passed("logging", f"the logging that {name} sets up is right")


def _problems_of_loggers() -> Iterator[str]:
    """Yield what is wrong with the PushoverHandlers of all loggers."""
    names = ["root", *logging.root.manager.loggerDict]
    loggers = {name: logging.getLogger(name) for name in names}
    found = [each for logger in loggers.values() for each in logger.handlers]
    phones = [each for each in dict.fromkeys(found) if isinstance(each, PushoverHandler)]
    if not phones:
        yield "no logger has a PushoverHandler"
    for phone in phones:
        yield from program_setup.disabled_loggers(phone)
        for name, logger in loggers.items():
            if logger.handlers:
                yield from program_setup.duplicate_handlers(phone, name)


def _problems_of_sources(package: str) -> Iterator[str]:
    """Yield each wrong ``extra={"pushover": ...}`` in what was imported of a package."""
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] == package:
            with contextlib.suppress(OSError, TypeError):  # it has no source
                for line, got in _wrong_extras(inspect.getsource(module)):
                    yield f"{name}, line {line}: the pushover extra of a record has {got}"


def _wrong_extras(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and fault of each ``extra={"pushover": ...}`` that means nothing."""
    given = [
        value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.keyword)
        and node.arg == "extra"
        and isinstance(node.value, ast.Dict)
        for key, value in zip(node.value.keys, node.value.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "pushover"
    ]
    for value in given:
        if isinstance(value, ast.Dict):
            for key in value.keys:
                if isinstance(key, ast.Constant) and key.value not in RECORD_KEYS:
                    yield key.lineno, f"the unknown key {redacted(key.value)}"
        elif isinstance(value, ast.Constant) and value.value is not None:
            yield value.lineno, f"a {type(value.value).__name__}, not a mapping"


def _is_of_others(path: Path) -> bool:
    # Imported here because Windows has no fcntl.
    from pushover_logging.outbox.sqlite import MIGRATIONS  # noqa: PLC0415
    from pushover_logging.storage.sqlite_file import SqliteFile, Unavailable  # noqa: PLC0415

    with contextlib.suppress(Unavailable):
        return path.is_file() and not SqliteFile(path, MIGRATIONS, Clock()).is_outbox()
    return False


def _check_store(rules: Rules, account: str) -> None:
    """Raise ConfigurationError if the URL of the throttle's store cannot be used."""
    from pushover_logging.throttle.redis import RedisThrottle  # noqa: PLC0415  an extra brings it

    RedisThrottle(rules.store or "", account, rules)


def _try(report: Report, function: Callable[[], T]) -> T | None:
    try:
        return function()
    except ConfigurationError as error:
        name = str(error.option)
        report.failed(name, str(error).removeprefix(f"{name}: "))
        return None


def _check_service(client: PushoverClient, arguments: argparse.Namespace, report: Report) -> None:
    """Run the checks that need the service. Raises DeliveryError if one cannot be run."""
    users = config.credential("user", None).split(",")
    are_users = [_check_user(client, user, users, report) for user in users]
    report.checks.insert(0, Check("token", ok=True, text="accepted by the service"))
    if arguments.device:
        _check_devices(arguments.device.split(","), report, are_known=are_users == [True])
    report.sounds = sorted(client.sounds())
    if arguments.sound in report.sounds:
        report.passed("sound", arguments.sound)
    elif arguments.sound:
        report.failed("sound", f"there is no sound {arguments.sound}", ", ".join(report.sounds))
    _check_quota(client.limits(), report)
    if arguments.send and report.ok:
        text = "It works."
        client.send(Message(message=text, device=arguments.device, sound=arguments.sound))
        report.passed("message", "sent")


def _check_user(client: PushoverClient, user: str, users: list[str], report: Report) -> bool:
    """Check one user; return True if it is a user, whose devices the service returns."""
    position = f" {users.index(user) + 1} of {len(users)}" if len(users) > 1 else ""
    try:
        validation = client.validate(user)
    except RejectedError as error:
        if "user" not in error.parameters:
            raise
        report.failed("user", f"refused{position}: {'; '.join(error.errors)}")
        return False
    devices = validation.devices
    report.devices += [device for device in devices if device not in report.devices]
    kind = "a group" if validation.group else f"devices: {', '.join(devices)}"
    report.passed("user", f"known{position}, {kind}")
    return not validation.group


def _check_devices(names: list[str], report: Report, *, are_known: bool) -> None:
    missing = [name for name in names if name not in report.devices]
    if not are_known:
        report.passed("device", "not checked: the service returns devices of a single user only")
    elif missing:
        devices = ", ".join(report.devices) or "none"
        report.failed("device", f"the user has no device {', '.join(missing)}", devices)
    else:
        report.passed("device", ", ".join(names))


def _check_quota(quota: Quota, report: Report) -> None:
    report.quota = quota
    reset = format_duration(max(0, round(quota.reset - time.time())))
    text = f"{max(0, quota.remaining):,} of {quota.limit:,} messages left, reset in {reset}"
    if quota.remaining > 0:
        report.passed("quota", text)
    else:
        report.failed("quota", text, reset)


def _add_error(error: DeliveryError, report: Report) -> None:
    if isinstance(error, RejectedError) and "token" in error.parameters:
        report.failed("token", f"refused: {'; '.join(error.errors)}")
    elif isinstance(error, QuotaError):
        report.failed("quota", str(error), format_duration(round(error.wait)))
    else:
        report.failed("service", str(error))


def _as_text(report: Report) -> str:
    lines = []
    for check in report.checks:
        lines.append(f"{check.name:<{_WIDTH}}{'ok' if check.ok else 'WRONG'}: {check.text}")
        if check.fix:
            lines.append(f"{'':<{_WIDTH}}fix: {check.fix}")
    return "\n".join([*lines, ""])


def _as_json(report: Report) -> str:
    return json.dumps({"ok": report.ok, **asdict(report)}, indent=2) + "\n"
