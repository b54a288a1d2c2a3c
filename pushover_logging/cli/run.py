"""``pushover-logging run``: runs a command as cron would, and sends a push if it fails."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import blake2b

from pushover_logging import config
from pushover_logging.cli import shared_state
from pushover_logging.cli.argparse_help import add_command, duration, job_name
from pushover_logging.cli.job_alerts import Job, JobAlerts, OutputTail, redaction
from pushover_logging.cli.ping import Ping, ping_url
from pushover_logging.cli.send import add_fields
from pushover_logging.cli.terminal import warn
from pushover_logging.exceptions import ConfigurationError
from pushover_logging.identity.record_parts import JOB
from pushover_logging.message import Message
from pushover_logging.rendering.summary import format_duration
from pushover_logging.throttle.store import Job as Deadline

OUTPUT_NOT_WRITTEN = 1
NOT_EXECUTABLE = 126
NOT_FOUND = 127
KILLED = 128
_END_OF_OPTIONS = "--"
_OTHER_PROBLEMS = ("(did not run)", "(too long)")  # how the names of a job's end
_FIELDS = ("priority", "device", "sound")  # of the alerts
_CREDENTIALS = frozenset({"PUSHOVER_TOKEN", "PUSHOVER_USER", "PUSHOVER_ENCRYPTION_KEY"})
_EXAMPLES = """\
examples:
  pushover-logging run --name backup -- /usr/local/bin/backup.sh --full
  */10 * * * *  pushover-logging run --name sync --longer-than 5m -- rsync -a /srv nas:/srv
  pushover-logging run --name nightly -- sh -c 'dump | gzip > /backup/db.gz'
  0 2 * * *  pushover-logging run --name backup --every 1d --grace 1h -- /usr/local/bin/backup.sh

You get a push for the first failure. Repeats are counted over all runs, and the next success sends
a push, too. Output, input, signals and status are those of the command.

exit status: the command's own; 128 plus the signal's number if it was killed, 127 if it was not
found, 126 if it cannot be executed, 1 if its output could not be written, 2 if an option is wrong
(then nothing is run)
"""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``run``."""
    text = "Run a command, and send a push with the end of its output if it fails."
    parser = add_command(subparsers, run, text, _EXAMPLES)
    parser.usage = "%(prog)s [options] -- COMMAND..."
    parser.add_argument(
        "--name",
        type=_own_name,
        help="the job's name; all its failures are one problem (default: the program)",
    )
    parser.add_argument(
        "--every",
        metavar="DURATION",
        type=duration,
        help="also alert if the next run has not started this long after this one; needs --name",
    )
    parser.add_argument(
        "--grace",
        metavar="DURATION",
        type=partial(duration, lowest=0),
        help="how much later than --every the next run may start (default: 0)",
    )
    parser.add_argument(
        "--longer-than",
        metavar="DURATION",
        type=duration,
        help="also alert if the command runs longer than this",
    )
    parser.add_argument(
        "--ping",
        metavar="URL",
        type=ping_url,
        help="also report start and end to a service like healthchecks.io, at this URL",
    )
    parser.add_argument("--always", action="store_true", help="send a push for each run")
    parser.add_argument(
        "--show-command", action="store_true", help="show the command and its arguments in pushes"
    )
    add_fields(parser, _FIELDS)
    shared_state.add_options(parser)
    parser.add_argument(
        "--pass-credentials",
        action="store_true",
        help="leave PUSHOVER_TOKEN, PUSHOVER_USER and PUSHOVER_ENCRYPTION_KEY in the command's "
        "environment",
    )
    parser.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER)


def _own_name(text: str) -> str:
    """Return the option ``--name``; refuse what names a late or a slow run of another job."""
    name = job_name(text)
    if not name.endswith(_OTHER_PROBLEMS):
        return name
    msg = f"got {text!r}, takes a text that does not end in {' or '.join(_OTHER_PROBLEMS)}"
    raise argparse.ArgumentTypeError(msg)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its status as a shell would."""
    if sys.platform == "win32":
        msg = "run: not on Windows"
        raise ConfigurationError(msg)
    command = arguments.command
    if command[:1] == [_END_OF_OPTIONS]:
        command = command[1:]
    if not command:
        msg = "run: no command was given"
        raise ConfigurationError(msg)
    # Imported here because it needs modules that Windows does not have.
    from pushover_logging.cli.child import exiting_on_signals  # noqa: PLC0415

    job = _job(arguments, command)
    output = OutputTail()
    alerts = JobAlerts(job, output, arguments)
    alerts.report_start()
    withheld = frozenset() if arguments.pass_credentials else _CREDENTIALS
    environ = {name: value for name, value in os.environ.items() if name not in withheld}
    ping = Ping(arguments.ping) if arguments.ping is not None else None
    status = _run(command, environ, output, alerts, ping)
    if ping is not None:
        ping.end(status, output.text(redaction()))
    alerts.report_end(status)
    with exiting_on_signals(status):
        alerts.close()
        if ping is not None:
            ping.wait()
    return status


def _job(arguments: argparse.Namespace, command: Sequence[str]) -> Job:
    """Return the job that the options describe. Raises ConfigurationError."""
    given = {name: getattr(arguments, name) for name in _FIELDS}
    fields = {name: value for name, value in given.items() if value is not None}
    checked = Message(message="checked here, not at the first failure", **fields)
    program = os.path.basename(command[0]) or command[0]  # noqa: PTH119  Path drops a trailing slash
    name, every, deadline = arguments.name, arguments.every, None
    if every is not None and name is None:
        msg = f"every: got {format_duration(every)}, needs --name, which the push shows"
        raise ConfigurationError(msg, option="every")
    if arguments.grace is not None and every is None:
        msg = f"grace: got {format_duration(arguments.grace)}, needs --every"
        raise ConfigurationError(msg, option="grace")
    if name is not None:
        deadline = Deadline(
            every=every or 0.0, grace=arguments.grace or 0.0, host=config.host(None) or "",
            priority=checked.priority, device=checked.device, sound=checked.sound,
        )  # fmt: skip
    digest = blake2b("\0".join(command).encode("utf-8", "surrogateescape"), digest_size=3)
    return Job(
        name=name or program,
        # The hash distinguishes two scripts of one interpreter.
        fingerprint=JOB + (name or f"{program} {digest.hexdigest()}"),
        command=shlex.join(command) if arguments.show_command else None,
        fields=fields,
        always=arguments.always,
        max_seconds=arguments.longer_than,
        deadline=deadline,
    )


def _run(
    command: Sequence[str],
    environ: Mapping[str, str],
    output: OutputTail,
    alerts: JobAlerts,
    ping: Ping | None,
) -> int:
    from pushover_logging.cli.child import Child  # noqa: PLC0415  as above

    child = Child(command, environ, output.add)
    try:
        child.start()
    except OSError as error:
        return _report_not_started(command[0], error, alerts)
    if ping is not None:
        ping.start()
    max_seconds = alerts.job.max_seconds
    timer = threading.Timer(max_seconds or 0.0, alerts.report_overrun)
    timer.daemon = True
    if max_seconds is not None:
        timer.start()
    code = child.wait()
    timer.cancel()
    if max_seconds is not None:
        timer.join()  # an alert that it has begun is completed
    if child.write_error is not None:
        text = f"its output could not be written ({child.write_error.strerror})"
        warn(text)
        alerts.report_failure(f"failed: {text}")
        code = code or OUTPUT_NOT_WRITTEN
    elif code == 0:
        alerts.report_success()
    elif not child.interrupted:  # the user who pressed Ctrl-C needs no alert
        alerts.report_failure(_ending(code))
    return code if code >= 0 else KILLED - code


def _ending(code: int) -> str:
    if code > 0:
        return f"failed: exit status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _report_not_started(program: str, error: OSError, alerts: JobAlerts) -> int:
    is_found = not isinstance(error, FileNotFoundError)
    text = f"cannot be executed ({error.strerror})" if is_found else "command not found"
    warn(f"{program}: {text}")
    alerts.report_failure(f"failed: {text}")
    return NOT_EXECUTABLE if is_found else NOT_FOUND
