"""``pushover-logging demo``: shows what the handler does with a program that goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushover_logging.exceptions import ConfigurationError

if TYPE_CHECKING:
    import argparse


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``demo``."""
    text = "Show what the handler does with a program that goes wrong."
    parser = subparsers.add_parser("demo", help=text, description=text)
    parser.add_argument("--once", action="store_true", help="end after the first round")
    parser.set_defaults(func=run)


def run(_arguments: argparse.Namespace) -> int:
    """Refuse: the demo is not built yet."""
    text = "the demo is not built yet"
    raise ConfigurationError(text)
