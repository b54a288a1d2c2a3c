"""``pushover-logging run``: a command as cron would run it, and a push where it fails."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from hashlib import blake2b

from pushover_logging.cli.helping import add_command
from pushover_logging.cli.phone import Job, Phone
from pushover_logging.cli.send import priority
from pushover_logging.cli.tail import Tail
from pushover_logging.exceptions import ConfigurationError
from pushover_logging.message import Message

LONGEST = 366 * 86_400.0  # seconds; what a lock can wait for ends somewhere
UNWRITTEN = 1
NOT_EXECUTABLE = 126
NOT_FOUND = 127
KILLED = 128
_END_OF_OPTIONS = "--"
_EXAMPLES = """\
examples:
  pushover-logging run --name backup -- /usr/local/bin/backup.sh --full
  */10 * * * *  pushover-logging run --name sync --longer-than 300 -- rsync -a /srv nas:/srv
  pushover-logging run --name nightly -- sh -c 'dump | gzip > /backup/db.gz'

A push at the first failure; then the problem is throttled over all runs, and one says
that it is fine again. Output, input, signals and status are the command's own.

exit status: the command's own; 128 and the signal's number where it was killed, 127 where it
is not found, 126 where it cannot be executed, 1 where its output could not be written, 2 where an
option is wrong (then nothing is run)
"""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``run``."""
    text = "Run a command, and send a push where it fails, with the end of its output."
    parser = add_command(subparsers, run, text, _EXAMPLES)
    parser.usage = "%(prog)s [options] -- COMMAND..."
    parser.add_argument(
        "--name", help="what the job is called; its failures are one problem (default: the program)"
    )
    parser.add_argument(
        "--longer-than",
        metavar="SECONDS",
        type=float,
        help="tell as well where it still runs after so long",
    )
    parser.add_argument("--always", action="store_true", help="tell each run, failed or not")
    parser.add_argument(
        "--show-command", action="store_true", help="show the command with its arguments"
    )
    parser.add_argument("--priority", type=priority, help="of a failure (default: normal)")
    parser.add_argument("--device", metavar="NAMES", help="devices, by commas (default: all)")
    parser.add_argument("--sound", metavar="NAME", help="of a failure (default: the user's own)")
    parser.add_argument(
        "--outbox",
        metavar="PATH",
        help="the file in which its runs know of each other (default: PUSHOVER_OUTBOX, else auto)",
    )
    parser.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its status, as a shell says it."""
    if sys.platform == "win32":
        msg = "run: not on Windows"
        raise ConfigurationError(msg)
    command = arguments.command
    if command[:1] == [_END_OF_OPTIONS]:
        command = command[1:]
    if not command:
        msg = "run: no command was given"
        raise ConfigurationError(msg)
    job = _job(arguments, command)
    tail = Tail()
    phone = Phone(job, tail, arguments.clock)
    status = _run(command, tail, phone, job.limit)
    phone.close()
    return status


def _job(arguments: argparse.Namespace, command: Sequence[str]) -> Job:
    """Return what the options say. Raises ConfigurationError for one that cannot be."""
    given = {name: getattr(arguments, name) for name in ("priority", "device", "sound")}
    fields = {name: value for name, value in given.items() if value is not None}
    Message(message="checked here, not at the first failure", **fields)
    program = os.path.basename(command[0]) or command[0]  # noqa: PTH119  as it ends in a slash
    name, limit = arguments.name, arguments.longer_than
    if name is not None and not name.strip():
        msg = f"name: got {name!r}, takes a text that is not blank"
        raise ConfigurationError(msg, option="name")
    if limit is not None and not 0 < limit <= LONGEST:
        msg = f"longer-than: got {limit:g}, takes seconds, above 0 and at most {LONGEST:g}"
        raise ConfigurationError(msg, option="longer_than")
    digest = blake2b("\0".join(command).encode("utf-8", "surrogateescape"), digest_size=3)
    return Job(
        name=name or program,
        key=name or f"{program} {digest.hexdigest()}",  # two scripts of one interpreter are two
        outbox=arguments.outbox,
        command=shlex.join(command) if arguments.show_command else None,
        fields=fields,
        always=arguments.always,
        limit=limit,
    )


def _run(command: Sequence[str], tail: Tail, phone: Phone, limit: float | None) -> int:
    # Only here: Windows has none of what it needs.
    from pushover_logging.cli.child import Child  # noqa: PLC0415

    child = Child(command, tail.add)
    try:
        child.start()
    except OSError as error:
        return _not_started(command[0], error, phone)
    timer = threading.Timer(limit or 0.0, phone.slow)
    timer.daemon = True
    if limit is not None:
        timer.start()
    code = child.wait()
    timer.cancel()
    if limit is not None:
        timer.join()  # what it has begun to tell, it tells
    if child.unwritten is not None:
        words = f"its output could not be written ({child.unwritten.strerror})"
        sys.stderr.write(f"pushover-logging: {words}\n")
        phone.failed(f"failed: {words}")
        code = code or UNWRITTEN
    elif code == 0:
        phone.fine()
    elif not child.interrupted:  # who pressed Ctrl-C knows
        phone.failed(_words(code))
    return code if code >= 0 else KILLED - code


def _words(code: int) -> str:
    if code > 0:
        return f"failed: exit status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _not_started(program: str, error: OSError, phone: Phone) -> int:
    found = not isinstance(error, FileNotFoundError)
    words = f"cannot be executed ({error.strerror})" if found else "command not found"
    sys.stderr.write(f"pushover-logging: {program}: {words}\n")
    phone.failed(f"failed: {words}")
    return NOT_EXECUTABLE if found else NOT_FOUND
