"""The ``pushover-logging`` command: one module a subcommand, each adding itself to the parser."""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pushover_logging.cli import check, demo, inbox, outbox, run, send
from pushover_logging.cli.stopping import let_go_of_stdout
from pushover_logging.clock import Clock
from pushover_logging.exceptions import ConfigurationError, DeliveryError, RejectedError

REFUSED = 1
WRONG_USAGE = 2
TRY_LATER = 75  # EX_TEMPFAIL of sysexits.h
INTERRUPTED = 130  # as shells say it: 128 + SIGINT


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong with the usage."""
        line = " ".join(message.split())
        self.exit(WRONG_USAGE, f"{self.prog}: {line} (--help says more)\n")


def main(argv: Sequence[str] | None = None, *, clock: Clock | None = None) -> int:
    """Run the command with ``argv`` (None: the process's arguments) and return its exit status.

    Every error is one line on stderr: status 1 for what the service refuses, 2 for a wrong usage or
    configuration, 75 for what may work later, 130 after Ctrl-C. ``clock`` is for tests. Raises
    SystemExit where argparse ends the program: ``--help``, ``--version``, arguments that it cannot
    read.
    """
    _open_streams()
    arguments = parser().parse_args(argv, argparse.Namespace(clock=clock or Clock()))
    try:
        status = int(arguments.func(arguments))
        sys.stdout.flush()
    except (ConfigurationError, DeliveryError) as error:
        sys.stderr.write(f"pushover-logging: {error}\n")
        return _status_of(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:  # of a stream: whoever read it has left, or its disk is full
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"pushover-logging: {error.strerror or error}\n")
        let_go_of_stdout()
        return REFUSED
    return status


def parser() -> argparse.ArgumentParser:
    """Return what reads the arguments."""
    made = _Parser(
        prog="pushover-logging",
        description="Your program's errors on your phone.",
        epilog="pushover-logging COMMAND --help says more, with examples",
    )
    made.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    subparsers = made.add_subparsers(metavar="COMMAND", required=True)
    for command in (send, run, check, inbox, demo, outbox):
        command.add_to(subparsers)
    return made


def _open_streams() -> None:
    """Give what is said to nobody where a stream is closed; where it cannot be shown, say ``?``."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  to the end
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # stderr has its own way of it


def _status_of(error: Exception) -> int:
    if isinstance(error, ConfigurationError):
        return WRONG_USAGE
    return REFUSED if isinstance(error, RejectedError) else TRY_LATER


def _version() -> str:
    try:
        return importlib.metadata.version("pushover-logging")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
