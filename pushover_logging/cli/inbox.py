"""``pushover-logging inbox``: the stand-in service on this machine, to see pushes in a browser."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from pushover_logging.cli.stopping import stopped_quietly, wait_for_stop

if TYPE_CHECKING:
    import argparse

DEFAULT_PORT = 8017


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``inbox``."""
    text = "Receive pushes on this machine and show them on a page; nothing leaves it."
    parser = subparsers.add_parser("inbox", help=text, description=text)
    parser.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        help="where to listen on 127.0.0.1; 0 takes a free one (default: %(default)s)",
    )
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM, then return 0; ConfigurationError for an unusable port."""
    # Only here: the command's other parts do without Flask.
    from pushover_logging.inbox import Inbox  # noqa: PLC0415

    with stopped_quietly(), Inbox(port=arguments.port) as inbox:
        sys.stdout.write(f"Open {inbox.url} to see what arrives; Ctrl-C ends it.\n")
        sys.stdout.write("Point a program at it with:\n")
        for name, value in inbox.environ.items():
            sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
        sys.stdout.flush()
        wait_for_stop()
    return 0
