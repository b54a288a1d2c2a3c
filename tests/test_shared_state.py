"""How a command opens the state that processes share: by its options, or by the environment."""

import argparse
import os
import re
import signal
import subprocess
import sys

import pytest
from conftest import TOKEN, USER, Driven, unused_port

from pushover_logging.cli import main
from pushover_logging.cli.shared_state import add_options, outbox_of, rules_of, shared_throttle
from pushover_logging.clock import Clock
from pushover_logging.exceptions import ConfigurationError, TemporaryError
from pushover_logging.identity.fingerprint import explicit

pytest.importorskip("fcntl", reason="Windows has no outbox in a file")


@pytest.fixture(autouse=True)
def _account(monkeypatch, tmp_path):
    monkeypatch.setenv("PUSHOVER_TOKEN", TOKEN)
    monkeypatch.setenv("PUSHOVER_USER", USER)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def parsed(*options):
    """Return the arguments of a command that has the options of the shared state alone."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser.parse_args([str(option) for option in options], argparse.Namespace(clock=Clock()))


def has_problem(*options, **how):
    """Return whether the state that the options name has the problem of this module's tests."""
    with shared_throttle(parsed(*options), **how) as throttle:
        (view,) = throttle.views([explicit("db")]).values()
        return view.level > 0


def report_problem(inbox, **options):
    """Have a handler report it."""
    driven = Driven(inbox, **options)
    driven.log.error("No database", extra={"pushover": {"fingerprint": "db"}})
    driven.settle()
    driven.end()


def test_file_by_option_or_environment(inbox, tmp_path, monkeypatch):
    """`--outbox`, before PUSHOVER_THROTTLE and PUSHOVER_OUTBOX; else the user's state folder."""
    path = tmp_path / "outbox.sqlite"
    report_problem(inbox, outbox=path)
    report_problem(inbox, outbox="auto")
    assert has_problem()
    monkeypatch.setenv("PUSHOVER_THROTTLE", f"redis://127.0.0.1:{unused_port()}")
    assert has_problem("--outbox", path)
    monkeypatch.delenv("PUSHOVER_THROTTLE")
    monkeypatch.setenv("PUSHOVER_OUTBOX", str(path))
    assert has_problem()
    monkeypatch.setenv("PUSHOVER_USER", "u" * 30)
    assert not has_problem()


def test_problems_name_the_file_that_nobody_named(inbox, tmp_path, capsys):
    """Where the problems are, on stderr; not for a program that reads the list."""
    report_problem(inbox, outbox="auto")
    (path,) = tmp_path.rglob("*.sqlite")
    line = f"pushover-logging: the problems in {path}; --outbox or --store names others\n"
    for options, err in ((["--all"], line), (["--outbox", str(path)], ""), (["--json"], "")):
        assert main(["problems", *options]) == 0
        shown = capsys.readouterr()
        assert (True, err) == ("No database" in shown.out, shown.err)


def test_mute_shows_the_day_and_the_time_of_its_end(tmp_path, monkeypatch, capsys):
    """However far away it is."""
    monkeypatch.setenv("PUSHOVER_OUTBOX", str(tmp_path / "outbox.sqlite"))
    for length in ("20m", "7d"):
        assert main(["mute", "--for", length]) == 0
        line = r"all problems: muted until \d\d \w{3} \d\d:\d\d, except CRITICAL\n"
        assert re.fullmatch(line, capsys.readouterr().out)


def test_mute_that_ends_an_earlier_one_sooner_reports_that(tmp_path, monkeypatch, capsys):
    """One of another problem, or of all, ends none."""
    monkeypatch.setenv("PUSHOVER_OUTBOX", str(tmp_path / "outbox.sqlite"))
    assert main(["mute", "--for", "7d"]) == 0
    assert main(["mute", "db-7", "--for", "1h"]) == 0
    assert "replaces" not in capsys.readouterr().out
    assert main(["mute", "--for", "20m"]) == 0
    line = r"This replaces the mute until \d\d \w{3} \d\d:\d\d\.\n"
    assert re.search(line, capsys.readouterr().out)


def test_mutes_are_listed_also_without_a_problem(tmp_path, monkeypatch, capsys):
    """And `unmute` of one shows what all problems still have."""
    monkeypatch.setenv("PUSHOVER_OUTBOX", str(tmp_path / "outbox.sqlite"))
    assert main(["mute", "--for", "1h", "--include-critical"]) == 0
    assert main(["mute", "db-7", "--for", "2h"]) == 0
    muted = sorted(capsys.readouterr().out.splitlines()[:2])
    assert main(["problems"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert ("no open problems", muted) == (first, sorted(lines))
    assert main(["unmute", "db-7"]) == 0
    assert ["unmuted", muted[0]] == capsys.readouterr().out.splitlines()


def test_redis_by_option_or_environment(inbox, redis, tmp_path, monkeypatch):
    """`--store`, before `--outbox`; else PUSHOVER_THROTTLE, if it is a URL."""
    report_problem(inbox, throttle=redis.url)
    assert has_problem("--store", redis.url, "--outbox", tmp_path / "other.sqlite")
    monkeypatch.setenv("PUSHOVER_THROTTLE", redis.url)
    assert has_problem()


def test_windows_of_the_environment_apply_to_each_store(monkeypatch, tmp_path):
    """PUSHOVER_THROTTLE has a duration, and an option names the store."""
    monkeypatch.setenv("PUSHOVER_THROTTLE", "2d")
    for option in (("--store", "redis://nas/0"), ("--outbox", tmp_path / "outbox.sqlite")):
        assert (2 * 86_400.0,) == rules_of(parsed(*option)).windows


def test_file_is_made_only_if_asked(tmp_path, monkeypatch):
    """A path with a typing error is an error, not an empty state."""
    path = tmp_path / "outbox.sqlite"
    missing = f"there is no file {path}; check the path, or wait for the first error of a program"
    with pytest.raises(ConfigurationError, match=f"^{missing}, which"):
        has_problem("--outbox", path)
    monkeypatch.setenv("PUSHOVER_OUTBOX", str(path))
    with pytest.raises(ConfigurationError, match=f"^{missing}, which"):
        has_problem()
    with pytest.raises(ConfigurationError, match=r"there is no file .*; there is no shared state"):
        has_problem("--outbox", "auto")
    assert not path.exists()
    assert not has_problem("--outbox", path, create=True)
    assert not has_problem("--outbox", path)


def test_other_file_is_left_as_it_is(tmp_path):
    """A handler would set a damaged file aside; a command might have the wrong path."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database" * 99)
    with pytest.raises(ConfigurationError, match="is not an outbox file"):
        has_problem("--outbox", path)
    assert "not a database" * 99 == path.read_text()


def test_without_shared_state_the_error_shows_how_to_have_it(monkeypatch, capsys):
    """Memory, a token that is off, no home folder: one line each."""
    monkeypatch.setenv("PUSHOVER_OUTBOX", "off")
    with pytest.raises(ConfigurationError, match="there is no shared state: pass --outbox PATH"):
        has_problem()
    monkeypatch.setenv("PUSHOVER_TOKEN", "off")
    with pytest.raises(ConfigurationError, match="PUSHOVER_TOKEN is off"):
        has_problem()
    monkeypatch.delenv("PUSHOVER_OUTBOX")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr("pathlib.Path.home", _no_home)
    assert "off" == outbox_of(parsed())
    assert 1 == capsys.readouterr().err.count("\n")


def _no_home():
    msg = "Could not determine home directory."
    raise RuntimeError(msg)


def test_state_that_cannot_be_reached_is_worth_another_try(inbox, tmp_path):
    """A locked file, a Redis that does not answer: status 75."""
    with pytest.raises(TemporaryError):
        has_problem("--store", f"redis://127.0.0.1:{unused_port()}")
    path = tmp_path / "outbox.sqlite"
    report_problem(inbox, outbox=path)
    hold = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
    hold += "c.execute('BEGIN EXCLUSIVE'); print(flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        process.stdout.readline()
        with pytest.raises(TemporaryError, match="locked"):
            has_problem("--outbox", path)
        os.kill(process.pid, signal.SIGKILL)
    assert has_problem("--outbox", path)
