"""A fault at every line of ``emit``: each record ends in exactly one outcome, whatever raises."""

import dis
import logging
import sys
from collections import defaultdict
from functools import partial

import pytest
from conftest import adds_up, drop

from pushover_logging.handler import PushoverHandler

# The text and the fingerprint are made by code that counts nothing: it raises as a whole.
COUNTING = ("pushover_logging/handler", "pushover_logging/delivery", "pushover_logging/outbox")
EMIT = PushoverHandler.emit.__code__


def is_empty(code, line):
    """Return True for a line of `emit` itself that calls nothing, such as a bare ``try``."""
    operations = [at.opname for at in dis.get_instructions(code) if at.positions.lineno == line]
    return code is EMIT and not any("CALL" in name for name in operations)


def raising_at(number, work):
    """Run ``work``; the line ``number`` of what `emit` calls raises. Returns where, None: nowhere.

    A line counts when it begins, not when a block at it is left: Python raises RecursionError, and
    the exception of a signal, where something is called, and a ``with`` ends as deep as it began.
    """
    count, where, begun = 0, None, defaultdict(set)

    def trace(frame, event, _):
        nonlocal count, where
        code, line, lines = frame.f_code, frame.f_lineno, begun[frame]
        is_ours = any(name in code.co_filename for name in COUNTING)
        if not is_ours or not (code is EMIT or len(begun) > 1):
            del begun[frame]
            return None
        if event == "line" and line not in lines and not is_empty(code, line):
            lines.add(line)
            count += 1
            if count == number:
                sys.settrace(None)
                where = f"{code.co_qualname}:{line}"
                raise RecursionError
        if event == "return" and code is EMIT:
            begun.clear()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return where


@pytest.mark.parametrize(("throttle", "extra"), [
    (None, {}), (False, {}), (None, {"pushover": {"resolves": "db"}}),
])  # fmt: skip
def test_fault_at_any_line_leaves_one_outcome(drive, monkeypatch, throttle, extra):
    """Nothing is raised into the program; the record is in one counter, and the next is sent."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    number, where, wrong = 0, "", []
    while where is not None:
        number += 1
        driven = drive(throttle=throttle)
        try:
            error = partial(driven.log.error, "disk %s is full", "sda", extra=extra)
            where = raising_at(number, error)
        except RecursionError:
            wrong.append((number, "raised"))
        driven.settle()
        first = driven.handler.stats()
        driven.log.error("after it", extra={"pushover": {"throttle": False}})
        driven.settle()
        second = driven.handler.stats()
        shown = [(stats.records, stats.pending, adds_up(stats)) for stats in (first, second)]
        if [(1, 0, True), (2, 0, True)] != shown or ["after it"] != driven.titles[-1:]:
            wrong.append((number, where, first[:7], second[:7], driven.titles))
        drop(driven.handler)
        driven.inbox.reset()
    assert [] == wrong
    assert number > 50
