"""The system's own time, randomness and threads."""

import queue
import sys
import threading
import time

import pytest

from pushover_logging.clock import Clock, parse_duration


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


@pytest.mark.parametrize(("text", "seconds"), [
    ("90", 90), ("90s", 90), ("15m", 900), ("1h30m", 5400), ("2d", 172_800), ("0", 0),
    ("007", 7), ("1d2h3m4s", 93_784), ("0m", 0), ("90m", 5400),
])  # fmt: skip
def test_duration_as_people_write_it(text, seconds):
    """Days, hours, minutes, seconds, in this order, whole numbers; a number alone is seconds."""
    assert seconds == parse_duration(text)


@pytest.mark.parametrize("text", [
    "", " ", "soon", "-1", "+1", "1h30", "30m1h", "1h1h", "5 m", "5M", "1w", "5min", "nan", "inf",
    "1e3", ".5", "1.", "h", "\N{ARABIC-INDIC DIGIT FIVE}m", "9" * 400, "1h30m ago",
    " 5s", "5s\n", "0.5", "1.5h", "1d2h3m4.5s",
])  # fmt: skip
def test_anything_else_is_no_duration(text):
    """It is refused, not guessed at: 1h30 could be minutes or seconds."""
    with pytest.raises(ValueError, match=r"^"):
        parse_duration(text)
