"""Text that is not to be trusted, in headers and on terminals."""

import contextlib
import re
import sqlite3
import time

import pytest

from pushover_logging import ConfigurationError, Message
from pushover_logging.cli import main
from pushover_logging.rendering.text import clean

# What a terminal obeys: colours, a title, a hyperlink, a new line's beginning, in C0 and in C1.
HOSTILE = "a\x1b[31mb\x1b]0;owned\x07c\x9b2Jd\x9d0;owned\x9ce\x1bcf\x85g\x7fh\x08i\r\nj"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.mark.parametrize("line", ["\r\n", "\n", "\r", "\x00", "\x1b", "\x85", "\x7f"])
@pytest.mark.parametrize("name", ["attachment_type", "sound", "tags", "callback"])
def test_name_with_a_control_character_is_refused(name, line):
    """None of these has a line of its own; the type of an attachment is a header's."""
    text = f"http://127.0.0.1/{line}X: y"
    with pytest.raises(ConfigurationError, match=f"{name}: got .*without control characters") as no:
        Message(message="x", priority=2, attachment=b"x", **{name: text})
    assert name == no.value.option


@pytest.mark.parametrize("kind", [
    "image/png\r\n\r\n--x", 'image/png\r\nContent-Disposition: form-data; name="user"\r\n\r\nx',
])  # fmt: skip
def test_type_of_an_attachment_adds_no_field(drive, kind):
    """A record's own type, perhaps of an upload: the image goes, without that type."""
    driven = drive()
    image = {"attachment": b"\x89PNG\r\n\x1a\n", "attachment_type": kind}
    driven.log.error("boom happened", extra={"pushover": image})
    driven.settle()
    (push,) = driven.inbox.messages
    assert ("image", "application/octet-stream", 8) == tuple(push["attachment"].values())


@pytest.mark.parametrize(("text", "shown"), [
    (HOSTILE, "abcde\ufffdcf\ufffdg\ufffdh\ufffdi\nj"), ("\x1b(B\x1b[m x", " x"),
    ("\x1b", "\ufffd"),
    ("\x1b]8;;http://x/\x1b\\link\x1b]8;;\x1b\\", "link"), ("\x1b]0;no end", "\ufffd]0;no end"),
    ("\x9d0;no end", "\ufffd0;no end"), ("\x1b[?25l\x1b[38;5;1mx", "x"), ("\x1bP1$tx\x1b\\y", "y"),
    ("plain\ttext\n", "plain\ttext\n"),
])  # fmt: skip
def test_sequences_of_terminals_are_taken_out(text, shown):
    """Whole where they end; what is left of one has no character that a terminal obeys."""
    assert shown == clean(text)
    assert not OBEYED.search(clean(text))


@pytest.mark.parametrize("part", ["\x1b", "\x1b]", "\x1b]a", "\x9d", "\x9b0;", "\x1b[0;", "\x1b  "])
def test_no_sequence_makes_it_slow(part):
    """A megabyte of them is as quick as of any other text, or nearly."""
    began = time.thread_time()
    clean(part * (1_000_000 // len(part)))
    assert time.thread_time() - began < 1


def outputs(capsys, *arguments):
    """Return what a command prints, and its status."""
    try:
        status = main(list(arguments))
    except SystemExit as error:
        status = error.code
    return status, *capsys.readouterr()


@pytest.fixture
def environ(inbox, monkeypatch):
    for name, value in inbox.environ.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("arguments", [
    ("send", "--attachment", f"/nowhere/{HOSTILE}", "x"), ("send", f"--{HOSTILE}", "x"),
    ("send", "--sound", HOSTILE, "x"), ("run", "--name", "x", "--", f"/nowhere/{HOSTILE}"),
    ("outbox", f"/nowhere/{HOSTILE}"), ("outbox", "x", HOSTILE), ("check", "--device", HOSTILE),
    ("check", "--sound", HOSTILE), ("inbox", "--host", HOSTILE), (HOSTILE,),
], ids=lambda arguments: ascii(arguments[:2])[:20])  # fmt: skip
def test_command_prints_no_sequence_of_its_arguments(capsys, environ, tmp_path, arguments):
    """An error names what was given, on one line, and no terminal obeys it."""
    status, out, err = outputs(capsys, *arguments)
    assert status
    assert not OBEYED.search(out + err)
    assert err.count("\n") <= 2


@pytest.mark.parametrize("command", [("send", "x"), ("check",), ("check", "--send")])
def test_command_prints_no_sequence_of_the_service(capsys, environ, inbox, command):
    """Its errors, sounds, devices and receipts are text of another machine."""
    hostile = HOSTILE.replace("\n", "\u200b")
    inbox.fail_with(200, {"status": 1, "devices": [hostile]}, path="/1/users")
    body = {"status": 0, "errors": [hostile], hostile: "invalid", "user": "invalid"}
    inbox.fail_with(400, body, path="/1/messages")
    inbox.fail_with(200, {"status": 1, "sounds": {hostile: hostile}}, path="/1/sounds")
    _, out, err = outputs(capsys, *command)
    assert not OBEYED.search(out + err)
    assert "\u200b" not in out + err


@pytest.mark.parametrize(("column", "value"), [
    ("account", HOSTILE), ("outcome", HOSTILE), ("payload", HOSTILE), ("priority", HOSTILE),
    ("put_at", HOSTILE), ("put_at", 1e300), ("put_at", float("inf")), ("put_at", b"x"),
    ("payload", "[" * 100_000), ("payload", b"\xff"), ("priority", b"\xff"),
])  # fmt: skip
def test_list_of_an_outbox_prints_no_sequence_of_its_file(drive, tmp_path, capsys, column, value):
    """Nor does a value of another kind end it in a traceback."""
    path = tmp_path / "listed.sqlite"
    driven = drive(outbox=path)
    driven.inbox.fail_with(500, times=None)
    driven.log.error("boom happened")
    driven.settle()
    driven.handler._pipeline.sender.resign()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute(f"UPDATE message SET is_kept = 1, outcome = 'x', {column} = ?", [value])
    status, out, err = outputs(capsys, "outbox", str(path))
    assert (0, 2, "") == (status, out.count("\n"), err), out
    assert not OBEYED.search(out)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("DELETE FROM message")
    driven.advance(10)


def test_alert_of_a_job_has_no_sequence_of_its_output(drive, tmp_path):
    """What a command printed is in a push, which another terminal can show."""
    driven = drive()
    driven.log.error("job failed", extra={"pushover": {"message": f"after 1 s\n{HOSTILE}"}})
    driven.settle()
    (push,) = driven.inbox.messages
    assert not OBEYED.search(push["message"] + push["title"])
