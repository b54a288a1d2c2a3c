"""``pushover-logging outbox``: lists the messages in an outbox file, or retries some."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pushover_logging import config
from pushover_logging.cli.argparse_help import add_command
from pushover_logging.cli.terminal import on_one_line, warn
from pushover_logging.clock import Clock
from pushover_logging.exceptions import ConfigurationError
from pushover_logging.rendering.summary import format_duration
from pushover_logging.rendering.text import truncate

if TYPE_CHECKING:
    import sqlite3

    from pushover_logging.outbox.sqlite import ListedMessage

UNUSABLE = 1
_MAX_TITLE = 60  # characters, so that a row fits on a line

_EXAMPLES = """\
examples:
  pushover-logging outbox alerts.sqlite
  pushover-logging outbox auto retry

exit status: 0 done, 1 the file cannot be used now, 2 the file does not exist or is not an outbox
"""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``outbox``."""
    text = "List the messages in an outbox file; retry or delete those that were set aside."
    parser = add_command(subparsers, run, text, _EXAMPLES)
    parser.add_argument("path", help="the path of the outbox file, or auto")
    parser.add_argument(
        "action",
        nargs="?",
        choices=("list", "retry", "purge"),
        default="list",
        help="list all messages (the default); retry or purge those that were set aside",
    )


def run(arguments: argparse.Namespace) -> int:
    """Perform the action; return 0, or 1 if the file cannot be used now."""
    # Imported here because other subcommands do not need SQLite, and Windows has no fcntl.
    from pushover_logging.outbox.sqlite import MIGRATIONS  # noqa: PLC0415
    from pushover_logging.storage.sqlite_file import SqliteFile, Unavailable  # noqa: PLC0415

    path = _path_of(arguments.path)
    if not path.is_file():
        text = f"outbox: there is no file {path}"
        raise ConfigurationError(text)
    file = SqliteFile(path, MIGRATIONS, Clock())
    try:
        # A handler repairs a damaged outbox. This command must not: the path might be wrong.
        if not file.is_outbox():
            text = f"outbox: {path} is not an outbox file; it is not changed"
            raise ConfigurationError(text)
        with contextlib.closing(file):
            text = file.run(lambda connection: _perform(arguments.action, connection))
    except (Unavailable, OSError) as error:
        warn(str(error))
        return UNUSABLE
    sys.stdout.write(text)  # after the transaction: the reader of stdout might be slow or gone
    return 0


def _path_of(given: str) -> Path:
    if given != "auto":
        return Path(given)
    client = config.client(config.credentials())
    path = config.outbox(given, client.application) if client else None
    if path is None:
        text = "outbox: PUSHOVER_TOKEN is off: auto needs a token, which names the file"
        raise ConfigurationError(text)
    return path


def _perform(action: str, connection: sqlite3.Connection) -> str:
    """Perform the action, and return the text to print."""
    from pushover_logging.outbox import sqlite  # noqa: PLC0415  as in run

    if action == "retry":
        return f"{sqlite.retry_set_aside(connection)} will be retried\n"
    if action == "purge":
        return f"{sqlite.purge_set_aside(connection)} purged\n"
    found = sqlite.list_messages(connection)
    set_aside = sum(row.set_aside is not None for row in found)
    lines = "".join(f"{_line(row)}\n" for row in found)
    return f"{lines}{len(found) - set_aside} waiting, {set_aside} set aside\n"


def _line(row: ListedMessage) -> str:
    state = f"set aside ({row.set_aside})" if row.set_aside else "waiting"
    details = f"account {row.account}  {_age(row.put_at)}  priority {row.priority}"
    return on_one_line(f"{row.id}  {details}  {truncate(row.title, _MAX_TITLE)}  {state}")


def _age(put_at: float) -> str:
    try:
        return format_duration(max(0, round(time.time() - put_at)))
    except (TypeError, ValueError, OverflowError):  # a program of others has changed the file
        return "?"
