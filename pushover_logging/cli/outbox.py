"""``pushover-logging outbox``: what waits in an outbox's file, and what was set aside, and why."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pushover_logging import config
from pushover_logging.cli.helping import add_command
from pushover_logging.exceptions import ConfigurationError
from pushover_logging.rendering.summary import format_duration
from pushover_logging.rendering.text import truncate

if TYPE_CHECKING:
    import sqlite3

    from pushover_logging.database import Database
    from pushover_logging.outbox.asked import Listed

UNUSABLE = 1
_WIDTH = 60  # characters of a title, so that a row stays a line

_EXAMPLES = """\
examples:
  pushover-logging outbox alerts.sqlite
  pushover-logging outbox auto retry

exit status: 0 done, 1 the file cannot be used now, 2 there is no such file
"""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``outbox``."""
    text = "Show what waits in an outbox's file, or take up again what was set aside in it."
    parser = add_command(subparsers, run, text, _EXAMPLES)
    parser.add_argument("path", help="the file that the option outbox names, or auto")
    parser.add_argument(
        "action",
        nargs="?",
        choices=("list", "retry", "purge"),
        default="list",
        help="list all (the default), retry what was set aside, or purge it",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do the action; return 0, or 1 where the file cannot be used now."""
    # Only here: the command's other parts do without SQLite, and Windows has no fcntl.
    from pushover_logging.database import Database, Unavailable  # noqa: PLC0415
    from pushover_logging.outbox import rows  # noqa: PLC0415

    path = _path_of(arguments.path)
    if not path.is_file():
        text = f"outbox: there is no file {path}"
        raise ConfigurationError(text)
    database = Database(path, rows.MIGRATIONS)
    if not _is_outbox(database):
        text = f"outbox: {path} is no outbox's file; it is left as it is"
        raise ConfigurationError(text)
    try:
        with contextlib.closing(database), database.transaction() as connection:
            told = _done(arguments.action, connection)
    except Unavailable as error:
        sys.stderr.write(f"pushover-logging: {error}\n")
        return UNUSABLE
    sys.stdout.write(told)  # only now: whoever reads it may be slow, or gone
    return 0


def _path_of(given: str) -> Path:
    if given != "auto":
        return Path(given)
    client = config.client(None, None, None, None)
    path = config.outbox(given, client.application) if client else None
    if path is None:
        text = "outbox: PUSHOVER_TOKEN is off: auto is another file for each token"
        raise ConfigurationError(text)
    return path


def _is_outbox(database: Database) -> bool:
    """Tell whether the file is an outbox's.

    A handler saves what it can of a damaged outbox; who only looks may have named any file.
    """
    from pushover_logging.outbox.hostfile import is_outbox  # noqa: PLC0415  as above

    try:
        return is_outbox(database)
    except OSError as error:
        text = f"outbox: {database.path} cannot be read ({error.strerror})"
        raise ConfigurationError(text) from error


def _done(action: str, connection: sqlite3.Connection) -> str:
    """Do the action; return what is to be said of it."""
    from pushover_logging.outbox import asked  # noqa: PLC0415  as above

    if action == "retry":
        return f"{asked.take_up(connection)} taken up again\n"
    if action == "purge":
        return f"{asked.purge(connection)} purged\n"
    found = asked.listed(connection)
    aside = sum(one.set_aside is not None for one in found)
    rows = "".join(f"{_line(one)}\n" for one in found)
    return f"{rows}{len(found) - aside} waiting, {aside} set aside\n"


def _line(row: Listed) -> str:
    age = format_duration(max(0, round(time.time() - row.put_at)))
    title = "".join(char if char.isprintable() else " " for char in row.title)
    state = f"set aside ({row.set_aside})" if row.set_aside else "waiting"
    told = f"account {row.account}  {age}  priority {row.priority}"
    return f"{row.id}  {told}  {truncate(title, _WIDTH)}  {state}"
