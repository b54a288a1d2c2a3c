"""``pushover-logging send``: one push from a shell, and what its statuses mean."""

import base64
import contextlib
import os
import re
import secrets
import signal
import sqlite3
import subprocess
import time

import pytest
from conftest import TOKEN, USER

pty = pytest.importorskip("pty", reason="Windows has no such terminals")
pytestmark = pytest.mark.process
GROUP = "gznej3rKEVAvPUxu9vvNnqpmZpokzF"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(100)
FIELDS = {
    "--title": "Backup",
    "--priority": "emergency",
    "--user": GROUP,
    "--device": "pixel,ipad",
    "--sound": "siren",
    "--url": "https://shop.example/",
    "--url-title": "The shop",
    "--timestamp": "1700000000",
    "--ttl": "600",
    "--retry": "30",
    "--expire": "120",
    "--tags": "db,shop",
    "--callback": "https://shop.example/done",
}


def test_text_is_sent(command, inbox):
    """One push is sent; nothing is printed."""
    assert (0, b"", b"") == command.run("send", "The backup is done")
    (push,) = inbox.messages
    assert ("The backup is done", TOKEN, USER) == (push["message"], push["token"], push["user"])


def test_every_field_is_sent(command, inbox):
    """Each as it was given; an emergency's receipt is printed, so that a script can keep it."""
    options = [word for pair in FIELDS.items() for word in pair]
    status, out, err = command.run("send", *options, "--html", "<b>No</b> database")
    (push,) = inbox.messages
    assert (0, f"{push['receipt']}\n".encode(), b"") == (status, out, err)
    given = {name[2:].replace("-", "_"): value for name, value in FIELDS.items()}
    expected = {**given, "priority": "2", "html": "1", "message": "<b>No</b> database"}
    assert expected == {name: push.get(name) for name in expected}


@pytest.mark.parametrize("number", ["-2", "1", "low"])
def test_priority_is_a_number_or_a_name(command, inbox, number):
    """A negative number is no option."""
    assert (0, b"", b"") == command.run("send", "--priority", number, "--monospace", "x")
    expected = {"-2": "-2", "1": "1", "low": "-1"}[number]
    assert (expected, "1") == (inbox.messages[0]["priority"], inbox.messages[0]["monospace"])


def test_text_comes_from_stdin(command, inbox):
    """With -; its closing newline goes, bytes that are no UTF-8 are replaced."""
    assert (0, b"", b"") == command.run("send", "-", stdin=b"first\n  second \xff\n\n")
    assert "first\n  second \ufffd" == inbox.messages[0]["message"]


@pytest.mark.parametrize("html", [False, True])
def test_text_that_is_too_long_is_cut(command, inbox, html):
    """At the service's limit, without breaking a tag, and with a warning on stderr."""
    text = "<b>" * html + "é" * 5000 + "</b>" * html
    output = command.run("send", *["--html"] * html, "-", stdin=text.encode())
    assert (0, b"", b"pushover-logging: the message is truncated at 1024 characters\n") == output
    message = inbox.messages[0]["message"]
    assert 1024 == len(message)
    assert message.endswith("…</b>" if html else "…")


def test_endless_stdin_is_read_as_far_as_it_matters(command, inbox):
    """`yes | pushover-logging send -` ends."""
    endless = os.open("/dev/zero", os.O_RDONLY)
    with command.start("send", "-", stdin=endless) as process:
        os.close(endless)
        assert 0 == process.wait(60)
    assert 1024 == len(inbox.messages[0]["message"])


def test_closed_stdin_is_an_empty_text(command, inbox):
    """One line, and no traceback."""
    line = f"exec {command.PATH} send - <&-"
    done = subprocess.run(
        ["sh", "-c", line], check=False, timeout=60, capture_output=True, **command.options({})
    )
    assert (2, 1) == (done.returncode, done.stderr.count(b"\n"))
    assert b"pushover-logging: message: got '', takes a text that is not blank\n" == done.stderr


def test_picture_goes_along(command, inbox, tmp_path):
    """As a file, its type by its name, or as Base64 text with a type."""
    path = tmp_path / "chart.png"
    path.write_bytes(PICTURE)
    assert (0, b"", b"") == command.run("send", "--attachment", path, "x")
    text = base64.b64encode(PICTURE).decode()
    options = ["--attachment-base64", text, "--attachment-type", "image/gif"]
    assert (0, b"", b"") == command.run("send", *options, "x")
    shown = [push["attachment"] for push in inbox.messages]
    size = len(PICTURE)
    expected = [("image/png", size), ("image/gif", size)]
    assert expected == [(one["type"], one["size"]) for one in shown]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--attachment", "none.png", "x"], "attachment: none.png cannot be read (No such file"),
        (["--ttl", "0", "x"], "ttl: got 0, takes 1 or more seconds"),
        (["--ttl", "1h30", "x"], "ttl: got '1h30', takes whole seconds, or a duration such as 90s"),
        (["--priority", "urgent", "x"], "priority: got 'urgent', takes -2 to 2 or one of lowest"),
        (["--html", "--monospace", "x"], "html: got True, takes False if monospace is set"),
        (["--title", "x" * 251, "x"], "title: got 251 characters, takes at most 250"),
        ([], "message: none was given; pass TEXT, or - for stdin"),
        (["--problem", "a"], "message: none was given"),
        (["  "], "message: got '  ', takes a text that is not blank"),
    ],
)
def test_what_cannot_be_sent_is_one_line(command, inbox, arguments, said):
    """The field, what it got and what it takes; status 2, and nothing is sent."""
    status, out, err = command.run("send", *arguments)
    assert (2, b"", 1) == (status, out, err.count(b"\n"))
    assert err.decode().startswith(f"pushover-logging: {said}")
    assert [] == inbox.attempts


def test_problem_is_sent_once_then_counted(command, inbox):
    """Its name is its title, unless another is given; `--resolve` ends it, with a text or without.

    A line reports that there was nothing to resolve. A program that shares the outbox knows the
    problem by its `fingerprint`.
    """
    options = ["--problem", "disk", "--priority", "high", "--outbox", "outbox.sqlite"]
    for _ in range(3):
        assert (0, b"", b"") == command.run("send", *options, "/srv password=x")
    assert 0 == command.run("send", "--problem", "db", "--title", "Slow", "-", stdin=b"9 s\n")[0]
    disk, slow = inbox.messages
    assert ("disk", "/srv password=***", "1") == (disk["title"], disk["message"], disk["priority"])
    assert ("Slow", "9 s") == (slow["title"], slow["message"])
    assert (0, b"", b"") == command.run("send", "--resolve", "db", "Fast again")
    options = ["--resolve", "disk", "--outbox", "outbox.sqlite"]
    assert (0, b"", b"") == command.run("send", *options)
    for name in ("disk", "disc"):
        options[1], line = name, f"nothing to resolve: {name} is not open\n".encode()
        assert (0, line, b"") == command.run("send", *options)
    fast, free = inbox.messages[2:]
    assert ("Resolved: db", "Resolved: disk") == (fast["title"], free["title"])
    assert fast["message"].startswith("Fast again\nIt lasted ")
    assert free["message"].endswith(" and came 3 times.")


def test_end_that_cannot_be_remembered_is_none(command, inbox, tmp_path):
    """The problem would stay open: 75 if the state cannot be used now, 2 if there is none."""
    given = ["--outbox", "outbox.sqlite"]
    assert 0 == command.run("send", "--problem", "disk", *given, "full")[0]
    (path,) = tmp_path.rglob("outbox.sqlite")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("BEGIN EXCLUSIVE")
        status, _, err = command.run("send", "--resolve", "disk", *given)
    assert (75, True) == (status, b"outbox.sqlite" in err), err
    status, _, err = command.run("send", "--resolve", "disk", "--outbox", "off")
    assert (2, True) == (status, b"there is no shared state" in err), err
    assert ["disk"] == [push["title"] for push in inbox.messages]


def test_problem_in_html_keeps_its_tags(command, inbox):
    """Those of the text, whatever its signs; a secret is masked there too."""
    given = ["--problem", "disk", "--html", "<b>/srv</b> 100% %(name)s\npassword=hunter2"]
    assert (0, b"", b"") == command.run("send", *given)
    (push,) = inbox.messages
    assert ("disk", "1") == (push["title"], push["html"])
    assert "<b>/srv</b> 100% %(name)s<br>password=***" == push["message"]


def test_warning_of_the_library_is_shown(command, inbox, tmp_path):
    """What is not the error itself, as a line of the command's own."""
    path = tmp_path / "outbox.sqlite"
    given = ["send", "--problem", "disk", "--outbox", path, "full"]
    assert (0, b"", b"") == command.run(*given)
    path.chmod(0o644)
    said = f"pushover-logging: {path} was open to other users: its mode is 0600 now\n"
    assert (0, b"", said.encode()) == command.run(*given)


@pytest.mark.parametrize("options", [("--outbox", "off"), ()])
def test_problem_without_shared_state_is_sent_each_time(command, inbox, options):
    """A line on stderr says so, and what to do; the status is that of the push."""
    for _ in range(2):
        status, _, err = command.run(
            "send", "--problem", "disk", *options, "full", PUSHOVER_OUTBOX="Off"
        )
        assert (0, 1) == (status, err.count(b"\n"))
        assert err.startswith(b"pushover-logging: there is no shared state: pass --outbox PATH or ")
        assert err.endswith(b"; until then, each call sends a push\n")
    assert ["disk", "disk"] == [push["title"] for push in inbox.messages]


def test_problem_over_redis(command, inbox, redis):
    """Hosts that name it share the problem."""
    for host in ("web-1", "web-2"):
        given = ["--problem", "disk", "--store", redis.url, "--outbox", "off"]
        assert (0, b"", b"") == command.run("send", *given, "full", PUSHOVER_HOST=host)
    assert 1 == len(inbox.messages)


def test_problem_that_is_not_sent_has_the_status_of_send(command, inbox, free_port):
    """1 if it is rejected, 75 if the service does not answer, 0 if nothing is to be sent."""
    given = ["send", "--problem", "disk", "full"]
    warning = b"pushover-logging: PUSHOVER_TOKEN is off: nothing is sent\n"
    assert (0, b"", warning) == command.run(*given, PUSHOVER_TOKEN="off")
    inbox.fail_with(400, {"status": 0, "errors": ["no such sound"], "sound": "invalid"})
    status, _, err = command.run(*given)
    assert (1, True) == (status, b"no such sound" in err)
    given[2] = "db"
    status, _, err = command.run(*given, PUSHOVER_API_URL=f"http://127.0.0.1:{free_port}")
    assert (75, 1) == (status, err.count(b"\n")), err
    assert err.startswith(b"pushover-logging: no answer from http://127.0.0.1:")
    assert err.endswith(b"; the message waits in the outbox\n")


@pytest.mark.parametrize("outbox", ["outbox.sqlite", "off"])
def test_problem_with_a_refused_token_is_refused_each_time(command, inbox, outbox):
    """Status 1, since a retry does not help; later calls make no request, and name the token."""
    inbox.fail_with(400, {"status": 0, "token": "invalid", "errors": ["token is invalid"]})
    given = ["send", "--outbox", outbox, "--problem", "disk", "full"]
    is_kept = outbox != "off"
    why = b"the service refused the request (400): token is invalid"
    for number in range(1 + is_kept):
        status, _, err = command.run(*given)
        assert (1, 1) == (status, err.count(b"pushover-logging: " + why)), err
        assert is_kept == err.endswith(b"; the message waits in the outbox\n"), (number, err)
    assert 1 == len(inbox.attempts)


@pytest.mark.parametrize(
    "arguments", [["send", "--timestamp", "soon", "x"], ["send", "--problem", " ", "x"], ["sned"]]
)
def test_wrong_usage_is_one_line(command, arguments):
    """With status 2, and where to read more."""
    status, out, err = command.run(*arguments)
    assert (2, b"", 1) == (status, out, err.count(b"\n"))
    assert err.endswith(b"(see --help)\n")


def test_missing_variable_is_named(command):
    """Status 2, one line."""
    status, _, err = command.run("send", "x", PUSHOVER_USER=None)
    assert (2, 1) == (status, err.count(b"\n"))
    assert b"set PUSHOVER_USER or PUSHOVER_USER_FILE" in err


def test_switched_off_it_sends_nothing(command, inbox):
    """PUSHOVER_TOKEN=off is reported, and is not a failure."""
    output = command.run("send", "x", PUSHOVER_TOKEN="off")
    assert (0, b"", b"pushover-logging: PUSHOVER_TOKEN is off: nothing is sent\n") == output
    assert [] == inbox.attempts


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        ({"status": 400, "body": '{"token":"invalid","errors":["no"],"status":0}'}, 1, "refused"),
        ({"status": 500}, 75, "the service answered 500"),
        ({"status": 429}, 75, "the quota is used up"),
        ({"reset": True}, 75, "no answer from http://127.0.0.1:"),
    ],
)
def test_what_was_not_sent_has_its_status(command, inbox, fault, status, said):
    """1 for what will never work, 75 for what may work later; one line, without a secret."""
    inbox.fail_with(**fault)
    code, out, err = command.run("send", "x")
    assert (status, b"", 1) == (code, out, err.count(b"\n"))
    assert said in err.decode()
    assert TOKEN not in err.decode()


def test_key_encrypts_what_is_sent(command, inbox):
    """PUSHOVER_ENCRYPTION_KEY counts here as well."""
    pytest.importorskip("cryptography")
    output = command.run("send", "secret plan", PUSHOVER_ENCRYPTION_KEY="0123456789abcdef" * 4)
    assert (0, b"", b"") == output
    assert ("1", False) == (
        inbox.messages[0]["encrypted"],
        "secret plan" in inbox.messages[0]["message"],
    )


def on_a_terminal(command, *arguments):
    """Run the command with stderr on a terminal; return its status and what that showed."""
    near, far = pty.openpty()
    with command.start(*arguments, stderr=far, stdout=far) as process:
        os.close(far)
        shown = b""
        try:
            while part := os.read(near, 4096):
                shown += part
        except OSError:
            pass  # Linux: the other end is closed
        os.close(near)
        return process.wait(60), shown.decode()


def test_long_call_shows_progress_on_a_terminal(command, inbox):
    """After a second, and only there; it is gone when the answer is there."""
    inbox.fail_with(delay=1.5)
    url = re.escape(inbox.url)
    status, shown = on_a_terminal(command, "send", "x")
    assert 0 == status
    assert re.fullmatch(rf"sending to {url} \.\.\.\r\x1b\[K", shown)
    assert (0, "") == on_a_terminal(command, "send", "x")
    inbox.fail_with(delay=1.5)
    assert (0, b"", b"") == command.run("send", "x")


def test_ctrl_c_ends_without_a_traceback(command, inbox):
    """Status 130, as shells have it, and not a word."""
    inbox.fail_with(hang=True)
    with command.start("send", "x", stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        deadline = time.monotonic() + 30
        while not inbox.attempts and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=60)
    assert (130, (b"", b"")) == (process.returncode, output)


def test_reader_that_leaves_is_no_traceback(command, inbox):
    """`pushover-logging send --priority 2 x | true`: it was sent, so the status is 0."""
    near, far = os.pipe()
    os.close(near)
    with command.start(
        "send", "--priority", "2", "x", stdout=far, stderr=subprocess.PIPE
    ) as process:
        os.close(far)
        _, err = process.communicate(timeout=60)
    said = b"pushover-logging: sent, but the receipt cannot be written (Broken pipe)\n"
    assert (0, said) == (process.returncode, err)
    assert 1 == len(inbox.messages)


def test_texts_too_long_for_encryption_are_warned_of(command, inbox):
    """Each text that is truncated or left out has its own line."""
    noise = secrets.token_urlsafe(1000)
    fields = {"title": noise[:250], "url": f"https://h/{noise[:480]}", "url_title": "here"}
    options = [one for name, value in fields.items()
               for one in (f"--{name.replace('_', '-')}", value)]  # fmt: skip
    key = {"PUSHOVER_ENCRYPTION_KEY": "ab" * 32}
    status, _, err = command.run("send", *options, noise[:1000], **key)
    assert (0, ["message", "title", "url", "url_title"]) == (
        status, [line.split(b" ")[2].decode() for line in err.splitlines()]
    )  # fmt: skip
    assert (0, b"", b"") == command.run("send", "--title", "short", "as well", **key)
    assert 2 == len(inbox.messages)
