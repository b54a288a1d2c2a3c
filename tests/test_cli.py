"""The command reports an error on one line, and its inbox serves until it is stopped."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import os
import re
import runpy
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import requests

from pushover_logging.cli import main
from pushover_logging.cli.signals import wait_for_stop
from pushover_logging.inbox import Inbox

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 20


def address_in(text: str) -> str:
    (url,) = re.findall(r"export PUSHOVER_API_URL=(\S+)", text)
    return str(url)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_inbox_serves_until_it_is_stopped(stop: signal.Signals) -> None:
    """The printed variables point a program at it; Ctrl-C and SIGTERM end it with status 0."""
    command = [sys.executable, "-m", "pushover_logging", "inbox", "--port", "0"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ, cwd=ROOT
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(5)]
            variables = dict(re.findall(r"export (\w+)=(\S+)", "".join(lines)))
            with requests.Session() as session:
                session.trust_env = False
                url = f"{variables['PUSHOVER_API_URL']}/1/messages.json"
                keys = {
                    "token": variables["PUSHOVER_TOKEN"],
                    "user": variables["PUSHOVER_USER"],
                    "message": "hello",
                }
                answer = session.post(url, data=keys, timeout=TIMEOUT)
                process.send_signal(stop)
                output = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
    assert (200, 0, ("", "")) == (answer.status_code, process.returncode, output)


@pytest.mark.parametrize(
    ("host", "warned"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)]
)
def test_other_hosts_are_let_in_with_a_warning(
    host: str, warned: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only on an address of this machine alone it serves without one; it takes speed and key."""

    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pushover_logging.cli.inbox.wait_for_stop", stop)
    key = "0123456789abcdef" * 4
    monkeypatch.setenv("PUSHOVER_ENCRYPTION_KEY", key)
    options = ["--port", "0", "--speed", "60"]
    assert 0 == main(["inbox", "--host", host, *options])
    output = capsys.readouterr()
    assert "export PUSHOVER_TOKEN=" in output.out
    assert key not in output.out + output.err
    assert warned == ("everyone on the network can read the inbox" in output.err)


def test_host_that_is_no_address_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown host name is an error on one line, with status 2."""
    assert 2 == main(["inbox", "--host", "no.such.host.invalid", "--port", "0"])
    assert "the inbox cannot listen on no.such.host.invalid port 0" in capsys.readouterr().err


def test_inbox_ends_at_ctrl_c_and_leaves_the_signals_as_they_were(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run inside a program, it returns 0 at Ctrl-C and gives the signal handlers back."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def wait() -> None:
        threading.Timer(0, os.kill, (os.getpid(), signal.SIGINT)).start()
        wait_for_stop()

    monkeypatch.setattr("pushover_logging.cli.inbox.wait_for_stop", wait)
    assert 0 == main(["inbox", "--port", "0"])
    assert "http://127.0.0.1:" in address_in(capsys.readouterr().out)
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


def test_port_in_use_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A port in use is an error on one line, with status 2."""
    with Inbox() as inbox:
        assert 2 == main(["inbox", "--port", str(inbox.port)])
    output = capsys.readouterr().err
    where = f"127.0.0.1 port {inbox.port}"
    assert output.startswith(f"pushover-logging: the inbox cannot listen on {where}: ")
    assert 1 == output.count("\n")


def test_number_that_is_no_port_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """An invalid port is an error on one line, with status 2."""
    assert 2 == main(["inbox", "--port", "65536"])
    assert "pushover-logging: port: 65536 is not from 0 to 65535\n" == capsys.readouterr().err


@pytest.mark.parametrize("installed", [True, False])
def test_version_is_the_installed_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, installed: bool
) -> None:
    """``--version`` shows the distribution's version, or that it is not installed."""

    def version(name: str) -> str:
        if not installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.2.3"

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    shown = "1.2.3" if installed else "(not installed)"
    assert (0, f"pushover-logging {shown}\n") == (caught.value.code, capsys.readouterr().out)


@pytest.mark.process
def test_terminal_that_cannot_show_a_character_shows_another() -> None:
    """There is no traceback, and the output is complete."""
    with Inbox() as inbox:
        environ = {**os.environ, **inbox.environ, "PYTHONIOENCODING": "ascii"}
        command = [sys.executable, "-m", "pushover_logging", "check", "--sound", "f\u00fcr"]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=environ, timeout=TIMEOUT
        )
    assert (1, "") == (done.returncode, done.stderr)
    assert "there is no sound f?r" in done.stdout


@pytest.mark.process
@pytest.mark.parametrize("arguments", [
    ["check"], ["send", "--priority", "2", "Fire"], ["demo", "--once"],
    ["inbox", "--port", "0"], ["mute", "--for", "1h"], ["unmute"], ["problems"],
])  # fmt: skip
def test_full_disk_in_place_of_a_terminal_is_one_line(arguments: list[str], tmp_path: Path) -> None:
    """There is no traceback, and the status is 0 if the push was sent."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with Inbox() as inbox, Path("/dev/full").open("w") as full:
        environ = {**os.environ, **inbox.environ}
        command = [sys.executable, "-m", "pushover_logging"]
        if arguments[0] in {"mute", "unmute", "problems"}:
            environ["PUSHOVER_OUTBOX"] = str(tmp_path / "o.sqlite")
            subprocess.run([*command, "mute", "--for", "2h"], check=True, env=environ)
        done = subprocess.run(
            [*command, *arguments], check=False, stdout=full, stderr=subprocess.PIPE, text=True,
            env=environ, timeout=TIMEOUT,
        )  # fmt: skip
        was_sent = ["Fire"] == [push["message"] for push in inbox.messages]
    assert "No space left on device" in done.stderr
    assert 1 == done.stderr.count("\n")
    assert (was_sent, 0 if was_sent else 1) == ("send" in arguments, done.returncode)


@pytest.mark.process
def test_stdin_that_cannot_be_read_is_one_line() -> None:
    """`send - 0>/dev/null`: it is open for writing alone."""
    with Inbox() as inbox, Path(os.devnull).open("w") as nobody:
        done = subprocess.run(
            [sys.executable, "-m", "pushover_logging", "send", "-"], check=False, stdin=nobody,
            capture_output=True, text=True, env={**os.environ, **inbox.environ}, timeout=TIMEOUT,
        )  # fmt: skip
    assert (1, "", 1) == (done.returncode, done.stdout, done.stderr.count("\n"))


def test_stdout_can_be_any_stream() -> None:
    """A program can replace it by any text stream."""
    with contextlib.redirect_stdout(io.StringIO()) as said, pytest.raises(SystemExit):
        main(["--help"])
    assert "COMMAND --help shows" in said.getvalue()


def test_command_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a subcommand the usage is printed, with status 2."""
    with pytest.raises(SystemExit) as caught:
        main([])
    assert 2 == caught.value.code
    assert "COMMAND" in capsys.readouterr().err


def test_module_runs_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``python -m pushover_logging`` is the command, and imported it does nothing."""
    monkeypatch.setattr(sys, "argv", ["pushover-logging", "--help"])
    runpy.run_module("pushover_logging.__main__", run_name="imported")
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("pushover_logging.__main__", run_name="__main__")
    assert 0 == caught.value.code
    assert "inbox" in capsys.readouterr().out


def test_redact_prints_what_a_push_would_bring(command: Any, tmp_path: Path) -> None:
    """Of a file or stdin: clean, without secrets, the service's own keys among them."""
    token = command.environ["PUSHOVER_TOKEN"]
    path = tmp_path / "error.log"
    path.write_text(f"\x1b[31mpassword=hunter2\x1b[0m and {token}", encoding="utf-8")
    assert (0, b"password=*** and ***\n", b"") == command.run("redact", path)
    assert (0, b"pin: *** x\n", b"") == command.run("redact", stdin=b"pin: 4711 x\n")
    # The patterns need no configuration.
    assert (0, b"token=***\n", b"") == command.run(
        "redact", "-", stdin=b"token=abc", PUSHOVER_TOKEN=None, PUSHOVER_USER=None
    )


def test_redact_truncates_as_a_push_does(command: Any) -> None:
    """What is not searched is not printed, and a line on stderr reports it."""
    status, out, err = command.run("redact", stdin=b"x" * 70_000)
    assert (0, b"x" * 16_384 + b"\n") == (status, out)
    assert err == b"pushover-logging: the text is truncated at 16,384 characters\n"


def test_redact_reports_a_file_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one line, with status 2; a closed stdin is an empty text."""
    path = tmp_path / "gone.log"
    assert main(["redact", str(path)]) == 2
    text = f"pushover-logging: redact: {path} cannot be read (No such file or directory)\n"
    assert capsys.readouterr().err == text
    monkeypatch.setattr("sys.stdin", None)
    assert main(["redact"]) == 0
    assert capsys.readouterr().out == "\n"
