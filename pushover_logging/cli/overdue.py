"""``pushover-logging overdue``: reports the jobs that did not run, once."""

from __future__ import annotations

import argparse

from pushover_logging.cli import shared_state
from pushover_logging.cli.argparse_help import add_command
from pushover_logging.cli.jobs import JOBS_OF_OTHERS, others_have_jobs
from pushover_logging.cli.terminal import on_one_line, progress, warn
from pushover_logging.exceptions import TemporaryError
from pushover_logging.throttle import jobs

OVERDUE = 1
_EXAMPLES = """\
examples:
  pushover-logging overdue
  */10 * * * *  pushover-logging overdue
  pushover-logging overdue --store redis://nas/0

Prints a line for each job that has not started before the deadline that `run` has set, and
sends a push for each that has not been reported yet. Also sends what is due of other problems.

exit status: 0 no job is overdue, 1 some are, 2 there is no shared state, 75 it cannot be used now,
or a push was not sent
"""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``overdue``."""
    text = "Send a push for each job that did not run; status 1 if there is one."
    shared_state.add_options(add_command(subparsers, run, text, _EXAMPLES))


def run(arguments: argparse.Namespace) -> int:
    """Report and list the jobs that are overdue; return 1 if there are any, else 0.

    Raises ConfigurationError, and TemporaryError if another push that is due cannot be sent.
    """
    with (
        shared_state.library_warnings() as warnings,
        shared_state.shared_throttle(arguments) as throttle,
    ):
        handler = shared_state.shared_handler(arguments)
        assert handler is not None  # noqa: S101  there is a shared state
        with progress("sending"):
            is_sent = handler.report_due()
        now = throttle.store.now()
        found = jobs.listed(throttle.store)
        late = {name: job for name, job in found.items() if job.deadline <= now}
        is_sent = is_sent and all(jobs.is_reported(job, now) for job in late.values())
        warnings.error = None if is_sent else handler.stats().last_error
        is_blind = not found and others_have_jobs(throttle.store)
    if is_blind:
        warn(JOBS_OF_OTHERS)
    for name, job in late.items():
        message = jobs.message(name, job, now)
        print(on_one_line(f"{message.title}: {message.message}"))
    if is_sent:
        return OVERDUE if late else 0
    why = warnings.error or "the service asked to wait, or another process sends"
    remedy = "the next call tries again, and `pushover-logging check` finds what is wrong"
    unsent = TemporaryError(f"a push was not sent: {why}; {remedy}")
    if not late:
        raise unsent
    warn(str(unsent))
    return OVERDUE
