"""``pushover-logging inbox``: a local Pushover service that shows pushes in a browser."""

from __future__ import annotations

import argparse
import ipaddress
import shlex

from pushover_logging import config
from pushover_logging.cli.argparse_help import add_command
from pushover_logging.cli.signals import ending_quietly, wait_for_stop
from pushover_logging.cli.terminal import warn

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8017

_EXAMPLES = """\
examples:
  pushover-logging inbox
  pushover-logging inbox --port 0 --speed 60
  pushover-logging inbox --strict

It decrypts encrypted messages with the 64 hexadecimal digits in PUSHOVER_ENCRYPTION_KEY, or in the
file named by PUSHOVER_ENCRYPTION_KEY_FILE.

exit status: 0 ended by Ctrl-C or SIGTERM, 2 it cannot listen on the address
"""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``inbox``."""
    text = "Receive pushes on this machine and show them on a web page, without a Pushover account."
    parser = add_command(subparsers, run, text, _EXAMPLES)
    parser.add_argument(
        "--host",
        default=DEFAULT_HOST,
        help="the address to listen on; if it is not a loopback address, other machines have "
        "access (default: %(default)s)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        help="the port to listen on; 0 takes a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="accept only the token and the user key that it prints (default: any well-formed key)",
    )
    parser.add_argument(
        "--speed",
        type=float,
        default=1.0,
        help="how fast the inbox's time passes: with 60, an hour takes a minute "
        "(default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM, then return 0. Raises ConfigurationError."""
    # Imported here because the other subcommands do not need Flask.
    from pushover_logging.inbox import Inbox, rules  # noqa: PLC0415

    inbox = Inbox(
        arguments.host,
        arguments.port,
        strict=arguments.strict,
        speed=arguments.speed,
        encryption_key=config.encryption_key(None),
    )
    if not _is_loopback(arguments.host):
        warn(
            f"with --host {arguments.host}, everyone on the network can read the inbox and send "
            "to it; it has no passwords"
        )
    with ending_quietly(), inbox:
        # Not the encryption key, which the user has in the environment or in a file.
        environ = rules.environ(inbox.url)
        exports = [f"export {name}={shlex.quote(text)}" for name, text in environ.items()]
        print(f"Open {inbox.url} to see pushes; Ctrl-C ends the inbox.")
        print("To send a program's pushes here, set:", *exports, sep="\n", flush=True)
        wait_for_stop()
    return 0


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
