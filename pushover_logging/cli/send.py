"""``pushover-logging send``: one push from a shell."""

from __future__ import annotations

import argparse
import mimetypes
import sys
from pathlib import Path

from pushover_logging import config
from pushover_logging.cli.helping import add_command
from pushover_logging.cli.progress import shown
from pushover_logging.cli.stopping import let_go_of_stdout
from pushover_logging.exceptions import ConfigurationError
from pushover_logging.message import (
    ATTACHMENT_LIMIT,
    FIELDS,
    MESSAGE_LIMIT,
    TITLE_LIMIT,
    URL_LIMIT,
    URL_TITLE_LIMIT,
    Message,
)
from pushover_logging.rendering.text import clean, shortener

STDIN = "-"
_READ = 64 * 1024  # bytes of stdin, far more than a message holds
_EXAMPLES = """\
examples:
  pushover-logging send "The backup is done"
  df -h / | pushover-logging send --monospace --title "Disk on web-1" -
  pushover-logging send --priority emergency --retry 60 --expire 3600 --tags db "No database"
  pushover-logging send --attachment chart.png "Loss of the last hour"

Token and user come from PUSHOVER_TOKEN and PUSHOVER_USER, or from the files that
PUSHOVER_TOKEN_FILE and PUSHOVER_USER_FILE name.

exit status: 0 the service took it, 1 it refused it for good, 2 wrong usage or configuration,
75 it could not be sent now: the same again later, no sooner than after 5 s
"""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``send``."""
    text = "Send one push; print an emergency's receipt, and nothing else."
    parser = add_command(subparsers, run, text, _EXAMPLES)
    parser.add_argument(
        "message",
        metavar="TEXT",
        help="what to say, cut at 1,024 characters; - reads stdin",
    )
    for name, metavar, kind, meaning in _FIELDS:
        option = f"--{name.replace('_', '-')}"
        if kind is bool:
            parser.add_argument(option, action="store_true", help=meaning)
        else:
            parser.add_argument(option, metavar=metavar, type=kind, help=meaning)


def run(arguments: argparse.Namespace) -> int:
    """Send it; return 0 where the service took it. Raises what the client raises."""
    message = _message(arguments)
    key = config.encryption_key(None)
    client = config.client(None, None, None, None, key)
    if client is None:
        sys.stderr.write("pushover-logging: PUSHOVER_TOKEN is off: nothing is sent\n")
        return 0
    if key is not None:
        _say_what_gives_way(message)
    try:
        with shown(f"sending to {client.api_url}"):
            sent = client.send(message)
    finally:
        client.close()
    if sent.receipt:
        _tell(sent.receipt)
    return 0


def _say_what_gives_way(message: Message) -> None:
    """Say what of a message has no room once it is encrypted."""
    length = config.encrypted_length()
    for name, limit in (("message", MESSAGE_LIMIT), ("title", TITLE_LIMIT)):
        if length(getattr(message, name) or "") > limit:
            sys.stderr.write(f"pushover-logging: the {name} is cut, to have room encrypted\n")
    for name, limit in (("url", URL_LIMIT), ("url_title", URL_TITLE_LIMIT)):
        given = getattr(message, name)
        if given is not None and length(given) > limit:
            sys.stderr.write(
                f"pushover-logging: the {name} is left out: encrypted, it is too long\n"
            )


def _tell(receipt: str) -> None:
    """Print a receipt. Where that cannot be, the message was sent all the same."""
    try:
        sys.stdout.write(f"{clean(receipt)}\n")
        sys.stdout.flush()
    except OSError as error:
        why = f"the receipt cannot be written ({error.strerror})"
        sys.stderr.write(f"pushover-logging: sent, but {why}\n")
        let_go_of_stdout()


def priority(value: str) -> object:
    """Return an option's priority as `Message` takes it: a number or a name."""
    return int(value) if value.lstrip("-").isdecimal() else value


_FIELDS = (
    ("title", "TITLE", str, "at most 250 characters (default: the application's name)"),
    ("priority", "PRIORITY", priority, "-2 to 2, or lowest, low, normal, high, emergency"),
    ("user", "KEY", str, "a user or group other than PUSHOVER_USER, or several by commas"),
    ("device", "NAMES", str, "devices, by commas (default: all)"),
    ("sound", "NAME", str, "a sound's name (default: the user's own)"),
    ("url", "URL", str, "a link under the message"),
    ("url_title", "TEXT", str, "what the link says"),
    ("timestamp", "SECONDS", int, "Unix time shown instead of the time of receipt"),
    ("ttl", "SECONDS", int, "seconds until the message deletes itself"),
    ("retry", "SECONDS", int, "of an emergency: seconds between repeats, 30 or more (default: 60)"),
    ("expire", "SECONDS", int, "of an emergency: seconds until it gives up (default: 3600)"),
    ("tags", "TAGS", str, "of an emergency: names to cancel it by, by commas"),
    ("callback", "URL", str, "of an emergency: called when somebody acknowledges it"),
    ("html", None, bool, "the text is HTML of the API's few tags"),
    ("monospace", None, bool, "the text is shown in a fixed-width font"),
    ("attachment", "FILE", str, "an image, at most 5,242,880 bytes"),
    ("attachment_base64", "TEXT", str, "the same as Base64 text"),
    ("attachment_type", "TYPE", str, "its MIME type (default: by the file's name)"),
)


def _message(arguments: argparse.Namespace) -> Message:
    given = {name: getattr(arguments, name) for name in FIELDS - {"message"}}
    fields = {name: value for name, value in given.items() if value is not None}
    text = arguments.message
    if text == STDIN:
        came = sys.stdin.buffer.read(_READ) if sys.stdin else b""  # which may be closed
        text = came.decode("utf-8", "replace")
    text = clean(text).strip("\n")
    if len(text) > MESSAGE_LIMIT:
        sys.stderr.write(f"pushover-logging: the text is cut at {MESSAGE_LIMIT} characters\n")
        text = shortener(markup=arguments.html)(text, MESSAGE_LIMIT)
    if arguments.attachment is not None:
        fields["attachment"] = _bytes_of(Path(arguments.attachment))
        fields.setdefault("attachment_type", mimetypes.guess_type(arguments.attachment)[0])
    return Message(message=text, **fields)


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(ATTACHMENT_LIMIT + 1)
    except OSError as error:
        msg = f"attachment: {path} cannot be read ({error.strerror})"
        raise ConfigurationError(msg, option="attachment") from error
