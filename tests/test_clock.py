"""The real time, chance and threads."""

import queue
import threading
import time

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
