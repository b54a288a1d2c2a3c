"""How a subcommand shows itself: a line, what its options mean, and examples that can be copied."""

from __future__ import annotations

import argparse
from collections.abc import Callable


class _Formatter(argparse.HelpFormatter):
    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Keep the lines of examples as they are; wrap all else."""
        return text if "\n" in text else super()._fill_text(text, width, indent)


def add_command(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    func: Callable[[argparse.Namespace], int],
    text: str,
    examples: str,
) -> argparse.ArgumentParser:
    """Add a subcommand and return its parser.

    It is named like the module of ``func``, which runs it and returns its exit status.
    """
    parser = subparsers.add_parser(
        func.__module__.rpartition(".")[2],
        help=text,
        description=text,
        epilog=examples,
        formatter_class=_Formatter,
    )
    parser.set_defaults(func=func)
    return parser
