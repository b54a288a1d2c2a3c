"""The system's own time, randomness and threads."""

import queue
import sys
import threading
import time

import pytest

from pushover_logging.clock import Clock


def test_clock_is_the_system_clock():
    """Its times are the system's, its random numbers within bounds, its threads daemons."""
    clock = Clock()
    assert abs(clock.time() - time.time()) < 1
    assert abs(clock.monotonic() - time.monotonic()) < 1
    assert 1 <= clock.uniform(1, 2) <= 2
    ran = queue.SimpleQueue()
    clock.start_thread(lambda: ran.put(threading.current_thread()), "worker")
    thread = ran.get(timeout=10)
    assert ("worker", True) == (thread.name, thread.daemon)


def test_no_thread_begins_while_the_interpreter_ends(monkeypatch):
    """Python 3.11 would wait for it forever."""
    monkeypatch.setattr(sys, "is_finalizing", lambda: True)
    with pytest.raises(RuntimeError, match="interpreter shutdown"):
        Clock().start_thread(print, "worker")
