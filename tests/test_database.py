"""One file for several processes: what is durable, and what happens when the disk is not well."""

import shutil
import sqlite3
import stat
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from subprocess import PIPE, Popen, run

import pytest

pytest.importorskip("fcntl", reason="Windows has no outbox in a file")

from pushover_logging import connection, database
from pushover_logging.database import Database, Unavailable
from pushover_logging.guard import held
from pushover_logging.salvage import is_damage

FIRST = "CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT)"
SECOND = "ALTER TABLE thing ADD COLUMN size INTEGER; CREATE INDEX thing_size ON thing (size)"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new folder" / "file.sqlite"


@pytest.fixture
def file(path):
    made = Database(path, [FIRST])
    yield made
    made.close()


def add(file, *names):
    with file.transaction() as connection:
        for name in names:
            connection.execute("INSERT INTO thing (name) VALUES (?)", (name,))


def names(file):
    with file.transaction() as connection:
        return [name for (name,) in connection.execute("SELECT name FROM thing ORDER BY id")]


def put_down(path):
    """Fill it from a process of its own, whose connection is gone."""
    file = Database(path, [FIRST])
    add(file, *(f"{number:04}" + "x" * 200 for number in range(500)))
    file.close()
    return file


@contextmanager
def locked(path):
    """Hold the file as another program would that writes to it for long."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def test_commit_is_durable_and_private(file, path):
    """The order of writes that outlives a power cut, read back; nobody else may read the file."""
    with file.transaction() as connection:
        assert [(2,)] == connection.execute("PRAGMA synchronous").fetchall()
        assert [("truncate",)] == connection.execute("PRAGMA journal_mode").fetchall()
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert 0o700 == stat.S_IMODE(path.parent.stat().st_mode)


def test_nothing_is_opened_before_it_is_used(file, path):
    """Constructing it touches no file."""
    assert not path.parent.exists()
    file.close()
    assert not path.parent.exists()


def test_block_that_fails_leaves_nothing(file):
    """All of a transaction, or none; the block's own error comes through."""
    add(file, "before")
    with pytest.raises(KeyError), file.transaction() as connection:
        connection.execute("INSERT INTO thing (name) VALUES ('half')")
        raise KeyError
    assert ["before"] == names(file)


def test_inner_transaction_is_part_of_the_outer(file):
    """What is done inside is undone with the outside."""
    with pytest.raises(KeyError), file.transaction():
        add(file, "inner")
        raise KeyError
    assert [] == names(file)


def test_error_of_the_database_is_unavailable(file):
    """Callers have one exception to answer."""
    with pytest.raises(Unavailable, match="syntax error"), file.transaction() as connection:
        connection.execute("NONSENSE")
    add(file, "after")
    assert ["after"] == names(file)


def test_locked_by_another_process(file, path):
    """Whoever waits gives up after its patience, and goes on when the file is free."""
    add(file, "before")
    with locked(path):
        began = time.monotonic()
        with pytest.raises(Unavailable, match="locked"), file.transaction(patience=0.1):
            pass
        assert time.monotonic() - began < 0.5
    assert ["before"] == names(file)


def test_locked_when_it_is_opened(file, path):
    """Also the first use waits no longer than that, and a bit."""
    add(file, "before")
    file.close()
    with locked(path), pytest.raises(Unavailable, match="locked"), file.transaction(patience=0.1):
        pass
    assert ["before"] == names(file)


def test_in_use_by_another_thread(file):
    """A thread waits for another one of its process no longer than for another process."""
    add(file, "before")
    inside, done = threading.Event(), threading.Event()

    def hold():
        with file.transaction():
            inside.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(10)
    assert file.stamp() is None
    assert file.has_row("SELECT 1 FROM thing") is None
    with pytest.raises(Unavailable, match="another thread"), file.transaction(patience=0.05):
        pass
    done.set()
    thread.join(10)
    assert ["before"] == names(file)


def test_transaction_that_interrupts_the_beginning_of_another(file, path):
    """A signal handler that logs comes when the lock is taken and nothing begun: it has its own."""
    with held(file._lock, 0):
        add(file, "of the handler")
        with locked(path), pytest.raises(Unavailable, match="locked"), file.transaction(0.01):
            pass
    add(file, "after it")
    assert ["of the handler", "after it"] == names(file)


def test_no_thread_is_kept_out_by_a_storm_of_another(file):
    """A lock that is taken again at once would starve the others."""
    end = time.monotonic() + 1
    failed = []

    def storm():
        while time.monotonic() < end:
            try:
                with file.transaction(patience=0.5):
                    pass
            except Unavailable as error:
                failed.append(error)

    threads = [threading.Thread(target=storm) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [] == failed


def test_stamp_changes_with_the_file(file, path):
    """Equal while nobody writes; another's commit, one's own and a new connection change it."""
    assert file.stamp() is None
    add(file, "first")
    stamps = [file.stamp(), file.stamp()]
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("INSERT INTO thing (name) VALUES ('by another')")
    stamps.append(file.stamp())
    add(file, "by this one")
    stamps.append(file.stamp())
    file.close()
    names(file)
    stamps.append(file.stamp())
    assert stamps[0] == stamps[1]
    assert 4 == len({stamps[0], *stamps[2:]})
    with locked(path):
        assert file.stamp() is None


@pytest.mark.parametrize("damage", [b"garbage " * 4000, b"SQLite format 3\0" + b"?" * 8000])
def test_garbage_is_set_aside(file, path, damage):
    """It stands beside its replacement, and a person is told where."""
    path.parent.mkdir()
    path.write_bytes(damage)
    add(file, "after")
    assert ["after"] == names(file)
    (aside,) = path.parent.glob("*.damaged-*[0-9]")
    assert damage == aside.read_bytes()
    assert str(aside) in file.take_notice()


@pytest.mark.parametrize("is_open", [True, False])
@pytest.mark.parametrize("left", [0, 1000, 4096, 60_000])
def test_truncated_file_is_replaced_and_what_can_be_read_is_saved(file, path, left, is_open):
    """Cut off while it is open or before: the next transactions find a file that works."""
    put_down(path)
    if is_open:
        names(file)
    with path.open("r+b") as raw:
        raw.truncate(left)
    for _ in range(2):
        with suppress(Unavailable):
            names(file)
    add(file, "after")
    assert "after" == names(file)[-1]
    assert len(names(file)) > (left - 4096) / 300  # the first page holds the schema


def test_page_that_is_damaged_costs_no_other_row(file, path):
    """A hole in the middle: the rows before it and after it are saved."""
    put_down(path)
    size = path.stat().st_size
    with path.open("r+b") as raw:
        raw.seek(size // 2)
        raw.write(b"\xff" * 4096)
    with pytest.raises(Unavailable, match="malformed"):
        names(file)
    saved = names(file)
    assert 400 < len(saved) < 500
    assert "malformed" in file.take_notice()


def test_complaint_that_is_no_text_is_of_damage():
    """SQLite would name a part of the file, whose name is no UTF-8 any more."""
    error = UnicodeDecodeError("utf-8", b"no such table: \xff", 15, 16, "invalid start byte")
    assert [True, False] == [is_damage(one) for one in (error, sqlite3.OperationalError("full"))]


def test_damaged_file_that_another_has_replaced_is_left_alone(file, path):
    """The second process that finds it damaged goes on with the first one's replacement."""
    put_down(path)
    other = Database(path, [FIRST])
    names(file)
    names(other)
    path.write_bytes(b"garbage " * 4000)
    for one in (file, other):
        add(one, "after")
    assert ["after", "after"] == names(file)[-2:]
    assert 1 == len(list(path.parent.glob("*.damaged-*[0-9]")))
    other.close()


def test_newer_schema_is_not_touched(file, path):
    """A newer version's file is unavailable, and stays as it is."""
    newer = Database(path, [FIRST, SECOND])
    add(newer, "from the future")
    newer.close()
    before = path.read_bytes()
    with pytest.raises(Unavailable, match="newer version"):
        names(file)
    assert before == path.read_bytes()


def test_older_schema_is_brought_on(path):
    """Each migration from where the file stands; its rows stay."""
    put_down(path)
    newer = Database(path, [FIRST, SECOND])
    with newer.transaction() as connection:
        assert (500, 0) == connection.execute("SELECT COUNT(*), COUNT(size) FROM thing").fetchone()
        assert [(2,)] == connection.execute("PRAGMA user_version").fetchall()
    newer.close()


def test_deleted_while_open_is_made_anew(file, path):
    """Rows are not written where nobody would find them."""
    add(file, "lost")
    path.unlink()
    assert file.stamp() is None
    add(file, "after")
    assert ["after"] == names(Database(path, [FIRST]))


def test_folder_deleted_while_open_is_made_anew(file, path):
    """The file that was open is gone with it, and that is said."""
    add(file, "lost")
    shutil.rmtree(path.parent)
    assert [] == names(file)
    assert f"{path} was deleted or replaced while it was open" == file.take_notice()


def test_full_disk(small_disk):
    """Unavailable, and whole: what was in it stays, and it works when there is room again."""
    file = Database(small_disk / "file.sqlite", [FIRST])
    add(file, "before")
    (small_disk / "big").write_bytes(b"x" * 90_000)
    with pytest.raises(Unavailable, match="full"):
        add(file, *["x" * 1000] * 100)
    assert ["before"] == names(file)
    (small_disk / "big").unlink()
    add(file, "after")
    assert ["before", "after"] == names(file)
    file.close()


def test_read_only_disk(small_disk):
    """Unavailable while it lasts."""
    file = Database(small_disk / "file.sqlite", [FIRST])
    add(file, "before")
    file.close()
    run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(Unavailable, match=r"[Rr]ead-only"):
        add(file, "never")
    run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    add(file, "after")
    assert ["before", "after"] == names(file)
    file.close()


def test_folder_that_cannot_be_made(tmp_path):
    """Where a part of the path is a file, that is said."""
    (tmp_path / "taken").write_text("a file")
    file = Database(tmp_path / "taken" / "file.sqlite", [FIRST])
    with pytest.raises(Unavailable, match="taken"):
        names(file)


def test_child_of_a_fork_leaves_its_parents_connection(file):
    """It opens its own, and does not close the other: that could undo what the parent does."""
    add(file, "before")
    opened = file._connection.current
    file.renew()
    assert opened in connection._ABANDONED
    add(file, "after")
    assert [("before",), ("after",)] == opened.execute("SELECT name FROM thing").fetchall()
    connection._ABANDONED.remove(opened)
    opened.close()
    opened.close()


def test_process_that_dies_in_the_middle_leaves_what_was_before(file, path):
    """Its journal is rolled back by whoever comes next."""
    add(file, "before")
    source = """
        import sqlite3, sys, time
        connection = sqlite3.connect(sys.argv[1], isolation_level=None)
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN EXCLUSIVE")
        for number in range(2000):
            connection.execute("INSERT INTO thing (name) VALUES ('half')")
        print("inside", flush=True)
        time.sleep(60)
    """
    lines = "\n".join(line[8:] for line in source.splitlines())
    with Popen([sys.executable, "-c", lines, str(path)], stdout=PIPE) as process:
        process.stdout.readline()
        process.kill()
    assert ["before"] == names(file)


def test_fork_does_not_wait_for_ever(file, monkeypatch):
    """Where another thread's transaction does not end, the fork goes on after a while."""
    monkeypatch.setattr(database, "PATIENCE", 0.01)
    begun, done = threading.Event(), threading.Event()

    def hold():
        with file.transaction():
            begun.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait(30)
    file.pause()
    file.resume()
    done.set()
    thread.join()
    add(file, "after")
    assert ["after"] == names(file)


def test_file_that_another_has_replaced_is_not_set_aside(file, path):
    """Who comes second finds a file that is well, and leaves it."""
    add(file, "lost")
    path.unlink()
    add(Database(path, [FIRST]), "of another")
    file._quarantine(sqlite3.DatabaseError("malformed"))
    assert ["of another"] == names(file)
