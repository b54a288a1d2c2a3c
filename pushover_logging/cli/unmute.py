"""``pushover-logging unmute``: ends a mute before its time."""

from __future__ import annotations

import argparse
import sys

from pushover_logging.cli.argparse_help import add_command
from pushover_logging.cli.mute import add_name
from pushover_logging.cli.shared_state import add_options, shared_throttle

_EXAMPLES = """\
examples:
  pushover-logging unmute --outbox /var/lib/shop/outbox.sqlite
  pushover-logging unmute db-7

What was held back is reported at once. Without a name all mutes end.

exit status: 0 done, 2 wrong usage, or there is no shared state, 75 it cannot be used now
"""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``unmute``."""
    parser = add_command(subparsers, run, "End a mute before its time.", _EXAMPLES)
    add_name(parser)
    add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """End the mute and return 0. Raises ConfigurationError and TemporaryError."""
    with shared_throttle(arguments) as throttle:
        found = throttle.unmute(arguments.name)
    sys.stdout.write("unmuted\n" if found else "nothing was muted\n")
    return 0
