"""Threads that log at once, with the GIL and without it: nothing is lost, shared or left over."""

import logging
import subprocess
import sys
import textwrap
import threading
import weakref
from collections import deque

import pytest
from conftest import TOKEN, USER

from pushover_logging import PushoverHandler
from pushover_logging.clock import snapshot
from pushover_logging.delivery import lifecycle


@pytest.fixture(autouse=True)
def switching():
    """Threads take turns as often as Python lets them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(count, function):
    """Call a function in several threads, which begin together; return what they return."""
    barrier, found, errors = threading.Barrier(count), [], []

    def run(number):
        barrier.wait()
        try:
            found.append(function(number))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == errors
    return found


class Sender:
    """What the exit asks how long it may wait."""

    close_timeout = 0.0


class Interrupted(weakref.WeakSet):
    """Another thread adds to it in the middle of the first iteration."""

    def __iter__(self):
        for item in super().__iter__():
            if len(self) < 3:
                self.added = Sender()
                self.add(self.added)
            yield item


def test_collection_that_changes_is_read_again():
    """A RuntimeError would be the end of the exit's wait."""
    kept = Sender(), Sender()
    items = Interrupted(kept)
    found = set(snapshot(items))
    assert set(kept) <= found


def test_collection_is_read_while_others_change_it():
    """A deque or a WeakSet: each read has all that was there before, and is there after."""
    items, senders, kept = deque(range(50)), weakref.WeakSet(), [Sender() for _ in range(50)]
    senders.update(kept)
    done = threading.Event()

    def work(number):
        if number:
            while not done.is_set():
                items.append(50)
                items.pop()
                sender = Sender()
                senders.add(sender)
                senders.discard(sender)
            return
        try:
            for _ in range(2_000):
                assert set(range(50)) <= set(snapshot(items))
                assert set(kept) <= set(snapshot(senders))
        finally:
            done.set()

    at_once(3, work)


def test_exit_counts_senders_while_others_are_made():
    """As a handler that another thread makes or drops at that moment."""
    done = threading.Event()

    def work(number):
        if number:
            while not done.is_set():
                sender = Sender()
                lifecycle.register(sender)
                lifecycle.unregister(sender)
            return
        try:
            for _ in range(20_000):
                lifecycle._close_timeout()
        finally:
            done.set()

    at_once(3, work)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no outbox in a file")
def test_handlers_that_are_made_at_once_share_one_file(tmp_path):
    """Two objects for one path would free each other's locks."""
    from pushover_logging.outbox.sqlite import MIGRATIONS
    from pushover_logging.storage.sqlite_file import shared_file

    for number in range(300):
        path = tmp_path / f"{number}.sqlite"
        files = at_once(4, lambda _, path=path: shared_file(path, MIGRATIONS, None))
        assert 1 == len(set(map(id, files)))


def test_counters_add_up(inbox):
    """Of 16 threads that log the same and their own, each record is in exactly one counter."""
    handler = PushoverHandler(token=TOKEN, user=USER, api_url=inbox.url)
    logger = logging.Logger("threads")
    logger.addHandler(handler)

    def work(number):
        for _ in range(300):
            logger.error("no database")
            logger.error("no database %d", number % 4, extra={"pushover": {"fingerprint": number}})

    at_once(16, work)
    stats = handler.stats()
    ended = stats.sent + stats.suppressed + stats.rejected + stats.dropped + stats.failed
    assert (16 * 600, 0) == (stats.records, stats.failed)
    assert stats.records == ended + stats.pending
    handler.close()
    reported = handler.stats()
    assert (16 * 600, 0) == (reported.records, reported.pending)


def test_sender_inherits_no_context(inbox):
    """What the first caller has in a context variable ends with that caller."""
    program = f"""
        import contextvars, gc, logging, weakref
        from pushover_logging import PushoverHandler
        class Request: pass
        request = contextvars.ContextVar("request")
        handler = PushoverHandler(token={TOKEN!r}, user={USER!r}, api_url={inbox.url!r})
        logging.getLogger().addHandler(handler)
        def handle():
            request.set(Request())
            logging.error("no database")
            return weakref.ref(request.get())
        found = contextvars.Context().run(handle)
        assert handler.flush(30)
        gc.collect()
        print(found())
    """
    command = [sys.executable, "-X", "thread_inherit_context=1", "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "None\n" == done.stdout
