"""The outbox's file goes away while it is open: what waited in it is counted, and that is said."""

import contextlib
import os
import shutil
import sqlite3

import pytest

pytest.importorskip("fcntl", reason="Windows has no outbox in a file")

pytestmark = pytest.mark.parametrize("drive", ["file"], indirect=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def down(drive, inbox):
    """A handler while the service is down: three Messages wait, one of them was tried."""
    inbox.fail_with(503, times=None)
    driven = drive(throttle=False)
    for number in range(3):
        driven.log.error("trouble %d", number)
    driven.settle()
    return driven


def shown(driven):
    stats = driven.handler.stats()
    return stats.records, stats.sent, dict(stats.dropped_by), stats.pending


LOST = "was deleted, replaced or emptied"
GONE = {
    "deleted": (lambda path: path.unlink(), LOST),
    "folder": (lambda path: shutil.rmtree(path.parent), LOST),
    "replaced": (lambda path: path.rename(path.with_name("old")), LOST),
    "emptied": (lambda path: os.truncate(path, 0), LOST),
    "garbage": (lambda path: path.write_bytes(os.urandom(20_000)), "is damaged"),
}


@pytest.mark.parametrize("kind", GONE)
@pytest.mark.parametrize("logs", [False, True], ids=["quiet", "logs on"])
def test_what_waited_is_dropped_and_that_is_said_once(down, path, caplog, kind, logs):
    """Nothing waits for ever, `flush` does not wait in vain, and what comes after is delivered."""
    change, said = GONE[kind]
    change(path)
    if logs:
        down.log.error("after it")
    down.advance(4)
    assert 1 == caplog.text.count(said)
    assert 1 == caplog.text.count("messages that waited in it are lost: 3")
    assert (3 + logs, 0, {"file lost": 3}, logs) == shown(down)
    down.inbox.clear_faults()
    down.advance(400)
    assert ["after it"] * logs == down.titles
    assert down.handler.flush(0)
    assert 1 == caplog.text.count("are lost")


def test_each_handler_counts_its_own(down, drive, path):
    """Also who does not send for the account."""
    other = drive(throttle=False)
    other.clock.now = down.clock.now
    other.log.error("of another")
    other.advance(2)
    path.unlink()
    for one in (down, other, down, other):
        one.advance(2)
    assert (3, 0, {"file lost": 3}, 0) == shown(down)
    assert (1, 0, {"file lost": 1}, 0) == shown(other)


def test_what_is_in_the_new_file_is_found_again(down, path):
    """As where somebody puts an older copy back: only what is not in it is lost."""
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    down.log.error("later one")
    path.unlink()
    copy.rename(path)
    down.advance(2)
    assert (4, 0, {"file lost": 1}, 3) == shown(down)
    down.inbox.clear_faults()
    down.advance(400)
    assert (4, 3, {"file lost": 1}, 0) == shown(down)


def test_message_that_is_being_sent_meanwhile_is_no_loss(down, path, monkeypatch):
    """Its row is gone when the answer comes: it is sent, and not dropped too."""
    send = down.handler._pipeline._client.send

    def unlinks(message):
        monkeypatch.undo()
        path.unlink()
        return send(message)

    monkeypatch.setattr(down.handler._pipeline._client, "send", unlinks)
    down.inbox.clear_faults()
    down.advance(400)
    assert (3, 1, {"file lost": 2}, 0) == shown(down)
    assert 1 == len(down.titles)


def test_message_that_another_sent_meanwhile_is_counted_once(down, drive, path, monkeypatch):
    """Word of it is not left in the new file, where its handler knows it as lost."""
    other = drive(throttle=False)
    other.clock.now = down.clock.now
    other.log.critical("of another")
    send = down.handler._pipeline._client.send

    def unlinks(message):
        monkeypatch.undo()
        path.unlink()
        other.advance(2)
        return send(message)

    monkeypatch.setattr(down.handler._pipeline._client, "send", unlinks)
    down.inbox.clear_faults()
    down.advance(400)
    other.advance(2)
    assert ["of another"] == down.titles
    assert (1, 0, {"file lost": 1}, 0) == shown(other)
    assert (3, 0, {"file lost": 3}, 0) == shown(down)


def test_file_that_cannot_be_looked_into_is_looked_into_later(down, path):
    """Another program holds the new file: nothing is given up before it is seen."""
    path.unlink()
    down.log.error("after it")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        down.settle()
        assert (4, 0, {}, 4) == shown(down)
        other.execute("ROLLBACK")
    down.advance(3)
    assert (4, 0, {"file lost": 3}, 1) == shown(down)
