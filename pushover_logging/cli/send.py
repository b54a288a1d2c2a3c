"""``pushover-logging send``: sends one push from a shell."""

from __future__ import annotations

import argparse
import logging
import mimetypes
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from pushover_logging import config
from pushover_logging.api.client import REFUSED
from pushover_logging.cli import shared_state
from pushover_logging.cli.argparse_help import add_command, job_name
from pushover_logging.cli.job_alerts import redaction
from pushover_logging.cli.terminal import discard_stdout, on_one_line, progress, warn
from pushover_logging.delivery import lifecycle
from pushover_logging.exceptions import ConfigurationError, RejectedError, TemporaryError
from pushover_logging.identity.fingerprint import explicit
from pushover_logging.message import (
    ATTACHMENT_LIMIT,
    FIELDS,
    MESSAGE_LIMIT,
    TITLE_LIMIT,
    URL_LIMIT,
    URL_TITLE_LIMIT,
    Message,
)
from pushover_logging.rendering.formatter import PushoverFormatter
from pushover_logging.rendering.text import clean, shortener
from pushover_logging.throttle.rules import Problem
from pushover_logging.throttle.store import Store

STDIN = "-"
_MAX_STDIN = 64 * 1024  # bytes, far more than a message can have
_EXAMPLES = """\
examples:
  pushover-logging send "The backup is done"
  df -h / | pushover-logging send --monospace --title "Disk on web-1" -
  pushover-logging send --priority emergency --retry 60s --expire 1h --tags db "No database"
  pushover-logging send --attachment chart.png "Loss of the last hour"
  pushover-logging send --problem disk "The disk is full"
  pushover-logging send --resolve disk

With --problem, you get a push for the first report; later reports are counted until --resolve ends
the problem. All calls that use the same outbox file or Redis share the problem.

Set the token and the user in PUSHOVER_TOKEN and PUSHOVER_USER, or in the files named by
PUSHOVER_TOKEN_FILE and PUSHOVER_USER_FILE.

exit status: 0 accepted, 1 rejected for good, 2 wrong usage or configuration, 75 not sent: try again
after 5 s or more
"""


def priority(value: str) -> object:
    """Return the value of ``--priority`` as `Message` takes it: a number or a name."""
    return int(value) if value.lstrip("-").isdecimal() else value


_FIELDS: dict[str, tuple[str | None, Callable[[str], object], str]] = {
    "title": ("TITLE", str, "at most 250 characters (default: the application's name)"),
    "priority": ("PRIORITY", priority, "-2 to 2, or lowest, low, normal, high, emergency"),
    "user": ("KEY", str, "a user or group instead of PUSHOVER_USER, or several joined by commas"),
    "device": ("NAMES", str, "device names joined by commas (default: all)"),
    "sound": ("NAME", str, "a sound's name (default: the user's own)"),
    "url": ("URL", str, "a link under the message"),
    "url_title": ("TEXT", str, "the text of the link"),
    "timestamp": ("SECONDS", int, "Unix time to show instead of the time of receipt"),
    "ttl": ("DURATION", str, "time until the message deletes itself: 90, 90s, 15m, 1h30m or 2d"),
    "retry": ("DURATION", str, "for an emergency: time between repeats, from 30s (default: 60s)"),
    "expire": ("DURATION", str, "for an emergency: time until the repeats end (default: 1h)"),
    "tags": ("TAGS", str, "for an emergency: tags to cancel it by, joined by commas"),
    "callback": ("URL", str, "for an emergency: a URL to call when it is acknowledged"),
    "html": (None, bool, "show the message with the HTML tags in it"),
    "monospace": (None, bool, "show the message in a fixed-width font"),
    "attachment": ("FILE", str, "an image, at most 5,242,880 bytes"),
    "attachment_base64": ("TEXT", str, "the image as Base64 text"),
    "attachment_type": ("TYPE", str, "the image's MIME type (default: by the file's name)"),
}


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``send``."""
    text = "Send one push, and print the receipt if it is an emergency."
    parser = add_command(subparsers, run, text, _EXAMPLES)
    parser.add_argument(
        "message",
        metavar="TEXT",
        nargs="?",
        help="the message, truncated at 1,024 characters; - reads it from stdin",
    )
    problem = parser.add_mutually_exclusive_group()
    problem.add_argument(
        "--problem",
        metavar="NAME",
        type=job_name,
        help="report the problem NAME: the first time with a push, then count",
    )
    problem.add_argument(
        "--resolve", metavar="NAME", type=job_name, help="report that the problem NAME is over"
    )
    shared_state.add_options(parser)
    add_fields(parser, _FIELDS)


def add_fields(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """Add the options of these Message fields."""
    for name in names:
        option, (metavar, kind, text) = f"--{name.replace('_', '-')}", _FIELDS[name]
        if kind is bool:
            parser.add_argument(option, action="store_true", help=text)
        else:
            parser.add_argument(option, metavar=metavar, type=kind, help=text)


def run(arguments: argparse.Namespace) -> int:
    """Send the push and return 0. Raises ConfigurationError and DeliveryError."""
    if arguments.resolve is not None:
        text = _text(arguments.message or "Fine again.")
        return _report(arguments, logging.INFO, text, {"resolves": arguments.resolve})
    if arguments.message is None:
        msg = "message: none was given; pass TEXT, or - for stdin"
        raise ConfigurationError(msg, option="message")
    message = _message(arguments)
    if arguments.problem is not None:
        given = {name: getattr(message, name) for name in FIELDS}
        own = {name: value for name, value in given.items() if value not in {None, False}}
        own = {"title": arguments.problem, **own, "fingerprint": arguments.problem}
        # The text of a template may have tags. That of a record, which anybody may have written,
        # is escaped.
        html = redaction()(own.pop("message")) if message.html else None
        return _report(arguments, logging.ERROR, own["title"], own, html)
    key = config.encryption_key(None)
    client = config.client(config.credentials())
    if client is None:
        warn("PUSHOVER_TOKEN is off: nothing is sent")
        return 0
    if key is not None:
        _warn_of_encrypted_length(message)
    try:
        with progress(f"sending to {client.api_url}"):
            sent = client.send(message)
    finally:
        client.close()
    if sent.receipt:
        _print_receipt(sent.receipt)
    return 0


def _report(
    arguments: argparse.Namespace,
    level: int,
    text: str,
    extra: dict[str, object],
    html: str | None = None,
) -> int:
    """Report or resolve a problem, as a program that logs a record does; ``html`` is the body."""
    handler = shared_state.shared_handler(arguments)
    if handler is None:
        warn("PUSHOVER_TOKEN is off: nothing is sent")
        return 0
    is_unknown = False
    if arguments.resolve is not None:
        with shared_state.shared_throttle(arguments, create=True) as throttle:
            throttle.check()  # else the end would be of nothing, silently
            is_unknown = not _is_open(throttle.store, explicit(arguments.resolve))
    else:
        shared_state.warn_if_alone(arguments)
    if html is not None:
        handler.setFormatter(PushoverFormatter(body=html.replace("%", "%%")))
    values = {"name": "send", "levelno": level, "msg": text, "created": arguments.clock.time()}
    with progress("sending"), shared_state.library_warnings() as warnings:
        handler.handle(logging.makeLogRecord({**values, "pushover": extra}))
        _, kept = lifecycle.end_sending()
        stats = handler.stats()
        warnings.error = stats.last_error
    why = stats.last_error or "the service does not answer in time"
    if stats.rejected:
        raise RejectedError(why)
    if stats.pending:
        why += "; the message waits in the outbox" if kept else ""
        raise (RejectedError if why.startswith(REFUSED) else TemporaryError)(why)
    if is_unknown and stats.suppressed:
        print(on_one_line(f"nothing to resolve: {arguments.resolve} is not open"))
    return 0


def _is_open(store: Store, key: str) -> bool:
    problem = store.transaction(lambda: store.load([key])).get(key)
    return isinstance(problem, Problem) and not problem.resolved


def _warn_of_encrypted_length(message: Message) -> None:
    """Warn of each text that is truncated or dropped because it is too long once encrypted."""
    length = config.encrypted_length()
    for name, limit in (("message", MESSAGE_LIMIT), ("title", TITLE_LIMIT)):
        if length(getattr(message, name) or "") > limit:
            warn(f"the {name} is truncated, because it is too long after encryption")
    for name, limit in (("url", URL_LIMIT), ("url_title", URL_TITLE_LIMIT)):
        text = getattr(message, name)
        if text is not None and length(text) > limit:
            warn(f"the {name} is left out, because it is too long after encryption")


def _print_receipt(receipt: str) -> None:
    """Print a receipt; if stdout is broken, only warn, because the message was sent."""
    try:
        sys.stdout.write(f"{on_one_line(receipt)}\n")
        sys.stdout.flush()
    except OSError as error:
        warn(f"sent, but the receipt cannot be written ({error.strerror})")
        discard_stdout()


def _message(arguments: argparse.Namespace) -> Message:
    given = {name: getattr(arguments, name) for name in FIELDS - {"message", "escalate_to"}}
    fields = {name: value for name, value in given.items() if value is not None}
    text = _text(arguments.message)
    if len(text) > MESSAGE_LIMIT:
        warn(f"the message is truncated at {MESSAGE_LIMIT} characters")
        text = shortener(markup=arguments.html)(text, MESSAGE_LIMIT)
    if arguments.attachment is not None:
        fields["attachment"] = _read_file(Path(arguments.attachment))
        fields.setdefault("attachment_type", mimetypes.guess_type(arguments.attachment)[0])
    return Message(message=text, **fields)


def _text(given: str) -> str:
    if given == STDIN:
        data = sys.stdin.buffer.read(_MAX_STDIN) if sys.stdin else b""  # None if it is closed
        given = data.decode("utf-8", "replace")
    return clean(given).strip("\n")


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(ATTACHMENT_LIMIT + 1)
    except OSError as error:
        msg = f"attachment: {path} cannot be read ({error.strerror})"
        raise ConfigurationError(msg, option="attachment") from error
