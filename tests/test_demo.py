"""The play: what a newcomer sees first, with figures that add up."""

import logging
import os
import re
import signal
import subprocess
import sys
from types import MappingProxyType

import pytest

from pushover_logging.cli import demo, main

ELSEWHERE = {
    "PUSHOVER_TOKEN": "off",
    "PUSHOVER_THROTTLE": "off",
    "PUSHOVER_OUTBOX": "/nowhere/outbox.sqlite",
    "PUSHOVER_ENCRYPTION_KEY": "ab" * 32,
    "PUSHOVER_HOST": "elsewhere",
    "PUSHOVER_API_URL": "https://api.example",
    "http_proxy": "http://127.0.0.1:9",
}


def test_demo_once_plays_and_adds_up(capsys, monkeypatch):
    """Six pushes, the summary among them, and a last line of figures, whatever is set up here."""
    monkeypatch.setattr(demo, "WINDOW", 0.5)
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)
    assert 0 == main(["demo", "--once"])
    out = capsys.readouterr().out
    assert 6 == len(re.findall(r"^  \[", out, re.MULTILINE))
    assert "[low] 4999 more: Cannot connect to db-7" in out
    last = (
        "records 5004, sent 5, suppressed 4999, dropped 0, rejected 0, failed 0, pending 0, "
        "summaries 1"
    )
    assert last == out.splitlines()[-1]


def test_demo_reports_a_missing_push(capsys, monkeypatch):
    """If the counters are not as expected, the status is 1."""
    monkeypatch.setattr(demo, "PUSH_TIMEOUT", 0.05)
    scene = demo.Scene("nothing is logged here", lambda log: log.log(logging.NOTSET, ""), 1)
    monkeypatch.setattr(demo, "SCENES", (scene,))
    assert 1 == main(["demo", "--once"])
    assert "(a push is missing)" in capsys.readouterr().out


@pytest.mark.process
def test_demo_serves_until_ctrl_c():
    """The page stays until Ctrl-C, which ends it quietly, also a job that a shell put aside."""
    command = [sys.executable, "-m", "pushover_logging", "demo"]
    quick = {**os.environ, "PYTHONUNBUFFERED": "1"}
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell starts a job with "&"
    try:
        play = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=quick
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with play:
        for line in play.stdout:
            if "until Ctrl-C" in line:
                break
        play.send_signal(signal.SIGINT)
        assert ("", "") == play.communicate(timeout=20)
    assert 0 == play.returncode


def test_demo_ends_at_ctrl_c_in_this_process(monkeypatch, capsys):
    """The same without a process of its own, for the branch coverage."""

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "SCENES", ())
    monkeypatch.setattr(demo, "wait_for_stop", interrupt)
    monkeypatch.setattr("pushover_logging.inbox.Inbox", _Standing)
    assert 0 == main(["demo"])
    assert "until Ctrl-C" in capsys.readouterr().out


class _Standing:
    """An inbox that needs no Event of its own."""

    url = "http://127.0.0.1:9"
    environ = MappingProxyType({"PUSHOVER_TOKEN": "t" * 30, "PUSHOVER_USER": "u" * 30})
    messages = ()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def wait_for(self, count, timeout):
        return []
