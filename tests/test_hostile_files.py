"""Files and stores that others have prepared, changed or copied: each costs itself at most."""

import contextlib
import copy
import json
import logging
import socket
import sqlite3
import stat
import subprocess
import sys
import threading

import pytest

pytest.importorskip("fcntl", reason="Windows has no outbox in a file")

from conftest import Driven, drop

from pushover_logging import PushoverHandler
from pushover_logging.cli import main

NESTED = "[" * 100_000 + "]" * 100_000
TOKEN, USER = "azGDORePK8gMaC0QOYAMyEEuzJnyUi", "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "outbox.sqlite"


def change(path, *statement):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=5)) as file:
        file.execute(*statement)


def get_in(path):
    """Return what another process gets that writes to the file: "" or SQLite's word."""
    source = """
import sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)
try:
    file.execute("BEGIN IMMEDIATE")
except sqlite3.OperationalError as error:
    print(error)
"""
    command = [sys.executable, "-c", source, str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


MEANWHILE = {
    "second handler": lambda path: PushoverHandler(token=TOKEN, user=USER, outbox=path),
    "other application": lambda path: PushoverHandler(token="a" * 30, user=USER, outbox=path),
    "copied handler": lambda path: copy.copy(PushoverHandler(token=TOKEN, user=USER, outbox=path)),
    "command": lambda path: main(["outbox", str(path)]),
    "check": lambda _: main(["check"]),
}


@pytest.mark.parametrize("name", MEANWHILE)
def test_nothing_of_ours_frees_the_lock_of_a_transaction(driver, path, monkeypatch, name):
    """POSIX frees all locks of a file with the first descriptor that a process closes."""
    monkeypatch.setenv("PUSHOVER_OUTBOX", str(path))
    monkeypatch.setenv("PUSHOVER_TOKEN", TOKEN)
    monkeypatch.setenv("PUSHOVER_USER", USER)
    driven = driver(outbox=path)
    monkeypatch.setenv("PUSHOVER_API_URL", driven.inbox.url)
    driven.log.error("boom happened")
    driven.settle()
    found = []

    def work(_):
        found.append(get_in(path))
        thread = threading.Thread(target=lambda: made.append(MEANWHILE[name](path)))
        thread.start()
        thread.join(20)
        found.append(get_in(path))

    made = []
    driven.handler._pipeline.outbox.file.run(work)
    assert ["database is locked"] * 2 == found
    for one in made:
        if isinstance(one, PushoverHandler):
            drop(one)


WRITER = """
import logging, os, shutil, sys, time
from pushover_logging import PushoverHandler
from pushover_logging.storage import sqlite_file

path, name = sys.argv[1:]
do = sqlite_file.SqliteFile._do

def slow(file, connection, works):
    results = do(file, connection, works)
    time.sleep(0.005)
    return results

handler = PushoverHandler(outbox=path, throttle=False, close_timeout=60)
log = logging.Logger("shop")
log.addHandler(handler)
for number in range(40):
    log.error("%s %d", name, number)
    copied = f"{os.path.dirname(path)}-{name}"
    shutil.copytree(os.path.dirname(path), copied)
    shutil.rmtree(copied)
print(handler.flush(60))
stats = handler.stats()
print(stats.records, stats.sent, stats.pending)
"""


@pytest.mark.process
def test_processes_that_copy_the_folder_lose_nothing(program, inbox, path):
    """The lock file's own locks hold where SQLite's were freed by the copy."""
    source = program.path(WRITER)
    path.parent.mkdir()
    started = [
        program.start_command([sys.executable, str(source), str(path), f"p{number}"])
        for number in range(3)
    ]
    ended = [process.communicate(timeout=120) for process in started]
    assert [("True\n40 40 0\n", "")] * 3 == ended
    expected = sorted(f"p{number} {count}" for number in range(3) for count in range(40))
    assert expected == sorted(push["title"] for push in inbox.messages)


@pytest.mark.parametrize("error", [
    sqlite3.DatabaseError("database disk image is malformed"),
    sqlite3.DatabaseError("file is not a database"), sqlite3.OperationalError("disk I/O error"),
])  # fmt: skip
def test_read_error_that_passes_moves_no_file_aside(driver, path, monkeypatch, error):
    """EIO comes as damage too, however often: only what a second look finds damaged is."""
    driven = driver(outbox=path, throttle=False)
    driven.log.error("before")
    driven.settle()
    kind = type(driven.handler._pipeline.outbox.file)
    do, failures = kind._do, iter([error] * 5)

    def fail(file, connection, works):
        if failure := next(failures, None):
            raise failure
        return do(file, connection, works)

    monkeypatch.setattr(kind, "_do", fail)
    for number in range(3):
        driven.log.error("after %d", number)
    driven.advance(120)
    assert {"before", "after 0", "after 1", "after 2"} == set(driven.titles)
    assert [] == list(path.parent.glob("*.damaged-*"))


CELLS = [
    ("message", "payload", NESTED), ("message", "payload", b"\xff\xfe"),
    ("message", "payload", "[1]"), ("message", "payload", '{"message":{"message":"x"}}'),
    ("message", "payload", '{"message":{"message":"x","title":5},"group":null}'),
    ("message", "priority", "high"), ("message", "priority", b"\xff"), ("message", "put_at", "now"),
    ("message", "put_at", b"\xff"), ("message", "put_at", 1e300), ("message", "id", b"\xff"),
    ("message", "user", b"\xff"), ("message", "user", "nobody"), ("message", "attachment", "text"),
    ("message", "sending", "x"), ("message", "deaths", "many"), ("message", "level", "x"),
    ("message", "remaining", "x"), ("message", "emitter", "x"), ("item", "value", NESTED),
    ("item", "value", b"\xff"), ("item", "value", "x"), ("item", "due", "now"),
    ("leader", "epoch", "x"), ("leader", "beat", "x"), ("leader", "not_before", "x"),
    ("leader", "not_before", 1e300), ("leader", "reason", b"\xff"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "column", "value"), CELLS, ids=lambda value: repr(value)[:12])
def test_cell_of_another_kind_costs_its_row_alone(driver, path, table, column, value):
    """What comes after it is sent within minutes, by this process and by the next."""
    driven = driver(outbox=path)
    driven.inbox.fail_with(500, times=None)
    driven.log.error("is changed")
    driven.settle()
    change(path, f"UPDATE {table} SET {column} = ?", [value])
    driven.inbox.clear_faults()
    driven.log.error("next problem")
    driven.advance(100)
    other = driver(outbox=path)
    other.log.error("problem of the next process")
    other.advance(100)
    assert {"next problem", "problem of the next process"} <= set(driven.titles)
    assert 0 == driven.handler.stats().pending
    with contextlib.closing(sqlite3.connect(path)) as file:
        (longest,) = file.execute("SELECT MAX(length(payload)) FROM message").fetchone()
    assert (longest or 0) < 10_000  # what is kept for a person fills no disk
    assert 0 == other.handler.stats().pending


def test_payload_of_50_megabytes_costs_its_row_alone(driver, path):
    """It is not read into memory, or at least not for long."""
    driven = driver(outbox=path)
    driven.inbox.fail_with(500, times=None)
    driven.log.error("is changed")
    driven.settle()
    change(path, "UPDATE message SET payload = printf('%.*c', 50000000, 'x')")
    driven.inbox.clear_faults()
    driven.log.error("next problem")
    driven.advance(400)
    assert ["next problem"] == driven.titles


@pytest.mark.parametrize("schema", [
    "CREATE TRIGGER t AFTER INSERT ON message BEGIN DELETE FROM message; END",
    "CREATE TRIGGER t BEFORE UPDATE ON message BEGIN SELECT RAISE(ABORT, 'no'); END",
    "CREATE TRIGGER t BEFORE INSERT ON message BEGIN SELECT RAISE(IGNORE); END",
    "ALTER TABLE item RENAME TO real_item; CREATE VIEW item AS SELECT * FROM real_item",
    "CREATE UNIQUE INDEX only_one ON message (account)",
])  # fmt: skip
@pytest.mark.parametrize("is_open", [True, False], ids=["open", "closed"])
def test_file_with_a_schema_of_others_is_not_used(driver, path, schema, is_open):
    """A trigger or a view would change what is written: all that is logged is sent all the same."""
    first = driver(outbox=path, throttle=False)
    first.log.error("before")
    first.settle()
    if not is_open:
        first.handler._pipeline.outbox.file.close()
    with contextlib.closing(sqlite3.connect(path, timeout=5)) as file:
        file.executescript(schema)
    for number in range(3):
        first.log.error("after %d", number)
    first.advance(400)
    assert {"before", "after 0", "after 1", "after 2"} == set(first.titles)
    assert 0 == first.handler.stats().pending


@pytest.mark.parametrize("jump", [200_000, 10**9, -200_000, -(10**9)])
def test_jump_of_the_wall_clock_drops_nothing(driver, path, jump):
    """As of a machine without a battery before NTP: age is what this process has seen pass."""
    driven = driver(outbox=path, throttle=False)
    driven.inbox.fail_with(500, times=None)
    driven.log.error("a second old")
    driven.advance(1)
    driven.clock.wall += jump
    driven.advance(30)
    driven.inbox.clear_faults()
    driven.advance(400)
    assert ["a second old"] == driven.titles
    assert {} == driven.handler.stats().dropped_by


def test_lock_file_that_is_deleted_leaves_nothing_pending(driver, path):
    """Two processes go on, each with its own counts, and flush does not wait for ever."""
    first, other = driver(outbox=path, throttle=False), driver(outbox=path, throttle=False)
    for one in (first, other):
        one.log.error("before")
        one.settle()
    path.with_name(f"{path.name}.lock").unlink()
    for one in (first, other):
        one.log.error("after")
    for _ in range(40):
        first.advance(10)
        other.advance(10)
    assert [0, 0] == [one.handler.stats().pending for one in (first, other)]
    assert 4 == len(first.titles)


def test_file_that_others_can_read_is_put_right_with_a_warning(driver, path, caplog):
    """Its texts are readable by its owner alone, also where somebody made it first."""
    path.parent.mkdir()
    path.touch(mode=0o644)
    path.chmod(0o644)
    driven = driver(outbox=path)
    driven.log.error("boom happened")
    driven.advance(10)
    assert 0o600 == stat.S_IMODE(path.stat().st_mode) or str(path) in caplog.text
    assert str(path) in caplog.text
    assert ["boom happened"] == driven.titles


@pytest.mark.parametrize("name", ["outbox.sqlite", "outbox.sqlite.lock", "outbox.sqlite-journal"])
@pytest.mark.parametrize("target", ["missing", "there"])
def test_link_in_place_of_a_file_is_not_followed_in_silence(driver, path, caplog, name, target):
    """What it leads to is neither made nor written to."""
    path.parent.mkdir()
    victim = path.parent.parent / "victim"
    if target == "there":
        victim.write_bytes(b"precious content of another program")
    path.with_name(name).symlink_to(victim)
    driven = driver(outbox=path)
    driven.log.error("boom happened")
    driven.advance(100)
    assert ["boom happened"] == driven.titles
    content = victim.read_bytes() if victim.exists() else None
    assert (b"precious content of another program" if target == "there" else None) == content
    if not name.endswith("-journal"):
        assert str(path) in caplog.text or str(victim) in caplog.text


def junk_in(client, prefix, keys):
    """Put names into an index of the throttle whose keys are gone."""
    for key in client.scan_iter(f"{prefix}*"):
        if client.type(key) == b"zset":
            client.zadd(key, {f"gone-{number}": number for number in range(keys)})


def test_names_in_redis_whose_keys_are_gone_stop_no_summary(redis_stores, inbox):
    """Six hundred of them, all due before the one that is there."""
    driven = Driven(inbox, throttle={"store": redis_stores.server.url}, clock=redis_stores.clock)
    for _ in range(5):
        driven.log.error("Cannot connect to %s", "db-7")
    driven.settle()
    junk_in(redis_stores.client, "", 600)
    driven.advance(1000)
    titles = driven.titles
    driven.end()
    assert ["Cannot connect to db-7", "4 more: Cannot connect to db-7"] == titles


@pytest.mark.parametrize("junk", [NESTED, b"\xff\xfe", "[]", "5", '{"a":', json.dumps({"a": 1})])
def test_key_of_redis_that_does_not_parse_counts_as_absent(redis_stores, inbox, junk):
    """It is a first again, and is sent."""
    driven = Driven(inbox, throttle={"store": redis_stores.server.url}, clock=redis_stores.clock)
    driven.log.error("Cannot connect to %s", "db-7")
    driven.settle()
    for key in redis_stores.client.scan_iter("*"):
        if redis_stores.client.type(key) == b"string" and not key.startswith(b"clock"):
            redis_stores.client.set(key, junk)
    driven.log.error("Another problem")
    driven.advance(100)
    titles = driven.titles
    driven.end()
    assert ["Cannot connect to db-7", "Another problem"] == titles


@contextlib.contextmanager
def server_of(answer):
    """Serve what is no Redis; ``answer`` gets a connection's lines and its socket. Yields a URL."""

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection = server.accept()[0]
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection):
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
            while head := lines.readline():
                answer(head, lines, connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def node_of_a_cluster(head, lines, connection):
    """Say of each key that another node has it."""
    words = []
    for _ in range(int(head[1:])):
        size = int(lines.readline()[1:])
        words.append(lines.read(size + 2)[:-2].upper())
    if words[0] == b"HELLO":
        connection.sendall(b"%1\r\n$5\r\nproto\r\n:3\r\n")
    elif words[0] in {b"CLIENT", b"SELECT", b"AUTH", b"PING"}:
        connection.sendall(b"+OK\r\n")
    else:
        connection.sendall(b"-MOVED 1234 10.0.0.7:6379\r\n")


@pytest.mark.parametrize("answer", [
    node_of_a_cluster, b"+OK\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"*9\r\n",
])  # fmt: skip
def test_server_that_is_no_redis_is_as_one_that_is_away(handler_for, inbox, caplog, answer):
    """Whatever it answers, the process decides alone; the right node of a cluster is named."""
    text = answer
    if isinstance(text, bytes):
        answer = lambda _head, _lines, connection: connection.sendall(text)  # noqa: E731
    with server_of(answer) as url:
        handler = handler_for(throttle={"store": url})
        log = logging.Logger("shop")
        log.addHandler(handler)
        log.error("boom happened")
        assert ["boom happened"] == [push["title"] for push in inbox.wait_for(1, 20)]
        assert handler.flush(10)
    if answer is node_of_a_cluster:
        assert "10.0.0.7:6379" in caplog.text or "cluster" in caplog.text.lower()


def test_message_that_a_proxy_refuses_by_its_text_holds_no_other_up(driver):
    """A filter's 403 for one text comes each time: the others are sent within a minute."""
    driven = driver(throttle=False)
    driven.inbox.fail_with(403, "<html>", times=None, match=lambda sent: "DROP" in sent["title"])
    driven.log.error("syntax error at DROP TABLE")
    for number in range(5):
        driven.log.error("trouble %d", number)
    driven.advance(60)
    assert 5 == len(driven.titles)
