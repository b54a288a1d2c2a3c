"""``pushover-logging inbox``: the stand-in service on this machine, to see pushes in a browser."""

from __future__ import annotations

import argparse
import ipaddress
import os
import shlex
import sys

from pushover_logging.cli.helping import add_command
from pushover_logging.cli.stopping import stopped_quietly, wait_for_stop

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8017

_EXAMPLES = """\
examples:
  pushover-logging inbox
  pushover-logging inbox --port 0 --speed 60

exit status: 0 it was ended by Ctrl-C or SIGTERM, 2 it cannot listen there
"""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``inbox``."""
    text = "Receive pushes on this machine and show them on a page; nothing leaves it."
    parser = add_command(subparsers, run, text, _EXAMPLES)
    parser.add_argument(
        "--host",
        default=DEFAULT_HOST,
        help="the address to listen on; any but this machine's own lets others in "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        help="the port to listen on; 0 takes a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--speed",
        type=float,
        default=1.0,
        help="how fast its time passes: at 60 an emergency's hour takes a minute "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--encryption-key",
        metavar="KEY",
        default=os.environ.get("PUSHOVER_ENCRYPTION_KEY") or None,
        help="64 hexadecimal digits: shows encrypted messages in the clear "
        "(default: PUSHOVER_ENCRYPTION_KEY)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM, then return 0; ConfigurationError for what cannot be."""
    # Only here: the command's other parts do without Flask.
    from pushover_logging.inbox import Inbox  # noqa: PLC0415

    inbox = Inbox(
        arguments.host,
        arguments.port,
        speed=arguments.speed,
        encryption_key=arguments.encryption_key,
    )
    if not _is_loopback(arguments.host):
        sys.stderr.write(
            f"pushover-logging: {arguments.host} lets everyone on the network read the inbox "
            "and send to it; it has no passwords\n"
        )
    with stopped_quietly(), inbox:
        sys.stdout.write(f"Open {inbox.url} to see what arrives; Ctrl-C ends it.\n")
        sys.stdout.write("Point a program at it with:\n")
        for name, value in inbox.environ.items():
            sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
        sys.stdout.flush()
        wait_for_stop()
    return 0


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
