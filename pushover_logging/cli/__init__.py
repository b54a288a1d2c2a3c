"""The ``pushover-logging`` command: `main` runs it; each subcommand is a module of this package."""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from pushover_logging.cli import (
    check,
    demo,
    inbox,
    init,
    jobs,
    mute,
    outbox,
    overdue,
    problems,
    redact,
    run,
    send,
    unmute,
)
from pushover_logging.cli.terminal import discard_stdout, on_one_line, open_streams, warn
from pushover_logging.clock import Clock
from pushover_logging.exceptions import ConfigurationError, DeliveryError, RejectedError

FAILED = 1
WRONG_USAGE = 2
TRY_LATER = 75  # EX_TEMPFAIL of sysexits.h
INTERRUPTED = 130  # 128 + SIGINT, as in shells


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:  # noqa: ANN401  those of argparse
        super().__init__(**options)
        # What starts like a number is a value and no option, so that the error of -5m shows it.
        self._negative_number_matcher = re.compile(r"-\.?\d")

    def error(self, message: str) -> NoReturn:
        """Print the error on one line, and exit."""
        self.exit(WRONG_USAGE, f"{self.prog}: {on_one_line(message)} (see --help)\n")


def main(argv: Sequence[str] | None = None, *, clock: Clock | None = None) -> int:
    """Run the command with ``argv`` (None: the process's arguments) and return its exit status.

    Each error is one line on stderr. The status is 1 if the service rejects the request, 2 for
    wrong usage or configuration, 75 if a later try can succeed, 130 after Ctrl-C. ``clock`` is for
    tests. Raises SystemExit for ``--help``, ``--version`` and invalid arguments.
    """
    open_streams()
    arguments = parser().parse_args(argv, argparse.Namespace(clock=clock or Clock()))
    try:
        status = int(arguments.func(arguments))
        sys.stdout.flush()
    except (ConfigurationError, DeliveryError) as error:
        warn(str(error))
        return _status_of(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:  # of a stream: its reader has closed it, or its disk is full
        if not isinstance(error, BrokenPipeError):
            warn(error.strerror or str(error))
        discard_stdout()
        return FAILED
    return status


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    result = _Parser(
        prog="pushover-logging",
        description="Sends your program's errors to your phone through Pushover.",
        epilog="pushover-logging COMMAND --help shows the options of a command, with examples",
    )
    result.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    subparsers = result.add_subparsers(metavar="COMMAND", required=True)
    commands = (
        init, send, run, jobs, overdue, check, inbox, demo, outbox, problems, mute, unmute, redact,
    )  # fmt: skip
    for command in commands:
        command.add_to(subparsers)
    return result


def _status_of(error: Exception) -> int:
    if isinstance(error, ConfigurationError):
        return WRONG_USAGE
    return FAILED if isinstance(error, RejectedError) else TRY_LATER


def _version() -> str:
    try:
        return importlib.metadata.version("pushover-logging")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
