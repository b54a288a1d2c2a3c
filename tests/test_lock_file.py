"""The outbox's lock file cannot be used: that is said, and memory takes over."""

import contextlib
import logging
import os
import pwd
import shutil
import sqlite3
import tempfile
import threading
from pathlib import Path

import pytest
from conftest import UNMEASURED

pytest.importorskip("fcntl", reason="Windows has no outbox in a file")


def lock_of(path):
    return path.with_name(f"{path.name}.lock")


def occupied(lock):
    lock.mkdir()


def linked(lock):
    lock.symlink_to(lock.parent / "elsewhere")


def looped(lock):
    lock.symlink_to(lock)


BROKEN = [occupied, linked, looped]
THROTTLE = {True: {}, False: {"throttle": False}}
THROTTLES = pytest.mark.parametrize("throttle", [True, False], ids=["throttled", "all"])


@THROTTLES
@pytest.mark.parametrize("spoil", BROKEN)
def test_lock_file_that_is_none(handler_for, inbox, tmp_path, caplog, spoil, throttle):
    """A folder or a link in its place: one warning that names it, and all is sent."""
    path = tmp_path / "outbox.sqlite"
    spoil(lock_of(path))
    handler = handler_for(outbox=path, **THROTTLE[throttle])
    log = logging.Logger("shop")
    log.addHandler(handler)
    for name in "abc":
        log.error("boom %s", name, extra={"pushover": {"fingerprint": name}})
    assert handler.flush(10)
    assert ["boom a", "boom b", "boom c"] == sorted(push["title"] for push in inbox.messages)
    assert 3 == handler.stats().sent
    assert 1 == caplog.text.count("memory takes over")
    assert str(lock_of(path)) in caplog.text


def test_lock_file_that_is_none_and_a_file_that_is_busy(handler_for, tmp_path):
    """A look at the file in the middle of a transaction shows nothing: another look follows."""
    path = tmp_path / "outbox.sqlite"
    occupied(lock_of(path))
    handler = handler_for(outbox=path)
    log = logging.Logger("shop")
    log.addHandler(handler)
    log.error("boom")
    assert handler.flush(10)
    results = []
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        waiting = threading.Thread(target=lambda: results.append(handler.flush(10)))
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        other.execute("ROLLBACK")
        waiting.join()
    assert [True] == results


@THROTTLES
@pytest.mark.parametrize("spoil", BROKEN)
def test_lock_file_that_is_spoiled_while_it_is_used(
    handler_for, inbox, tmp_path, caplog, spoil, throttle
):
    """It is deleted, and something else stands there: what is in the file waits, the rest is sent.

    Once the way is free again all of it goes out.
    """
    path = tmp_path / "outbox.sqlite"
    handler = handler_for(outbox=path, **THROTTLE[throttle])
    log = logging.Logger("shop")
    log.addHandler(handler)
    log.error("before")
    assert handler.flush(10)
    lock_of(path).unlink()
    spoil(lock_of(path))
    log.error("after")
    inbox.wait_for(2)
    assert handler.flush(10)
    assert {"before", "after"} == {push["title"] for push in inbox.messages}
    assert str(lock_of(path)) in caplog.text


# It is made by root, and becomes nobody after its imports: nobody need not reach those.
SOURCE = """
import logging, os, sys
from pushover_logging import PushoverHandler
from pushover_logging.outbox import sqlite
from pushover_logging.throttle import sqlite
import idna, encodings.idna, pushover_logging.api.transport, pushover_logging.delivery.pipeline
os.setgroups([])
os.setgid({gid})
os.setuid({uid})
handler = PushoverHandler(outbox={path!r}, {throttle})
logging.getLogger().addHandler(handler)
logging.error("boom happened")
print(handler.flush(10), handler.stats().sent, handler.stats().pending, flush=True)
"""


def source_of(path, throttle):
    nobody = pwd.getpwnam("nobody")
    options = "" if throttle else "throttle=False"
    return SOURCE.format(uid=nobody.pw_uid, gid=nobody.pw_gid, path=str(path), throttle=options)


@pytest.fixture
def shared_folder():
    """A folder that all users may write to; pytest's own are for one."""
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.process
@pytest.mark.parametrize("mode", [0o600, 0o644])
@THROTTLES
@pytest.mark.parametrize("has_file", [False, True], ids=["no file", "own file"])
def test_lock_file_of_another_user(program, inbox, shared_folder, mode, has_file, throttle):
    """Left by a root's cron job, say: this user's push is sent, and a warning names the lock."""
    nobody = pwd.getpwnam("nobody")
    path = shared_folder / "outbox.sqlite"
    lock_of(path).touch()
    lock_of(path).chmod(mode)
    if has_file:
        sqlite3.connect(path).close()
        path.touch()
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    source = source_of(path, throttle)
    code, out, err = program.run(source, **UNMEASURED)
    assert (0, "True 1 0\n") == (code, out), err
    assert ["boom happened"] == [push["title"] for push in inbox.messages]
    assert 1 == err.count("memory takes over")
    assert str(lock_of(path)) in err
    assert "Traceback" not in err


@pytest.mark.process
@THROTTLES
def test_lock_file_becomes_another_users(program, inbox, shared_folder, throttle):
    """A root's job makes the lock anew while this process has rows in the file: all is sent."""
    path = shared_folder / "outbox.sqlite"
    source = source_of(path, throttle)
    source += f"""
print("ready", flush=True)
import time
while os.stat({str(lock_of(path))!r}).st_uid != 0:
    time.sleep(0.01)
logging.error("second boom")
print(handler.flush(10), handler.stats().sent, handler.stats().pending)
"""
    running = program.start(source, **UNMEASURED)
    assert "True 1 0\n" == running.stdout.readline()
    assert "ready\n" == running.stdout.readline()
    new = shared_folder / "new"
    new.touch()
    new.chmod(0o600)
    new.replace(lock_of(path))
    out, err = running.communicate(timeout=30)
    assert (0, "True 2 0\n") == (running.returncode, out), err
    assert ["boom happened", "second boom"] == [push["title"] for push in inbox.messages]
    assert str(lock_of(path)) in err


@pytest.mark.process
@pytest.mark.parametrize("work", ["", "handler.flush(2)", "time.sleep(3)"])
def test_rows_behind_the_lock_of_another_user(program, inbox, shared_folder, work):
    """What a process left there waits, and the next one says why, though it logs nothing."""
    path = shared_folder / "outbox.sqlite"
    inbox.fail_with(503)
    leave = source_of(path, throttle=False).partition("print(")[0]
    _, _, err = program.run(leave + "import time; time.sleep(1); os._exit(0)")
    assert "" == err
    os.chown(lock_of(path), 0, 0)
    look = source_of(path, throttle=False).partition("logging.error")[0]
    code, _, err = program.run(f"import time\n{look}{work}")
    assert 0 == code
    assert [] == inbox.messages
    assert str(lock_of(path)) in err
