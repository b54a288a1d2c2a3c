"""``pushover-logging jobs``: lists the jobs that have a deadline, or forgets one."""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Mapping

from pushover_logging.cli import shared_state
from pushover_logging.cli.argparse_help import add_command, job_name
from pushover_logging.cli.terminal import columns, on_one_line, truncate_columns
from pushover_logging.rendering.summary import format_duration
from pushover_logging.throttle import jobs
from pushover_logging.throttle.store import DEADLINE, Job, Store

UNKNOWN = 1
_ROW = "{}  {:12}  {:8}  {:8}  {}"
_REST = 56  # columns of a row without its name
_NAME = 20  # columns that a name has at least
_COLUMNS = 80  # if the width of the terminal is not known
_HALF_A_YEAR = 183 * 86_400  # seconds
_NO_JOBS = "no jobs: `pushover-logging run --every DURATION` adds one"
JOBS_OF_OTHERS = "no jobs of this token and user; the file has jobs of another token or user"
_EXAMPLES = """\
examples:
  pushover-logging jobs
  pushover-logging jobs --json --store redis://nas/0
  pushover-logging jobs forget backup

exit status: 0 done, 1 the job to forget is unknown, 2 there is no shared state, 75 it cannot be
used now
"""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``jobs``."""
    text = "List the jobs that have a deadline, or forget one."
    parser = add_command(subparsers, run, text, _EXAMPLES)
    actions = parser.add_subparsers(metavar="ACTION", dest="action")
    # Options come before or after an action, which sets only those that follow it.
    listing, forgetting = (
        actions.add_parser(name, help=text, description=text, argument_default=argparse.SUPPRESS)
        for name, text in (
            ("list", "List the jobs: the default."),
            ("forget", "Forget a job that will not run again."),
        )
    )
    forgetting.add_argument("name", metavar="NAME", type=job_name, help="the job to forget")
    for each in (parser, listing):
        each.add_argument("--json", action="store_true", help="print the list as JSON")
    for each in (parser, listing, forgetting):
        shared_state.add_options(each)


def run(arguments: argparse.Namespace) -> int:
    """List the jobs, or forget one; return 1 if that is unknown, else 0."""
    if arguments.action == "forget":
        with shared_state.shared_throttle(arguments) as throttle:
            is_known = jobs.forget(throttle.store, arguments.name)
        print(on_one_line(f"{arguments.name} is {'forgotten' if is_known else 'unknown'}"))
        return 0 if is_known else UNKNOWN
    with shared_state.shared_throttle(arguments) as throttle:
        found, now = jobs.listed(throttle.store), throttle.store.now()
        none = _NO_JOBS if found or not others_have_jobs(throttle.store) else JOBS_OF_OTHERS
    if arguments.json:
        print(json.dumps([_described(name, job, now) for name, job in found.items()], indent=2))
    elif found:
        for line in _table(found, now):
            print(line)
    else:
        print(none)
    return 0


def others_have_jobs(store: Store) -> bool:
    """Return True if the store is a file with jobs of other accounts; Redis does not know."""
    others_have = getattr(store, "others_have", None)  # Windows cannot import SqliteStore
    return others_have is not None and bool(others_have(DEADLINE))


def _described(name: str, job: Job, now: float) -> dict[str, object]:
    """Return what is known of a job: Unix times, and no status or duration while it runs."""
    has_ended = job.ended > 0
    return {
        "name": name,
        "host": job.host,
        "started": job.started,
        "status": job.status if has_ended else None,
        "duration": round(job.ended - job.started, 3) if has_ended else None,
        "deadline": job.deadline,
        "overdue": job.deadline <= now,
    }


def _table(found: Mapping[str, Job], now: float) -> list[str]:
    """Return the lines of a table that is at most as wide as the terminal."""
    room = max(_NAME, shutil.get_terminal_size((_COLUMNS, 24)).columns - _REST)
    names = ["NAME", *(truncate_columns(on_one_line(name), room) for name in found)]
    size = max(_NAME, *map(columns, names))
    head, *cells = [name + " " * (size - columns(name)) for name in names]
    rows = [_line(cell, job, now) for cell, job in zip(cells, found.values(), strict=True)]
    return [_ROW.format(head, "LAST START", "STATUS", "DURATION", "DEADLINE"), *rows]


def _line(name: str, job: Job, now: float) -> str:
    status, duration = "running", ""
    if job.ended:
        status = f"exit {job.status}" if job.status else "ok"
        duration = format_duration(max(0, round(job.ended - job.started)))
    started, deadline = (moment(at, now) for at in (job.started, job.deadline))
    deadline += " OVERDUE" if job.deadline <= now else ""
    return _ROW.format(name, started, status, duration, deadline)


def moment(at: float, now: float) -> str:
    """Return a local time as `ls` shows it: with its year if it is half a year away or more."""
    is_near = abs(at - now) < _HALF_A_YEAR
    return time.strftime("%d %b %H:%M" if is_near else "%d %b  %Y", time.localtime(at))
