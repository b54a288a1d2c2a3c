"""``pushover-logging unmute``: ends a mute before its time."""

from __future__ import annotations

import argparse
import sys

from pushover_logging import config
from pushover_logging.cli.argparse_help import add_command
from pushover_logging.cli.mute import add_name, describe_mute
from pushover_logging.cli.shared_state import (
    add_options,
    rules_of,
    shared_handler,
    shared_throttle,
    warn_of_unnamed_file,
)
from pushover_logging.cli.terminal import on_one_line, progress, warn

_EXAMPLES = """\
examples:
  pushover-logging unmute --outbox /var/lib/shop/outbox.sqlite
  pushover-logging unmute db-7

Without a name all mutes end. What was held back is sent at once, also if no program runs. If
the service does not answer, a line on stderr says so, and the next program sends it.

exit status: 0 done, 1 stdout cannot be written, 2 wrong usage, or there is no shared state,
75 it cannot be used now
"""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``unmute``."""
    parser = add_command(subparsers, run, "End a mute before its time.", _EXAMPLES)
    add_name(parser)
    add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """End the mute, send what it held back, and return 0.

    Raises ConfigurationError and TemporaryError.
    """
    name = config.mute_name("NAME", arguments.name)
    with shared_throttle(arguments) as throttle:
        found = throttle.unmute(name)
        now = arguments.clock.time()
        wider = [mute for mute in throttle.mutes(now) if not mute.ids]
    warn_of_unnamed_file(arguments)
    if found:
        _report(arguments)
    missing = "nothing was muted" if name is None else f"{on_one_line(name)} has no mute of its own"
    lines = ["unmuted" if found else missing, *(describe_mute(mute, now) for mute in wider)]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def _report(arguments: argparse.Namespace) -> None:
    """Send what was held back, unless a program does."""
    arguments.store = rules_of(arguments).store
    if arguments.store is not None:
        arguments.outbox = config.OFF  # a summary needs no file
    handler = shared_handler(arguments)
    assert handler is not None  # noqa: S101  there is a shared state
    with progress("waiting for the service"):
        is_sent = handler.report_due()
    if not is_sent:
        reason = handler.stats().last_error or "there was no answer"
        warn(f"what was held back is not sent yet ({reason}): the next program sends it")
