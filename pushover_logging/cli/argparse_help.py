"""What subcommands have in common in argparse: `add_command`, and types of arguments.

A module of its own because every subcommand needs it and the package imports all subcommands.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable

from pushover_logging.clock import DURATION, parse_duration
from pushover_logging.rendering.text import clean

MAX_DURATION = 366 * 86_400.0  # seconds; a lock cannot wait for ever


class _HelpFormatter(argparse.HelpFormatter):
    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Keep the lines of a text with several lines, as of examples; wrap any other."""
        return text if "\n" in text else super()._fill_text(text, width, indent)


def add_command(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    func: Callable[[argparse.Namespace], int],
    text: str,
    examples: str,
) -> argparse.ArgumentParser:
    """Add a subcommand, named like the module of ``func``, and return its parser.

    ``func`` runs the subcommand and returns its exit status.
    """
    parser = subparsers.add_parser(
        func.__module__.rpartition(".")[2],
        help=text,
        description=text,
        epilog=examples,
        formatter_class=_HelpFormatter,
    )
    parser.set_defaults(func=func)
    return parser


def duration(text: str, lowest: int = 1) -> float:
    """Return the seconds of an option's value, ``lowest`` or more and at most 366 days."""
    with contextlib.suppress(ValueError):
        seconds = parse_duration(text)
        if lowest <= seconds <= MAX_DURATION:
            return seconds
    msg = f"got {text!r}, takes {DURATION}, {lowest} or more, at most 366d"
    raise argparse.ArgumentTypeError(msg)


def job_name(text: str) -> str:
    """Return a job's name on one line."""
    name = " ".join(clean(text).split())
    if name:
        return name
    msg = f"got {text!r}, takes a text that is not blank"
    raise argparse.ArgumentTypeError(msg)
