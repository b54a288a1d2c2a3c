"""add_command: what all subcommands have in common in argparse, and examples in their help.

A module of its own because every subcommand needs it and the package imports all subcommands.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable


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
