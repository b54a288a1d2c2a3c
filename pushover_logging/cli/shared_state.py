"""The state that processes share, as commands open it: the throttle's, in a file or in Redis."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from pushover_logging import config
from pushover_logging.cli.terminal import warn
from pushover_logging.clock import Clock
from pushover_logging.diagnostics import LOGGER_NAME
from pushover_logging.exceptions import ConfigurationError, TemporaryError, Unreachable
from pushover_logging.handler import PushoverHandler
from pushover_logging.outbox.memory import MemoryOutbox
from pushover_logging.throttle.rules import Rules
from pushover_logging.throttle.store import Store
from pushover_logging.throttle.throttle import Throttle

# The next run reports what is due at its time; and a monthly job, too, is resolved once.
_THROTTLE = {"summary_at_exit": False, "forget_after": 40 * 86_400}
PATIENCE = 2.0  # seconds
_CHECK_PATH = "check the path, or wait for the first error of a program, which creates the file"
_NONE = "there is no shared state: pass --outbox PATH or --store URL, or set PUSHOVER_OUTBOX"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the shared state."""
    parser.add_argument(
        "--outbox",
        metavar="PATH",
        type=_outbox,
        help="the file that processes share (default: PUSHOVER_OUTBOX, else auto)",
    )
    parser.add_argument(
        "--store",
        metavar="URL",
        type=_store,
        help="the redis:// URL that hosts share (default: PUSHOVER_THROTTLE, if it is a URL)",
    )


def _outbox(text: str) -> str:
    """Return the option ``--outbox``; an empty one counts as not given."""
    return _checked(text, lambda: config.outbox(text, ""))


def _store(text: str) -> str:
    """Return the option ``--store``; an empty one counts as not given."""
    return _checked(text, lambda: config.store_url("store", text))


def _checked(text: str, check: Callable[[], object]) -> str:
    try:
        if text:
            check()
    except ConfigurationError as error:  # argparse names the option
        raise argparse.ArgumentTypeError(str(error).partition(": ")[2]) from error
    return text


def rules_of(arguments: argparse.Namespace) -> Rules:
    """Return the environment's rules, with the ``store`` that the options or the environment name.

    ``--store`` comes first, then ``--outbox``, then the environment. Raises ConfigurationError.
    """
    rules = config.rules(None) or Rules()
    return replace(rules, store=arguments.store or (None if arguments.outbox else rules.store))


def outbox_of(arguments: argparse.Namespace) -> str:
    """Return the handler's option ``outbox``: by default "auto", "off" if there is no home."""
    given = arguments.outbox or os.environ.get("PUSHOVER_OUTBOX")
    if given:
        return str(given)
    try:
        config.state_folder()
    except RuntimeError:
        warn("there is no home folder: each run sends its own alerts, and repeats are not counted")
        return config.OFF
    return "auto"


def warn_of_unnamed_file(arguments: argparse.Namespace) -> None:
    """Print the path of the outbox file if neither an option nor the environment names it."""
    client = config.client(config.credentials())
    if client is not None and outbox_of(arguments) == "auto" and rules_of(arguments).store is None:
        path = config.outbox("auto", client.application)
        warn(f"the problems in {path}; --outbox or --store names others")


def warn_if_alone(arguments: argparse.Namespace) -> None:
    """Print a line if no other call can know a problem, because the outbox is off."""
    given = arguments.outbox or os.environ.get("PUSHOVER_OUTBOX") or ""
    if given.strip().lower() == config.OFF and rules_of(arguments).store is None:
        warn(f"{_NONE}; until then, each call sends a push")


def shared_handler(
    arguments: argparse.Namespace, *, only_if_outbox_exists: bool = False
) -> PushoverHandler | None:
    """Return the handler of a command that runs again and again; None if nothing is sent.

    Its problems are in the shared state, and remembered from one run to the next. Raises
    ConfigurationError.
    """
    client = config.client(config.credentials())
    if client is None:
        return None
    outbox, rules = outbox_of(arguments), rules_of(arguments)
    path = config.outbox(outbox, client.application)
    # Without an outbox file, no earlier run can have left anything.
    if only_if_outbox_exists and rules.store is None and path is not None and not path.exists():
        return None
    throttle = {**asdict(rules), **_THROTTLE}
    return PushoverHandler(level=0, outbox=outbox, throttle=throttle, clock=arguments.clock)


class _Warnings(logging.Handler):
    """Keeps the texts of records, which any thread may add; ``error`` is the one to leave out."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.error: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@contextlib.contextmanager
def library_warnings() -> Iterator[_Warnings]:
    """Print what the library warns of in the block, except the ``error`` that the block sets."""
    found = _Warnings()
    logger = logging.getLogger(LOGGER_NAME)
    logger.addHandler(found)
    try:
        yield found
    finally:
        logger.removeHandler(found)
        for text in found.texts:
            if not (found.error and found.error in text):
                warn(text)


@contextlib.contextmanager
def shared_throttle(
    arguments: argparse.Namespace, *, create: bool = False, patience: float = PATIENCE
) -> Iterator[Throttle]:
    """Open the throttle that the processes of the account share, for the block.

    Without ``create``, a file must exist already. Raises ConfigurationError if there is no shared
    state, and TemporaryError if it cannot be used now, also in place of the block's `Unreachable`.
    ``patience`` is how many seconds each access to a file may wait for other processes.
    """
    rules = rules_of(arguments)
    client = config.client(config.credentials())
    if client is None:
        msg = "PUSHOVER_TOKEN is off: the shared state is that of an account"
        raise ConfigurationError(msg)
    try:
        if rules.store is not None:
            from pushover_logging.throttle.redis import RedisThrottle  # noqa: PLC0415  an extra

            yield RedisThrottle(rules.store, client.account, rules)
        else:
            outbox = outbox_of(arguments)
            path = config.outbox(outbox, client.application)
            if path is None:
                raise ConfigurationError(_NONE)
            if not (create or path.exists()):
                msg = f"there is no file {path}; {_NONE if outbox == 'auto' else _CHECK_PATH}"
                raise ConfigurationError(msg)
            with _file_store(path, client.account, arguments.clock, patience) as store:
                yield Throttle(store, rules, is_shared=True)
    except Unreachable as error:
        raise TemporaryError(str(error)) from error


@contextlib.contextmanager
def _file_store(path: Path, account: str, clock: Clock, patience: float) -> Iterator[Store]:
    # Imported here because other subcommands do not need SQLite, and Windows has no fcntl.
    from pushover_logging.outbox.sqlite import FAULTS, FileOutbox  # noqa: PLC0415
    from pushover_logging.throttle.sqlite import SqliteStore  # noqa: PLC0415

    lock = threading.RLock()
    outbox = FileOutbox(
        path, account, MemoryOutbox(lock), lock, clock, has_throttle=True, patience=patience
    )
    try:
        # A handler repairs a damaged outbox. A command must not: the path might be wrong.
        if path.exists() and not outbox.file.is_outbox(patience):
            msg = f"outbox: {path} is not an outbox file; it is not changed"
            raise ConfigurationError(msg)
    except FAULTS as error:
        raise Unreachable(*error.args) from error
    try:
        yield SqliteStore(outbox, account, clock)
    finally:
        outbox.file.close(patience)
