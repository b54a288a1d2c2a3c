"""``pushover-logging mute``: holds pushes back in all processes that share the state."""

from __future__ import annotations

import argparse
import os
import sys

from pushover_logging import config
from pushover_logging.cli.argparse_help import add_command
from pushover_logging.cli.jobs import moment
from pushover_logging.cli.shared_state import add_options, shared_throttle, warn_of_unnamed_file
from pushover_logging.cli.terminal import on_one_line
from pushover_logging.throttle.mutes import Mute, ids_of

_EXAMPLES = """\
examples:
  pushover-logging mute --for 20m --outbox /var/lib/shop/outbox.sqlite
  pushover-logging mute db-7 --for 2h --include-critical

Records are counted as ever, and CRITICAL ones are sent all the same. At the end a quiet push
reports what was held back. The file that --outbox names must exist; the one that PUSHOVER_OUTBOX
names is created.

exit status: 0 done, 1 stdout cannot be written, 2 wrong usage, or there is no shared state,
75 it cannot be used now
"""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``mute``."""
    text = "Hold back the pushes of one problem, or of all, for a time."
    parser = add_command(subparsers, run, text, _EXAMPLES)
    add_name(parser)
    parser.add_argument(
        "--for",
        metavar="DURATION",
        dest="seconds",
        required=True,
        help="how long: 90, 90s, 15m, 1h30m or 2d, at most 7d",
    )
    parser.add_argument(
        "--include-critical", action="store_true", help="hold back CRITICAL ones as well"
    )
    add_options(parser)


def add_name(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names a problem."""
    parser.add_argument(
        "name", nargs="?", help="a fingerprint's name, or an ID as problems lists it; none: all"
    )


def run(arguments: argparse.Namespace) -> int:
    """Mute and return 0. Raises ConfigurationError and TemporaryError."""
    name = config.mute_name("NAME", arguments.name)
    seconds = config.mute_seconds("--for", arguments.seconds)
    # A path in the environment is that of programs, which create the file. One that was typed for
    # this call can be wrong.
    creates = not arguments.outbox and bool(os.environ.get("PUSHOVER_OUTBOX"))
    with shared_throttle(arguments, create=creates) as throttle:
        longer = throttle.mute(name, seconds, include_critical=arguments.include_critical)
        is_known = name is None or throttle.is_known(name)
    warn_of_unnamed_file(arguments)
    now = arguments.clock.time()
    mute = Mute(ids_of(name), now, now + seconds, arguments.include_critical)
    sys.stdout.write(f"{describe_mute(mute, now)}\n")
    if longer > 0:
        end = moment(now + seconds + longer, now)
        sys.stdout.write(f"This replaces the mute until {end}.\n")
    if not is_known:
        sys.stdout.write("No problem has this name now; the mute holds for when one comes.\n")
    return 0


def describe_mute(mute: Mute, now: float) -> str:
    """Return a line about a mute; its times and ``now`` are Unix time."""
    what = on_one_line(mute.ids[0]) if mute.ids else "all problems"
    passes = "" if mute.include_critical else ", except CRITICAL"
    return f"{what}: muted until {moment(mute.until, now)}{passes}"
