"""The real time, chance and threads."""

import queue
import sys
import threading
import time

import pytest

from pushover_logging.clock import Clock


def test_clock_is_the_systems_own():
    """Its seconds are the system's, its chance keeps its bounds, its threads are daemons."""
    clock = Clock()
    assert abs(clock.time() - time.time()) < 1
    assert abs(clock.monotonic() - time.monotonic()) < 1
    assert 1 <= clock.uniform(1, 2) <= 2
    ran = queue.SimpleQueue()
    clock.start_thread(lambda: ran.put(threading.current_thread()), "one")
    thread = ran.get(timeout=10)
    assert ("one", True) == (thread.name, thread.daemon)


def test_no_thread_begins_while_the_interpreter_ends(monkeypatch):
    """Python 3.10 and 3.11 would wait for it for ever."""
    monkeypatch.setattr(sys, "is_finalizing", lambda: True)
    with pytest.raises(RuntimeError, match="the interpreter ends"):
        Clock().start_thread(print, "one")
