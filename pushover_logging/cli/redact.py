"""``pushover-logging redact``: prints a text with its secrets masked, as a push would show it."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

from pushover_logging import config
from pushover_logging.cli.argparse_help import add_command
from pushover_logging.cli.terminal import warn
from pushover_logging.exceptions import ConfigurationError
from pushover_logging.rendering.redaction import MAX_CHARS, Redaction
from pushover_logging.rendering.text import clean

STDIN = "-"
_MAX_BYTES = 4 * MAX_CHARS + 1  # a character of UTF-8 has at most four

_EXAMPLES = """\
examples:
  pushover-logging redact error.log
  tail -n 50 error.log | pushover-logging redact

exit status: 0 done, 1 stdout cannot be written, 2 the file cannot be read
"""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``redact``."""
    text = "Print a text with its secrets masked, as a push would show it. Sends nothing."
    parser = add_command(subparsers, run, text, _EXAMPLES)
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        default=STDIN,
        help="the file to read; - or no file reads stdin",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the text and return 0. Raises ConfigurationError if the file cannot be read."""
    secrets = None
    with contextlib.suppress(ConfigurationError):  # the patterns need no configuration
        secrets = config.credentials()
    text = clean(_read(arguments.file).decode("utf-8", "replace"))
    if len(text) > MAX_CHARS:
        warn(f"the text is truncated at {MAX_CHARS:,} characters")
    text = Redaction(None, secrets.secrets() if secrets else ())(text)
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
    return 0


def _read(name: str) -> bytes:
    if name == STDIN:
        return sys.stdin.buffer.read(_MAX_BYTES) if sys.stdin else b""  # None if it is closed
    try:
        with Path(name).open("rb") as file:
            return file.read(_MAX_BYTES)
    except OSError as error:
        msg = f"redact: {name} cannot be read ({error.strerror})"
        raise ConfigurationError(msg) from error
