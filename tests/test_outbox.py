"""The outbox in a file: what `emit` returned from is delivered, whatever happens to the process."""

import contextlib
import gc
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections import Counter

import pytest
from conftest import FakeClock

pytest.importorskip("fcntl", reason="Windows has no outbox in a file")

from pushover_logging import ConfigurationError, PushoverClient, config
from pushover_logging.cli import main
from pushover_logging.outbox.queue import QueuedMessage
from pushover_logging.storage.sqlite_file import Unavailable

TOKEN = "azGDORePK8gMaC0QOYAMyEEuzJnyUi"
OTHER_TOKEN = "bzGDORePK8gMaC0QOYAMyEEuzJnyUi"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.sqlite"


def logger_for(handler):
    log = logging.Logger("shop")
    log.addHandler(handler)
    return log


def waiting(path):
    """Return how many rows wait in the file, set aside ones not counted."""
    with contextlib.closing(sqlite3.connect(path)) as file:
        return file.execute("SELECT COUNT(*) FROM message WHERE outcome IS NULL").fetchone()[0]


KILLED = """
import logging, os, random, signal, time
import requests, pushover_logging.delivery.pipeline, pushover_logging.throttle.sqlite  # for all
from pushover_logging import PushoverHandler

ROUNDS = 100

def live(start, returned):
    handler = PushoverHandler(throttle=False, close_timeout=60)
    logging.getLogger().addHandler(handler)
    for number in range(start, start + 10):
        logging.error("record %d", number)
        os.write(returned, b"%d\\n" % number)
        time.sleep(0.001)
    handler.flush(60)
    time.sleep(60)

chance = random.Random(17)
for round in range(ROUNDS):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        live(round * 10, write)
        os._exit(1)  # it outlived its parent, whose next kill is none of its own
    os.close(write)
    with open(read, encoding="ascii") as lines:
        returned = [lines.readline() for _ in range(chance.randint(0, 10))]
        time.sleep(chance.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        print("".join(returned) + lines.read(), end="")
logging.getLogger().addHandler(handler := PushoverHandler(throttle=False))
logging.error("the last")
print("flushed", handler.flush(60))
stats = handler.stats()
print("stats", stats.records, stats.sent, stats.pending)
"""


@pytest.mark.process
@pytest.mark.xdist_group("crowd")
def test_kill_at_a_hundred_moments(program, inbox, path):
    """Each record that `emit` returned from is delivered; at most one twice for each kill."""
    code, out, err = program.run(KILLED, timeout=120, PUSHOVER_OUTBOX=str(path))
    assert 0 == code
    assert "Traceback" not in err
    returned = {f"record {number}" for number in re.findall(r"^\d+$", out, re.MULTILINE)}
    arrived = Counter(push["title"] for push in inbox.messages)
    assert len(returned) > 200  # the kills came in the middle of it, not before
    assert set() == returned - arrived.keys()
    assert sum(arrived.values()) - len(arrived) <= 100
    assert "flushed True" in out
    records, sent, pending = map(int, re.search(r"stats (\d+) (\d+) (\d+)", out).groups())
    assert (records, 0) == (sent, pending)
    assert 0 == waiting(path)


@pytest.mark.process
def test_two_accounts_share_a_file(program, inbox, path):
    """Each row goes out under its own token, by whoever sends for that account."""
    source = """
    import logging
    from pushover_logging import PushoverHandler
    logging.getLogger().addHandler(PushoverHandler(throttle=False, close_timeout=30))
    for number in range(20):
        logging.error("{name} %d", number)
    """
    first = program.start(source.replace("{name}", "first"), PUSHOVER_OUTBOX=str(path))
    with first:
        code, _, err = program.run(
            source.replace("{name}", "other"), PUSHOVER_OUTBOX=str(path), PUSHOVER_TOKEN=OTHER_TOKEN
        )
        assert "" == first.communicate(timeout=60)[1]
    assert (0, "") == (code, err)
    went = Counter((push["token"], push["title"]) for push in inbox.messages)
    expected = [(TOKEN, f"first {n}") for n in range(20)]
    expected += [(OTHER_TOKEN, f"other {n}") for n in range(20)]
    assert Counter(expected) == went


@pytest.mark.process
@pytest.mark.xdist_group("crowd")
def test_eight_processes_deliver_each_record_once(program, inbox, path):
    """4,000 records of 8 processes that all log as fast as they can."""
    code, _, err = program.run(
        """
        import logging, os
        from pushover_logging import PushoverHandler
        handler = PushoverHandler(throttle=False, close_timeout=100)
        logging.getLogger().addHandler(handler)
        children = []
        for process in range(8):
            child = os.fork()
            if child == 0:
                for number in range(500):
                    logging.error("%d of %d", number, process)
                os._exit(0 if handler.flush(100) else 1)
            children.append(child)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
        """,
        timeout=150,
        PUSHOVER_OUTBOX=str(path),
    )
    assert 0 == code
    assert "Traceback" not in err
    arrived = Counter(push["title"] for push in inbox.messages)
    assert Counter(f"{n} of {process}" for n in range(500) for process in range(8)) == arrived


@pytest.mark.process
def test_another_goes_on_when_the_sender_is_killed(program, inbox, path):
    """Its lock is freed by the operating system: its rows and the other's go out."""
    source = """
    import logging, sys, time
    from pushover_logging import PushoverHandler
    logging.getLogger().addHandler(handler := PushoverHandler(throttle=False, close_timeout=30))
    for number in range(20):
        logging.error("{name} %d", number)
    print("logged", flush=True)
    sys.stdin.read()
    """
    inbox.fail_with(delay=0.05, times=None)
    environ = {"PUSHOVER_OUTBOX": str(path)}
    with program.start(source.replace("{name}", "first"), **environ) as first:
        first.stdout.readline()
        inbox.wait_for(3)
        with program.start(source.replace("{name}", "other"), **environ) as other:
            other.stdout.readline()
            first.kill()
            killed = time.monotonic()
            sent = len(inbox.attempts)
            inbox.wait_for(sent + 2, timeout=10)
            assert inbox.attempts[-1].monotonic - killed < 2
            assert "" == other.communicate(timeout=60)[1]
        first.communicate(timeout=10)
    arrived = Counter(push["title"] for push in inbox.messages)
    expected = {f"{name} {n}" for name in ("first", "other") for n in range(20)}
    assert expected == set(arrived)
    assert sum(arrived.values()) <= 41


IN_TRANSACTION = """
import os, signal, time
file = handler._pipeline.outbox.file
file.run(lambda _: (os.kill(os.getpid(), signal.SIGSTOP), time.sleep(0.1)))
"""


@pytest.mark.process
@pytest.mark.parametrize("where", ["while it sends", "in a transaction"])
def test_leader_that_is_stopped_is_passed_by(program, inbox, path, where):
    """As by Ctrl-Z or a paused container: another sends within 20 s, and all arrives in the end.

    In the middle of a transaction it holds the file, which nobody can take from it: memory takes
    over, and `flush` cannot know what waits in the file.
    """
    is_held = where == "in a transaction"
    source = """
    import logging, sys
    from pushover_logging import PushoverHandler
    handler = PushoverHandler(throttle=False, close_timeout={seconds})
    logging.getLogger().addHandler(handler)
    for number in range({count}):
        logging.{level}("{name} %d", number)
    print("logged", flush=True)
    {then}
    print(handler.flush({seconds}))
    """
    source = textwrap.dedent(source)
    then = IN_TRANSACTION if is_held else ""
    inbox.fail_with(delay=0.5, times=None)
    environ = {"PUSHOVER_OUTBOX": str(path)}
    whole = source.format(name="first", level="error", count=20, then=then, seconds=40)
    with program.start(whole, **environ) as first:
        first.stdout.readline()
        if is_held:
            os.waitid(os.P_PID, first.pid, os.WSTOPPED)
        else:
            inbox.wait_for(3)
            time.sleep(0.2)  # in the middle of the next
            first.send_signal(signal.SIGSTOP)
        seconds = 10 if is_held else 40
        whole = source.format(name="other", level="critical", count=3, then="", seconds=seconds)
        with program.start(whole, **environ) as other:
            try:
                other.stdout.readline()
                waits_since = time.monotonic()
                out, err = other.communicate(timeout=60)
                assert f"{not is_held}\n" == out
                assert is_held == ("memory takes over" in err)
            finally:
                first.send_signal(signal.SIGCONT)
        others = [one.monotonic for one in inbox.attempts if "other" in one.fields["title"]]
        assert others[0] - waits_since < 20
        continued = time.monotonic()
        assert "True\n" == first.communicate(timeout=60)[0]
        assert time.monotonic() - continued < 20
    arrived = Counter(push["title"] for push in inbox.messages)
    expected = {f"first {n}" for n in range(20)} | {f"other {n}" for n in range(3)}
    assert expected == set(arrived)
    assert sum(arrived.values()) <= len(expected) + 1
    assert 0 == waiting(path)


@pytest.mark.process
def test_call_does_not_wait_for_a_slow_disk(handler_for, inbox, path, monkeypatch):
    """It waits for 250 ms and a bit, whatever the disk does; nothing is lost or sent twice."""
    handler = handler_for(outbox=path, throttle=False, close_timeout=20)
    log = logger_for(handler)
    log.error("before")
    assert handler.flush(10)
    do, longest = type(handler._pipeline.outbox.file)._do, 0.0

    def slow(file, connection, jobs):
        answers = do(file, connection, jobs)
        time.sleep(1)  # as fsync does before a call returns
        return answers

    monkeypatch.setattr(type(handler._pipeline.outbox.file), "_do", slow)
    for number in range(5):
        began = time.monotonic()
        log.error("record %d", number)
        longest = max(longest, time.monotonic() - began)
    assert longest < 0.3
    monkeypatch.undo()
    assert handler.flush(20)
    expected = ["before", *(f"record {n}" for n in range(5))]
    assert expected == sorted(push["title"] for push in inbox.messages)


@contextlib.contextmanager
def locked(path):
    """Hold the file as another program would that writes to it for long."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@pytest.mark.process
def test_locked_file_gives_way_to_memory_and_gets_it_back(handler_for, inbox, path, caplog):
    """For 2 s: calls stay short, one warning; what waited in memory is inserted after it."""
    inbox.refused.add(TOKEN)  # so that all of it waits
    log = logger_for(handler_for(outbox=path, throttle=False, close_timeout=0.1))
    log.error("before")
    longest = 0.0
    with locked(path):
        for number in range(20):
            began = time.monotonic()
            log.error("meanwhile %d", number)
            longest = max(longest, time.monotonic() - began)
            time.sleep(0.1)
    assert longest < 0.5
    deadline = time.monotonic() + 40
    while waiting(path) < 21 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert 21 == waiting(path)
    assert 1 == caplog.text.count("memory takes over")


def fill(wrong, version):
    """Make a file of another program's: a text, or an SQLite file of that schema."""
    if version is None:
        wrong.write_text("what I wrote down\n" * 300)
    else:
        with contextlib.closing(sqlite3.connect(wrong)) as file:
            file.executescript(f"CREATE TABLE message (text); PRAGMA user_version = {version}")


@pytest.mark.parametrize("version", [None, 0, 1, 2])
def test_file_that_was_never_an_outbox_is_left_as_it_is(
    handler_for, inbox, tmp_path, caplog, version
):
    """The wrong file was named: that is said, memory takes what is logged, and no exit waits."""
    wrong = tmp_path / "notes"
    fill(wrong, version)
    before = wrong.read_bytes()
    for number, word in enumerate(("early", "late"), 1):
        handler = handler_for(outbox=wrong)
        logger_for(handler).error("boom %s happened", word)
        inbox.wait_for(number)
        assert number == caplog.text.count(f"{wrong} is not an outbox file; it is left as it is")
        time.sleep(1.1)  # after a second the sender tries the file again
        handler.close()
        assert handler.flush(0)
    assert (before, [wrong]) == (wrong.read_bytes(), list(tmp_path.iterdir()))


def test_pictures_do_not_pile_up_while_the_file_is_away(handler_for, inbox, path):
    """What was sent from memory leaves nothing behind."""
    handler = handler_for(outbox=path, throttle=False)
    log = logger_for(handler)
    picture = b"\x89PNG\r\n\x1a\n" + b"x" * 1000
    log.error("before")
    assert handler.flush(10)
    with locked(path):
        for _ in range(3):
            log.error("meanwhile", extra={"pushover": {"attachment": picture}})
        inbox.wait_for(4)
        handler.flush(5)
        left = [one for one in gc.get_objects() if type(one) is QueuedMessage]
        assert [] == [one for one in left if one.message.attachment]


DAMAGE = {
    "cut off": lambda path: os.truncate(path, 5000),
    "another": lambda path: path.write_text("a text that somebody wrote here\n" * 1000),
}


@pytest.mark.process
@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_while_open_harms_no_later_record(handler_for, inbox, path, kind, capfd):
    """What comes after is delivered, and the logging call neither raises nor waits."""
    handler = handler_for(outbox=path, throttle=False)
    log = logger_for(handler)
    log.error("before")
    inbox.wait_for(1)
    assert handler.flush(10)
    DAMAGE[kind](path)
    for number in range(3):
        began = time.monotonic()
        log.error("after %d", number)
        assert time.monotonic() - began < 0.5
    assert handler.flush(20)
    assert {"before", "after 0", "after 1", "after 2"} == {p["title"] for p in inbox.messages}
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("change", [
    "DROP TABLE message", "DROP TABLE item", "DROP TABLE leader",
    "DROP TABLE item; CREATE TABLE item (a)",
    "ALTER TABLE message RENAME COLUMN payload TO p", "ALTER TABLE message DROP COLUMN payload",
])  # fmt: skip
def test_schema_that_others_have_changed_holds_nothing_up(driver, path, change):
    """The file is moved aside, and what can be read of it waits in a new one."""
    driven = driver(outbox=path)
    driven.inbox.fail_with(500)
    driven.log.error("waits already")
    driven.settle()
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.executescript(change)
    driven.log.error("comes after it")
    driven.advance(60)
    is_lost = change in {"DROP TABLE message", "ALTER TABLE message DROP COLUMN payload"}
    expected = {"comes after it"} if is_lost else {"waits already", "comes after it"}
    assert expected == set(driven.titles)
    assert 1 == len(list(path.parent.glob("*.damaged-*[0-9]")))


def test_file_that_a_newer_version_took_over_while_it_was_open_is_left_to_it(driver, path):
    """What comes is sent from memory; nothing is moved aside."""
    driven = driver(outbox=path)
    driven.log.error("before")
    driven.settle()
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.executescript("DROP TABLE item; PRAGMA user_version = 99")
    driven.log.error("comes after it")
    driven.advance(60)
    assert ["before", "comes after it"] == driven.titles
    assert [] == list(path.parent.glob("*.damaged-*"))


def test_full_disk_gives_way_to_memory(small_disk, driver, caplog):
    """One warning, the calls go on, everything is delivered; with room again the file is back."""
    path = small_disk / "outbox.sqlite"
    driven = driver(outbox=path, throttle=False)
    driven.log.error("before")
    driven.settle()
    found = os.statvfs(small_disk)
    (small_disk / "big").write_bytes(b"x" * found.f_bavail * found.f_frsize)
    for number in range(5):
        driven.log.error("full %d %s", number, "x" * 2000)
    driven.advance(10)
    assert 6 == len(driven.titles)
    assert 1 == caplog.text.count("memory takes over")
    (small_disk / "big").unlink()
    driven.inbox.fail_with(503, times=None)
    driven.advance(60)
    driven.log.error("after")
    assert 1 == waiting(path)


def test_newer_schema_gives_way_to_memory(handler_for, inbox, path, caplog):
    """A file of a newer version is left as it is; what comes is sent from memory."""
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA user_version = 99")
    log = logger_for(handler_for(outbox=path))
    log.error("boom happened")
    inbox.wait_for(1)
    assert "newer version" in caplog.text
    with contextlib.closing(sqlite3.connect(path)) as file:
        assert (99,) == file.execute("PRAGMA user_version").fetchone()


def test_endpoint_down_for_half_an_hour_with_three_processes(driver, path):
    """One problem, one FIRST when it is back; nothing is set aside, nothing reported twice."""
    processes = [driver(outbox=path) for _ in range(3)]
    clock = processes[0].clock
    for one in processes[1:]:
        one.clock.now = clock.now
    inbox = processes[0].inbox
    inbox.fail_with(503, times=None)
    for minute in range(30):
        for one in processes:
            one.log.error("Cannot connect to %s", "db-7")
        if minute == 15:
            assert [] == inbox.messages
        for one in processes:
            one.advance(60)
    inbox.clear_faults()
    for _ in range(10):
        for one in processes:
            one.advance(31)
    assert "Cannot connect to db-7" == inbox.messages[0]["title"]
    assert 1 == [push["title"] for push in inbox.messages].count("Cannot connect to db-7")
    with contextlib.closing(sqlite3.connect(path)) as file:
        assert (0,) == file.execute("SELECT COUNT(*) FROM message").fetchone()


def change(path, statement, *values):
    """Do to the file what no process of ours does."""
    with contextlib.closing(sqlite3.connect(path)) as file, file:
        file.execute(statement, values)


@pytest.fixture
def stuck(driver, path):
    """Two handlers of one file; the first sends for the account, and everything waits."""
    first = driver(outbox=path, throttle=False)
    first.inbox.fail_with(503, times=None)
    first.log.error("boom happened")
    first.settle()
    other = driver(outbox=path, throttle=False)
    other.clock.now = first.clock.now
    return first, other


def test_what_ten_processes_died_of_is_set_aside(stuck, path):
    """It is sent no more, its handler's counters say so, and a person can look at it."""
    first, other = stuck
    change(path, "UPDATE message SET sending = 1, deaths = 9")
    first.handler._pipeline.outbox.resign()
    other.handler._pipeline.outbox.look()
    other.settle()
    first.inbox.clear_faults()
    first.advance(2)
    other.advance(100)
    assert [] == other.titles
    assert {"set aside": 1} == first.handler.stats().dropped_by
    assert {} == other.handler.stats().dropped_by


@pytest.mark.parametrize("payload", [
    "'{}'", "'no JSON'", """'{"message": 5}'""", """'{"message": {}}'""",
    "json_set(payload, '$.created', 1e300)",
])  # fmt: skip
def test_row_that_cannot_be_read_is_set_aside(stuck, path, payload):
    """Others may have been at the file: what is none of ours costs nothing else."""
    first, _ = stuck
    change(path, f"UPDATE message SET payload = {payload}")
    first.inbox.clear_faults()
    first.log.error("next problem")
    first.advance(100)
    assert ["next problem"] == first.titles
    assert {"set aside": 1} == first.handler.stats().dropped_by


def test_problem_whose_message_is_set_aside_is_reported_again(driver, path):
    """The throttle knows nothing of it: the next record of the problem is sent at once."""
    driven = driver(outbox=path)
    driven.inbox.fail_with(503, times=None)
    driven.log.error("boom happened")
    driven.settle()
    change(path, "UPDATE message SET payload = '{}'")
    driven.inbox.clear_faults()
    driven.advance(100)
    assert ({"set aside": 1}, []) == (driven.handler.stats().dropped_by, driven.titles)
    driven.log.error("boom happened")
    driven.advance(2)
    assert ["boom happened"] == driven.titles
    assert driven.handler.flush(0)


@pytest.fixture
def command(capsys):
    def call(*arguments):
        status = main(["outbox", *map(str, arguments)])
        return (status, *capsys.readouterr())

    return call


def test_command_shows_what_waits(stuck, path, command):
    """Age, priority and title; no token, no user."""
    status, out, err = command(path)
    assert (0, "") == (status, err)
    assert re.search(
        r"^1  account \w{16}  \S+ s  priority 0  boom happened  waiting$", out, re.MULTILINE
    )
    assert out.endswith("1 waiting, 0 set aside\n")
    assert TOKEN not in out


def test_command_retries_and_purges_what_was_set_aside(stuck, path, command):
    """Each says how many."""
    first, _ = stuck
    first.inbox.clear_faults()
    first.inbox.fail_with(400, '{"message":"is bad","errors":["message is bad"],"status":0}')
    first.advance(10)
    rejected = "the service refused the request (400): message is bad"
    assert f"set aside (rejected: {rejected})" in command(path)[1]
    assert "1 will be retried\n" == command(path, "retry")[1]
    first.advance(10)
    assert ["boom happened"] == first.titles
    first.inbox.fail_with(400, '{"message":"is bad","errors":["message is bad"],"status":0}')
    first.log.error("other problem")
    first.settle()
    assert "1 purged\n" == command(path, "purge")[1]
    assert "0 waiting, 0 set aside\n" == command(path)[1]


def test_command_shows_nothing_that_a_terminal_obeys(stuck, path, command):
    """A record's text is not to be trusted; a row that is none of ours is said to be one."""
    first, _ = stuck
    first.log.error("red \x9b31m \u202e text")
    assert "red  � text" in command(path)[1]
    change(path, "UPDATE message SET payload = 'nonsense'")
    assert 2 == command(path)[1].count("(cannot be read)")


def test_command_says_what_is_wrong_with_the_file(tmp_path, path, command):
    """No file is wrong usage; one that cannot be used now is status 1."""
    status, _, err = command(tmp_path / "none.sqlite")
    assert (2, f"pushover-logging: outbox: there is no file {tmp_path / 'none.sqlite'}\n") == (
        status,
        err,
    )
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA user_version = 99")
    status, _, err = command(path)
    assert 1 == status
    assert "newer version" in err


@pytest.mark.process
def test_command_whose_reader_has_left_says_nothing(path, handler_for):
    """As `| head -1` does: status 1, and the file stays as it is."""
    log = logger_for(handler_for(outbox=path))
    log.error("boom happened")
    command = [sys.executable, "-m", "pushover_logging", "outbox", str(path)]
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(command, stdout=writer, stderr=subprocess.PIPE, text=True) as running:
        os.close(writer)
        assert "" == running.communicate(timeout=60)[1]
    assert 1 == running.returncode


def test_command_finds_the_file_that_auto_is(tmp_path, command, monkeypatch):
    """A user who sets PUSHOVER_OUTBOX=auto need not know where that is."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("PUSHOVER_TOKEN", TOKEN)
    monkeypatch.setenv("PUSHOVER_USER", OTHER_TOKEN)
    found = config.outbox("auto", PushoverClient(TOKEN, OTHER_TOKEN).application)
    assert f"outbox: there is no file {found}\n" in command("auto")[2]
    monkeypatch.setenv("PUSHOVER_TOKEN", "off")
    assert "PUSHOVER_TOKEN is off: auto needs a token" in command("auto")[2]


@pytest.mark.parametrize("version", [None, 0, 1, 2])
def test_command_leaves_a_file_of_others_as_it_is(tmp_path, command, version):
    """Whoever names the wrong file loses nothing: it is no damaged outbox to start anew."""
    wrong = tmp_path / "notes"
    fill(wrong, version)
    before = wrong.read_bytes()
    for action in ("list", "retry", "purge"):
        status, out, err = command(wrong, action)
        assert (2, "") == (status, out)
        assert f"{wrong} is not an outbox file; it is not changed\n" in err
    assert (before, [wrong]) == (wrong.read_bytes(), list(tmp_path.iterdir()))


def test_command_says_why_a_file_cannot_be_read(path, command, monkeypatch):
    """One line, as every error: another user's outbox."""
    path.touch()

    def denied(*_, **__):
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(sqlite3, "connect", denied)
    expected = f"pushover-logging: {path}: unable to open database file\n"
    assert (1, "", expected) == command(path)


@pytest.mark.parametrize("environ", [
    {"STATE_DIRECTORY": "{}/pushover-logging:/other"}, {"XDG_STATE_HOME": "{}"},
])  # fmt: skip
def test_auto_is_a_file_in_the_state_folder(monkeypatch, tmp_path, environ):
    """systemd's, else the user's; one for each application."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    path = config.outbox("auto", "0123")
    assert tmp_path / "pushover-logging" / "0123.sqlite" == path


def test_auto_on_a_mac(monkeypatch):
    """Where its programs keep such files."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setattr(config.sys, "platform", "darwin")
    assert config.outbox("auto", "01").match("Library/Application Support/pushover-logging/01.*")


def test_home_is_found_as_a_shell_finds_it(monkeypatch, tmp_path):
    """A configuration file has no shell that would: no folder of the name ~ comes to be."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path / "alerts.sqlite" == config.outbox("~/alerts.sqlite", "01")
    with pytest.raises(ConfigurationError, match="outbox: got"):
        config.outbox("~nobody-of-this-name/alerts.sqlite", "01")


def test_no_outbox_on_windows(monkeypatch, path):
    """Said when it is set, not at the first record."""
    monkeypatch.setattr(config.sys, "platform", "win32")
    with pytest.raises(ConfigurationError, match="Windows"):
        config.outbox(path, "01")


@pytest.mark.parametrize("given", [5, "", b"x"])
def test_outbox_that_is_no_path(given):
    """What it got, and what it takes."""
    with pytest.raises(ConfigurationError, match="outbox: got"):
        config.outbox(given, "01")


@pytest.mark.parametrize("given", ["off", "OFF", " Off "])
def test_outbox_that_is_off_is_memory(given, monkeypatch):
    """As the token and the throttle are switched off; no file of that name is made."""
    monkeypatch.setenv("PUSHOVER_OUTBOX", given)
    assert [None, None] == [config.outbox(one, "1") for one in (None, given)]


def test_outbox_that_is_a_folder(tmp_path):
    """A folder is no file."""
    with pytest.raises(ConfigurationError, match="not of a folder"):
        config.outbox(tmp_path, "01")


@contextlib.contextmanager
def unavailable(driven, monkeypatch):
    """Let all work in the file fail."""
    with monkeypatch.context() as patched:
        patched.setattr(driven.handler._pipeline.outbox.file, "unusable", "for a test")
        yield


def test_what_was_sent_while_the_file_was_away_is_not_sent_again(driver, path, monkeypatch):
    """It is written down before another is claimed."""
    driven = driver(outbox=path, throttle=False)
    driven.log.error("first problem")
    driven.log.error("second problem")
    send = driven.handler._pipeline._client.send

    def goes_away(message, **how):
        sent = send(message, **how)
        driven.handler._pipeline.outbox.file.unusable = "for a test"
        return sent

    monkeypatch.setattr(driven.handler._pipeline._client, "send", goes_away)
    driven.advance(5)
    assert ["first problem"] == driven.titles
    assert not driven.handler.flush(0)
    monkeypatch.undo()
    driven.handler._pipeline.outbox.file.unusable = ""
    driven.advance(5)
    assert ["first problem", "second problem"] == driven.titles
    assert 0 == waiting(path)


def test_what_cannot_be_inserted_again_stays_in_memory(driver, path, monkeypatch):
    """Nothing is lost if the file goes away a second time; what waits is inserted in the end."""
    driven = driver(outbox=path, throttle=False)
    driven.inbox.fail_with(503, times=None)
    driven.log.error("before")
    for _ in range(2):
        with unavailable(driven, monkeypatch):
            driven.log.error("meanwhile")
            driven.advance(10)
    driven.advance(2)
    assert 3 == waiting(path)
    driven.inbox.clear_faults()
    driven.advance(400)
    assert ["before", "meanwhile", "meanwhile"] == driven.titles


@pytest.mark.process
def test_folder_that_is_not_there_is_made(program, inbox, tmp_path):
    """`auto` works in a home where nothing is yet; only its owner may look into what it makes."""
    source = """
        import logging
        from pushover_logging import PushoverHandler
        logging.getLogger().addHandler(PushoverHandler(outbox="auto"))
        logging.error("boom happened")
        """
    home = tmp_path / "home"
    home.mkdir()
    ended = program.run(source, HOME=str(home), XDG_STATE_HOME="", STATE_DIRECTORY="")
    assert (0, "", "") == (ended[0], ended[1], ended[2].replace("boom happened\n", ""))
    assert ["boom happened"] == [push["title"] for push in inbox.messages]
    (made,) = home.rglob("*.sqlite")
    assert 0o700 == made.parent.stat().st_mode & 0o777


@pytest.mark.process
def test_summary_at_exit_can_be_left_to_the_next_process(program, inbox):
    """`summary_at_exit` False: what was counted stays in the file until it is due."""
    source = """
        import logging, sys
        from pushover_logging import PushoverHandler
        from pushover_logging.clock import Clock
        class Later(Clock):
            def time(self):
                return super().time() + {later}
        handler = PushoverHandler(
            outbox="outbox.sqlite", throttle={{"summary_at_exit": False}}, clock=Later()
        )
        logging.getLogger().addHandler(handler)
        for _ in range({number}):
            logging.error("Sync failed", extra={{"pushover": {{"fingerprint": "sync"}}}})
        """
    for later, number in ((0, 3), (1, 1), (301, 1), (302, 1)):
        assert (0, "", "") == program.run(source.format(later=later, number=number))
    first, summary = inbox.messages
    assert "Sync failed" == first["title"]
    # The third run's own record is counted before or after it finds the others due.
    more = re.fullmatch(r"([34]) more: Sync failed", summary["title"])[1]
    assert f"({int(more) + 1} in all)" in summary["message"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("is_away", [False, True])
def test_insert_that_is_cut_off_is_sent_once(driver, path, monkeypatch, when, is_away):
    """Ctrl-C before anything is written, or right after it was: sent once, and counted once."""
    driven = driver(outbox=path, throttle=False)
    file = driven.handler._pipeline.outbox.file
    submit = file.submit
    if is_away:
        path.mkdir()  # nothing can be written there, and memory has it

    def cut_off(work, future):
        monkeypatch.undo()
        if when == "after":
            submit(work, future)
        raise KeyboardInterrupt

    monkeypatch.setattr(file, "submit", cut_off)
    with pytest.raises(KeyboardInterrupt):
        driven.log.error("first trouble")
    driven.log.error("second trouble")
    driven.settle()
    assert ["first trouble", "second trouble"] == sorted(driven.titles)
    stats = driven.handler.stats()
    assert (2, 2, 0) == (stats.records, stats.sent, stats.pending)


@pytest.fixture
def slow(driver, path, monkeypatch):
    """A handler whose first insert has begun when the call has waited long enough for it."""
    driven = driver(outbox=path, throttle=False)
    file, begun = driven.handler._pipeline.outbox.file, []

    def begin(work, future):
        monkeypatch.undo()
        future.set_running_or_notify_cancel()
        begun.append((work, future))

    monkeypatch.setattr(file, "submit", begin)
    driven.log.error("slow trouble")
    return driven, *begun[0]


def test_insert_that_is_under_way_is_left_to_the_file(slow):
    """Memory takes nothing that the disk may still take: it is sent once."""
    driven, work, future = slow
    driven.advance(5)
    assert ([], 1) == (driven.titles, driven.handler.stats().pending)
    future.set_result(driven.handler._pipeline.outbox.file.run(work))
    driven.advance(5)
    assert (["slow trouble"], 1) == (driven.titles, driven.handler.stats().sent)


def test_insert_that_fails_late_finds_memory_full(slow, monkeypatch, caplog):
    """What has to go from there is counted, and a warning appears."""
    driven, _, future = slow
    monkeypatch.setattr(driven.handler._pipeline.outbox.memory, "_capacity", 1)
    with unavailable(driven, monkeypatch):
        driven.log.error("meanwhile")
    future.set_exception(Unavailable("the disk is broken"))
    driven.advance(5)
    assert ["meanwhile"] == driven.titles
    assert {"full": 1} == driven.handler.stats().dropped_by
    assert "the outbox is full" in caplog.text


def test_pause_that_the_service_asked_for_is_kept_by_the_next_process(driver, path):
    """The service asks the first to wait; the next process sends nothing before that time."""
    first = driver(outbox=path, throttle=False)
    first.inbox.refused.add(TOKEN)
    first.log.error("boom happened")
    first.settle()
    first.handler._pipeline.sender.resign()
    wait = first.handler._pipeline.sender._retry.requested_pause()
    other = driver(outbox=path, throttle=False)
    other.clock.now, other.clock.wall = first.clock.now, first.clock.wall
    other.inbox.refused.clear()
    other.log.error("next trouble")
    other.settle()
    other.clock.now += wait - 1
    other.settle()
    assert (True, []) == (wait > 1, other.titles)
    other.advance(3)
    assert "next trouble" in other.titles


def test_rows_of_others_that_are_gone_are_nobodys_loss(driver, path, caplog):
    """They were in no counter of this process, which waits for them no more."""
    first, other = (driver(outbox=path, throttle=False) for _ in range(2))
    first.inbox.fail_with(503, times=None)
    first.log.error("left behind")
    first.handler._pipeline.outbox.file.locks.release(
        first.handler._pipeline.outbox._emitter, 2**31 + first.handler._pipeline.outbox._emitter
    )
    other.handler._pipeline.outbox.look()
    other.settle()
    assert not other.handler.flush(0)
    change(path, "DELETE FROM message")
    other.advance(5)
    assert other.handler.flush(0)
    assert "are lost" not in caplog.text
    first.advance(5)
    assert {"file lost": 1} == first.handler.stats().dropped_by


def test_leader_that_has_resigned_takes_no_lock_with_its_last_beat(driver, path):
    """The beat was under way already; the next process leads all the same."""
    first, other = (driver(outbox=path, throttle=False) for _ in range(2))
    first.log.error("first trouble")
    first.settle()
    outbox = first.handler._pipeline.outbox
    outbox.resign()
    outbox.file.run(outbox.beat)
    other.log.error("next trouble")
    other.settle()
    assert ["first trouble", "next trouble"] == other.titles


def test_refused_token_is_known_to_all_processes(driver, path):
    """To one that waits for the leader, and to the next leader: neither sends, both know why."""
    body = '{"token":"invalid","errors":["token is invalid"],"status":0}'
    clock = FakeClock()
    first, other, last = made = [driver(outbox=path, clock=clock) for _ in range(3)]
    first.inbox.fail_with(400, body, times=1)
    first.log.error("first trouble")
    first.settle()
    for driven in (other, last):
        driven.log.error("next trouble")
        driven.settle()
        why = "the service refused the request (400): token is invalid"
        assert why == driven.handler.stats().last_error
        first.handler._pipeline.sender.resign()
    for seconds, attempts in ((598, 1), (2, 3)):
        clock.now += seconds
        for driven in made:
            driven.settle()
        assert attempts == len(first.inbox.attempts)
    assert ["first trouble", "next trouble"] == first.titles


def test_flush_of_the_leader_waits_for_no_rows_of_the_living(driver, path):
    """Else it lasts as long as another process logs."""
    first, other = driver(outbox=path), driver(outbox=path)
    other.log.error("trouble of the leader")
    other.settle()
    first.log.error("trouble of another")
    outbox = other.handler._pipeline.outbox
    assert outbox.is_leading
    assert outbox.look()
    assert not outbox.is_idle()  # it could be of a process that is gone
    outbox.file.run(outbox.beat)
    assert outbox.is_idle()


def test_nobody_is_last_where_that_cannot_be_seen(driver, path):
    """The file of locks is a link, which is not followed: what is counted stays in the file."""
    outbox = driver(outbox=path).handler._pipeline.outbox
    path.with_name("elsewhere").touch()
    outbox.file.locks.path.symlink_to("elsewhere")
    assert not outbox.is_last()
