"""``pushover-logging jobs``: lists the jobs that have a deadline, or forgets one."""

from __future__ import annotations

import argparse
import json
import time

from pushover_logging.cli import shared_state
from pushover_logging.cli.argparse_help import add_command, job_name
from pushover_logging.cli.terminal import on_one_line
from pushover_logging.rendering.summary import format_duration
from pushover_logging.rendering.text import truncate
from pushover_logging.throttle import jobs
from pushover_logging.throttle.store import Job

UNKNOWN = 1
_ROW = "{:20}  {:12}  {:8}  {:8}  {}"
_HALF_A_YEAR = 183 * 86_400  # seconds
_MAX_NAME = 20  # characters, so that a row fits on a line of 80
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
        print(f"{arguments.name} is {'forgotten' if is_known else 'unknown'}")
        return 0 if is_known else UNKNOWN
    with shared_state.shared_throttle(arguments) as throttle:
        found, now = jobs.listed(throttle.store), throttle.store.now()
    if arguments.json:
        print(json.dumps([_described(name, job, now) for name, job in found.items()], indent=2))
    elif found:
        print(_ROW.format("NAME", "LAST START", "STATUS", "DURATION", "DEADLINE"))
        for name, job in found.items():
            print(_line(name, job, now))
    else:
        print("no jobs: `pushover-logging run --every DURATION` adds one")
    return 0


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


def _line(name: str, job: Job, now: float) -> str:
    status, duration = "running", ""
    if job.ended:
        status = f"exit {job.status}" if job.status else "ok"
        duration = format_duration(max(0, round(job.ended - job.started)))
    started, deadline = (_moment(at, now) for at in (job.started, job.deadline))
    deadline += " OVERDUE" if job.deadline <= now else ""
    return _ROW.format(truncate(on_one_line(name), _MAX_NAME), started, status, duration, deadline)


def _moment(at: float, now: float) -> str:
    """Return a local time as `ls` shows it: with its year if it is half a year away or more."""
    is_near = abs(at - now) < _HALF_A_YEAR
    return time.strftime("%d %b %H:%M" if is_near else "%d %b  %Y", time.localtime(at))
