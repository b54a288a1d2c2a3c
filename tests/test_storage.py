"""One file for several processes: what is durable, and what happens when the disk is not well."""

import concurrent.futures
import contextlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial

import pytest

pytest.importorskip("fcntl", reason="Windows has no outbox in a file")

from pushover_logging.clock import Clock
from pushover_logging.storage import sqlite_file
from pushover_logging.storage.file_lock import FileLock
from pushover_logging.storage.sqlite_file import SqliteFile, Unavailable, shared_file

FIRST = "CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT)"
SECOND = "ALTER TABLE thing ADD COLUMN size INTEGER; CREATE INDEX thing_size ON thing (size)"
INSERT = "INSERT INTO thing (name) VALUES (?)"


class NoThreads(Clock):
    """As in an interpreter that has none to give: each call does its work itself."""

    def start_thread(self, target, name):
        raise RuntimeError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new folder" / "file.sqlite"


@pytest.fixture
def opened(path):
    """Open the file, each time as another process would."""
    made = []

    def make(*migrations, clock=None, at=path):
        made.append(SqliteFile(at, migrations or [FIRST], clock or NoThreads()))
        return made[-1]

    yield make
    for file in made:
        file.close()


@pytest.fixture
def file(opened):
    return opened()


@pytest.fixture
def threaded(opened):
    """A file with a writer's thread."""
    return opened(clock=Clock())


def add(file, *names):
    file.run(lambda connection: connection.executemany(INSERT, [(name,) for name in names]))


def names(file):
    query = "SELECT name FROM thing ORDER BY id"
    return file.run(lambda connection: [name for (name,) in connection.execute(query)])


def fill(opened):
    """Write 500 rows, from a process that is gone."""
    file = opened()
    add(file, *(f"{number:04}" + "x" * 200 for number in range(500)))
    file.close()


@contextlib.contextmanager
def locked(path):
    """Hold the file as another program would that writes to it for long."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@contextlib.contextmanager
def busy(file):
    """Let the writer be in the middle of a transaction."""
    begun, done = threading.Event(), threading.Event()

    def work(_):
        begun.set()
        done.wait(30)

    future = concurrent.futures.Future()
    file.submit(work, future)
    begun.wait(30)
    try:
        yield
    finally:
        done.set()
        future.result(30)


# -- transactions


def test_commit_is_durable_and_private(file, path):
    """The order of writes that outlives a power cut, read back; nobody else may read the file."""
    assert not path.parent.exists()  # nothing is opened before it is used
    for pragma, expected in (("synchronous", 2), ("journal_mode", "truncate")):
        query = f"PRAGMA {pragma}"
        assert (expected,) == file.run(lambda to, query=query: to.execute(query).fetchone())
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert 0o700 == stat.S_IMODE(path.parent.stat().st_mode)


@pytest.mark.parametrize(
    ("fault", "expected"), [(KeyError("x"), KeyError), (sqlite3.OperationalError("x"), Unavailable)]
)
def test_work_that_fails_leaves_nothing(file, fault, expected):
    """All of it or none; its own error comes through, and SQLite's as one kind of exception."""

    def half(connection):
        connection.execute(INSERT, ("half",))
        add(file, "inner")  # part of the same transaction
        raise fault

    with pytest.raises(expected):
        file.run(half)
    add(file, "after")
    assert ["after"] == names(file)


def test_calls_that_wait_together_share_a_commit(threaded):
    """What several threads want is one transaction, in which the one that fails fails alone."""
    add(threaded, "before")
    statements, results = [], []
    threaded.run(lambda connection: connection.set_trace_callback(statements.append))

    def call(number):
        try:
            if number == 3:
                threaded.run(lambda connection: connection.execute("INSERT INTO thing VALUES (1)"))
            add(threaded, f"{number}")
        except Unavailable:
            results.append(number)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    with busy(threaded):
        statements.clear()
        for thread in threads:
            thread.start()
        while len(threaded._jobs) < 8:
            time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert ["before", *"0124567"] == sorted(names(threaded), key=lambda name: (len(name) < 2, name))
    assert [3] == results
    commits = [one for one in statements if one == "COMMIT"]
    assert 3 == len(commits)  # of the one under way, of the group, of `names`


def test_work_that_has_not_begun_can_be_withdrawn(threaded):
    """A call that has waited long enough gives up, and nothing of it happens later."""
    add(threaded, "before")
    with busy(threaded):
        began = time.monotonic()
        with pytest.raises(Unavailable, match="busy"):
            threaded.run(lambda connection: connection.execute(INSERT, ("never",)), 0.05)
        assert time.monotonic() - began < 1
    assert ["before"] == names(threaded)


def test_work_that_has_begun_is_waited_for(threaded, monkeypatch):
    """It can be withdrawn no more: a call that gave up would not know if it happens."""
    begun, submit = threading.Event(), threaded.submit

    def submit_and_see_it_begin(work, future):
        submit(work, future)
        begun.wait(30)

    def work(connection):
        begun.set()
        time.sleep(0.3)
        return connection.execute(INSERT, ("slow",)).rowcount

    monkeypatch.setattr(threaded, "submit", submit_and_see_it_begin)
    assert 1 == threaded.run(work, 0)
    assert ["slow"] == names(threaded)


def test_writer_ends_and_starts_again(threaded, monkeypatch):
    """A thread without work is none of the process's; the next call starts another."""
    monkeypatch.setattr(sqlite_file, "_TICK", 0.05)
    add(threaded, "first")
    writer = threaded._writer
    writer.join(10)
    assert not writer.is_alive()
    add(threaded, "second")
    assert ["first", "second"] == names(threaded)


def test_look_at_the_file_while_it_is_opened_costs_no_descriptor(file, monkeypatch):
    """As where a program makes a second handler while the first one logs for the first time."""
    add(file, "before")
    file.close()
    listing, done = sqlite_file._descriptors_of, threading.Event()

    def look():
        while not done.is_set():
            file.has_row("SELECT 1 FROM thing")

    looking = threading.Thread(target=look)

    def listed(identity):
        if not looking.is_alive():
            looking.start()
            return set()
        end = time.monotonic() + 0.5
        while len(numbers := listing(identity)) < 2 and time.monotonic() < end:
            pass
        return numbers

    monkeypatch.setattr(sqlite_file, "_descriptors_of", listed)
    add(file, "after")
    monkeypatch.undo()
    done.set()
    looking.join()
    assert ["before", "after"] == names(file)
    assert 1 == len(listing(file._identity))


def test_program_that_is_patched_while_the_writer_runs(threaded, monkeypatch):
    """Callers do the work from then on; the writer, which may not end, does nothing more."""
    add(threaded, "before")
    writer = threaded._writer
    monkeypatch.setattr(threading, "Lock", partial(threading.Lock))  # as gevent does
    add(threaded, "after")
    assert ["before", "after"] == names(threaded)
    end = time.monotonic() + 20
    while threaded._writer is not None and time.monotonic() < end:
        time.sleep(0.05)
    assert (None, True) == (threaded._writer, writer.is_alive())
    monkeypatch.undo()
    writer.join(20)
    assert not writer.is_alive()


def test_signal_in_the_middle_of_a_transaction(file):
    """It cuts off all of that, and comes through to the program; the next one works."""
    other = concurrent.futures.Future()

    def interrupted(connection):
        connection.execute(INSERT, ("half",))
        raise KeyboardInterrupt

    file._jobs.append((other, lambda connection: connection.execute(INSERT, ("with it",))))
    with pytest.raises(KeyboardInterrupt):
        file.run(interrupted)
    assert isinstance(other.exception(0), Unavailable)
    add(file, "after")
    assert ["after"] == names(file)


def test_work_submitted_from_within_waits_for_its_turn(file):
    """As of a signal's handler, for another logger: it is done after what it interrupts."""
    late = concurrent.futures.Future()

    def work(connection):
        connection.execute(INSERT, ("outer",))
        file.submit(lambda to: to.execute(INSERT, ("late",)), late)
        assert not late.done()

    file.run(work)
    assert ["outer", "late"] == names(file) or ["outer"] == names(file)
    assert ["outer", "late"] == names(file)


# -- other processes


def test_process_that_dies_in_the_middle_leaves_what_was_before(file, path):
    """Its journal is rolled back by the next process."""
    add(file, "before")
    source = """
        import os, sqlite3, sys
        connection = sqlite3.connect(sys.argv[1], isolation_level=None)
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN EXCLUSIVE")
        for number in range(2000):
            connection.execute("INSERT INTO thing (name) VALUES ('half')")
        os.kill(os.getpid(), 9)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(source), str(path)], check=False)
    assert ["before"] == names(file)


def test_schema_of_an_older_version_is_brought_on(opened):
    """Its rows stay."""
    fill(opened)
    query = "SELECT COUNT(*), COUNT(size) FROM thing"
    file = opened(FIRST, SECOND)
    assert (500, 0) == file.run(lambda connection: connection.execute(query).fetchone())


# -- damage


def until_it_works(file, *added):
    """Use it as a sender does: again, after it failed; return how often it did."""
    for tries in range(4):
        with contextlib.suppress(Unavailable):
            add(file, *added)
            return tries
    raise AssertionError(file.warnings())


@pytest.mark.parametrize("damage", [b"garbage " * 4000, b"SQLite format 3\0" + b"?" * 8000])
def test_garbage_is_set_aside_at_the_second_look(file, path, damage):
    """It stands beside its replacement, and a warning names it."""
    add(file, "before")
    path.write_bytes(damage)
    assert 1 == until_it_works(file, "after")
    assert ["after"] == names(file)
    (aside,) = path.parent.glob("*.damaged-*[0-9]")
    assert damage == aside.read_bytes()
    assert str(aside) in "".join(file.warnings())


@pytest.mark.parametrize("is_open", [True, False])
@pytest.mark.parametrize("left", [0, 1000, 4096, 60_000])
def test_truncated_file_is_replaced_and_what_can_be_read_is_saved(opened, path, left, is_open):
    """Cut off while it is open or before: the next transactions find a file that works."""
    fill(opened)
    file = opened()
    if is_open:
        names(file)
    os.truncate(path, left)
    until_it_works(file)
    with contextlib.suppress(Unavailable):
        names(file)
    until_it_works(file, "after")
    assert "after" == names(file)[-1]
    assert len(names(file)) > (left - 4096) / 300  # the first page holds the schema


def test_page_that_is_damaged_costs_no_other_row(opened, path):
    """A hole in the middle: the rows before it and after it are saved."""
    fill(opened)
    with path.open("r+b") as raw:
        raw.seek(path.stat().st_size // 2)
        raw.write(b"\xff" * 4096)
    file = opened()
    with pytest.raises(Unavailable, match="malformed"):
        names(file)
    assert 400 < len(names(file)) < 500
    assert "malformed" in "".join(file.warnings())


def test_damaged_file_that_another_has_replaced_is_left_alone(opened, path):
    """The second process that finds it damaged goes on with the first one's replacement."""
    one, other = opened(), opened()
    for file in (one, other):
        add(file, "before")
    path.write_bytes(b"garbage " * 4000)
    with pytest.raises(Unavailable):
        names(other)
    for file in (one, other):
        until_it_works(file, "after")
    assert ["after", "after"] == names(one)
    assert 1 == len(list(path.parent.glob("*.damaged-*[0-9]")))


def test_damaged_file_that_another_moves_at_the_same_moment_is_moved_once(file, path):
    """Whoever finds at the second look that it is in place no more has nothing to move."""
    add(file, "before")
    aside = path.with_name("moved by another")
    replacement = shutil.copy(path, path.with_name("replacement"))

    def damaged(_):
        path.rename(aside)
        replacement.rename(path)
        raise sqlite3.DatabaseError("database disk image is malformed")

    with pytest.raises(Unavailable, match="malformed"):
        file.run(damaged)
    add(file, "after")
    assert (["before", "after"], []) == (names(file), file.warnings())
    assert [] == list(path.parent.glob("*.damaged-*"))


def test_damage_that_leaves_no_utf_8_is_damage(opened, path):
    """SQLite names the part that it cannot read, and Python cannot read the name."""
    fill(opened)
    whole = path.read_bytes().replace(b"CREATE TABLE", b"CREATE ?????")
    path.write_bytes(whole.replace(b"tablethingthing", b"tableth\xffngth\xffng"))
    file = opened()
    with pytest.raises(Unavailable, match="utf-8"):
        names(file)
    add(file, "after")
    assert "after" == names(file)[-1]
    assert 1 == len(list(path.parent.glob("*.damaged-*[0-9]")))


def test_folder_that_cannot_be_made(opened, tmp_path):
    """A part of the path is a file."""
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(Unavailable, match="taken"):
        names(opened(at=tmp_path / "taken" / "file.sqlite"))


# -- forks


@pytest.mark.process
@pytest.mark.parametrize("is_busy", [False, True])
def test_fork(path, is_busy):
    """The child opens its own; if a transaction was under way it leaves the file to its parent."""
    file = shared_file(path, [FIRST], Clock())
    add(file, "before")
    with busy(file) if is_busy else contextlib.nullcontext():
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(Unavailable):
                add(shared_file(path, [FIRST], NoThreads()), "of the child")
            os._exit(0)
        assert time.monotonic() - began < 1
        assert os.waitpid(child, 0)[1] == 0
        assert time.monotonic() - began < 20  # the child does not wait for the transaction
    add(file, "after")
    assert ["before", *["of the child"] * (not is_busy), "after"] == names(file)
    file.close()


# -- locks


def test_lock_has_one_owner(tmp_path):
    """Of this process or of another."""
    one, other = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert one.try_acquire(1, 5)
    assert one.try_acquire(1, 5)
    assert not one.try_acquire(1, 6)
    assert not other.try_acquire(1, 5)
    assert [True, False] == [other.is_held(0, 10), other.is_held(2, 10)]
    one.release(6)
    assert other.is_held(1)
    one.release(5)
    assert other.try_acquire(1, 5)


@pytest.mark.process
def test_lock_is_freed_by_death_alone(tmp_path):
    """A fork's child that leaves it to its parent does not free it; the parent's end does."""
    source = """
        import os, sys, time
        from pathlib import Path
        from pushover_logging.storage.file_lock import FileLock
        lock = FileLock(Path(sys.argv[1]))
        lock.try_acquire(1, 5)
        child = os.fork()
        if child == 0:
            lock.close()
            os._exit(0)
        os.waitpid(child, 0)
        print("held", flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(source), str(tmp_path / "lock")]
    lock = FileLock(tmp_path / "lock")
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert not lock.try_acquire(1, 5)
        process.kill()
    assert lock.try_acquire(1, 5)


def test_turn_without_a_lock_file(tmp_path):
    """An order, no exclusion: if the file cannot be used the block runs all the same."""
    (tmp_path / "taken").write_text("a file")
    ran = []
    for folder in ("taken", "free"):
        with FileLock(tmp_path / folder / "lock").turn(1):
            ran.append(folder)
    assert ["taken", "free"] == ran
