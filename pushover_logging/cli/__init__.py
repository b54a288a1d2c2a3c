"""The ``pushover-logging`` command: one module a subcommand, each adding itself to the parser."""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from typing import TYPE_CHECKING

from pushover_logging.cli import demo, inbox, outbox
from pushover_logging.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

WRONG_USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv`` (None: the process's arguments) and return its exit status.

    What is wrong with the usage is one line on stderr and status 2. Raises SystemExit where
    argparse ends the program: ``--help``, ``--version``, arguments that it cannot read.
    """
    parser = argparse.ArgumentParser(
        prog="pushover-logging", description="Your program's errors on your phone."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (inbox, demo, outbox):
        command.add_to(subparsers)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.func(arguments))
    except ConfigurationError as error:
        sys.stderr.write(f"pushover-logging: {error}\n")
        return WRONG_USAGE


def _version() -> str:
    try:
        return importlib.metadata.version("pushover-logging")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
