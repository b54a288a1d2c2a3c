"""``pushover-logging problems``: lists what is open, in all processes that share the state."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Sequence

from pushover_logging.cli.argparse_help import add_command
from pushover_logging.cli.mute import describe_mute
from pushover_logging.cli.shared_state import add_options, shared_throttle, warn_of_unnamed_file
from pushover_logging.cli.terminal import on_one_line, truncate_columns
from pushover_logging.throttle.listing import ListedProblem

_HEAD = ("ID", "LEVEL", "COUNT", "SINCE", "LAST", "STATE", "TITLE")
_COLUMNS = 80  # where the width of the terminal is not known
_COLORS = {"emergency": "31", "acknowledged": "32", "muted": "33", "cooling": "2", "resolved": "2"}
_EXAMPLES = """\
examples:
  pushover-logging problems --outbox /var/lib/shop/outbox.sqlite
  pushover-logging problems --store redis://10.0.0.5/0 --all
  pushover-logging problems --json

exit status: 0 done, 1 stdout cannot be written, 2 wrong usage, or there is no shared state,
75 it cannot be used now
"""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``problems``."""
    text = "List the problems that are open, the newest first."
    parser = add_command(subparsers, run, text, _EXAMPLES)
    add_options(parser)
    parser.add_argument("--all", action="store_true", help="also those that are over")
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def run(arguments: argparse.Namespace) -> int:
    """Print the list and return 0. Raises ConfigurationError and TemporaryError."""
    now = arguments.clock.time()
    with shared_throttle(arguments) as throttle:
        found = throttle.problems(now, include_over=arguments.all)
        mutes = throttle.mutes(now)
    if arguments.json:
        rows = [{**dataclasses.asdict(one), "level": _level(one)} for one in found]
        sys.stdout.write(f"{json.dumps(rows, indent=2)}\n")
        return 0
    warn_of_unnamed_file(arguments)
    width = shutil.get_terminal_size((_COLUMNS, 24)).columns
    in_color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    muted = [describe_mute(mute, now) for mute in mutes]
    for line in [*table(found, now, width, in_color=in_color), *muted]:
        sys.stdout.write(f"{line}\n")
    return 0


def table(found: Sequence[ListedProblem], now: float, width: int, *, in_color: bool) -> list[str]:
    """Return the lines of a table that fits into ``width`` columns; one alone if all is well."""
    if not found:
        return ["no open problems"]
    rows = [_HEAD, *(_cells(one, now) for one in found)]
    sizes = [max(len(row[column]) for row in rows) for column in range(len(_HEAD) - 1)]
    start = sum(sizes[:5]) + 2 * 5  # of the state
    lines = []
    for row in rows:
        cells = [cell.ljust(size) for cell, size in zip(row, sizes, strict=False)]
        line = truncate_columns("  ".join([*cells, row[6]]), width).rstrip()
        color = _COLORS.get(row[5].partition(" ")[0])
        if in_color and color:
            end = start + sizes[5]
            line = f"{line[:start]}\x1b[{color}m{line[start:end]}\x1b[0m{line[end:]}"
        lines.append(line)
    return lines


def _cells(one: ListedProblem, now: float) -> tuple[str, ...]:
    state = one.state
    if one.until is not None and state != "open":
        state = f"{state} until {short_time(one.until, now)}"
    times = (short_time(at, now) for at in (one.since, one.last))
    return (on_one_line(one.id), _level(one), str(one.count), *times, state, on_one_line(one.title))


def _level(one: ListedProblem) -> str:
    return logging.getLevelName(one.level)


def short_time(at: float, now: float) -> str:
    """Return a time of today as ``14:02``, another as ``29 Nov``, in local time."""
    day, today = time.localtime(at), time.localtime(now)
    is_today = day[:3] == today[:3]
    return time.strftime("%H:%M", day) if is_today else f"{day.tm_mday} {time.strftime('%b', day)}"
