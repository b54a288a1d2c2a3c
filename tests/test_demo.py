"""The play: what a newcomer sees first, with figures that add up."""

import os
import re
import signal
import subprocess
import sys
from types import MappingProxyType

import pytest

from pushover_logging.cli import demo, main
from pushover_logging.delivery.counters import Stats

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
    """It opens with what comes; seven pushes, places of the shop, and figures that add up."""
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)
    assert 0 == main(["demo", "--once"])
    out = capsys.readouterr().out
    assert out.startswith("A bad morning of a web shop")
    pushes = re.findall(r"^  \[(\w+)\] (.*)$", out, re.MULTILINE)
    assert pushes == [
        ("low", "Disk /srv/photos is 91 % full"),
        ("normal", "TimeoutError: no answer from https://bank.example/charge?order=A-1043"
         "&api_key=*** within 30 s"),
        ("normal", "Cannot save order: no connection to db-7"),
        ("normal", "The warehouse does not answer"),
        ("low", "Resolved: disk"),
        ("emergency", "The shop takes no payments"),
        ("lowest", "5038 more of 2 problems"),
    ]  # fmt: skip
    assert "  | ask_bank, shop/payments.py:2\n" in out
    assert "  Acknowledged on the phone: it no longer repeats.\n" in out
    assert not [word for word in ("demo.py", "sk_live_51Hq7") if word in out]
    assert out.splitlines()[-2:] == [
        "5,044 records made 7 pushes:",
        "records 5044, sent 6, suppressed 5038, dropped 0, rejected 0, failed 0, pending 0, "
        "summaries 1",
    ]


@pytest.mark.parametrize(("arrived", "expected"), [(6, False), (7, True), (8, False)])
def test_figures_agree_with_the_page(arrived, expected):
    """A push on the page that the counters do not have, or the other way round, is status 1."""
    stats = Stats(6, 6, 0, 0, 0, 0, 0, summaries=1)
    assert expected == demo._is_as_expected(stats, arrived)


def test_demo_reports_a_missing_push(capsys, monkeypatch):
    """If the counters are not as expected, the status is 1."""
    monkeypatch.setattr(demo, "PUSH_TIMEOUT", 0.05)
    scene = demo.Scene("INFO is below the handler's level", "open_shop", 1)
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
