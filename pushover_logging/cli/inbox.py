"""``pushover-logging inbox``: the stand-in service on this machine, to see pushes in a browser."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from types import FrameType

DEFAULT_PORT = 8017
# How late, at most, a signal ends the command; in seconds.
_SIGNAL_DELAY = 0.2


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

    # A shell starts a background job with SIGINT ignored, and SIGTERM would skip the closing.
    stops = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(stop, _interrupt) for stop in stops]
    try:
        with Inbox(port=arguments.port) as inbox:
            sys.stdout.write(f"Open {inbox.url} to see what arrives; Ctrl-C ends it.\n")
            sys.stdout.write("Point a program at it with:\n")
            for name, value in inbox.environ.items():
                sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
            sys.stdout.flush()
            # In short sleeps: a signal that arrives just before a wait does not interrupt it.
            while True:
                time.sleep(_SIGNAL_DELAY)
    except KeyboardInterrupt:
        pass
    finally:
        for stop, handler in zip(stops, before, strict=True):
            signal.signal(stop, handler)
    return 0


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
