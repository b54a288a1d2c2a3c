"""The program is never harmed: not by a service that hangs, a signal, a collection, a close."""

import asyncio
import logging
import os
import threading
import time
import tracemalloc

import pytest
from conftest import UNMEASURED

from pushover_logging.outbox.memory import CAPACITY_BYTES


def logger_for(handler):
    log = logging.Logger("shop")
    log.addHandler(handler)
    return log


def test_hanging_endpoint_and_ten_thousand_errors_from_four_threads(handler_for, inbox):
    """Every call returns, and memory stays within the outbox's bounds."""
    inbox.fail_with(hang=True, times=None)
    handler = handler_for(throttle=False, close_timeout=0.1, timeout=1)
    log = logger_for(handler)

    def storm(name):
        for number in range(2500):
            log.error("trouble %s-%d of a long story", name, number)

    threads = [threading.Thread(target=storm, args=(name,)) for name in range(4)]
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    stats = handler.stats()
    assert (10_000, 1000, {"full": 9000}) == (stats.records, stats.pending, stats.dropped_by)
    assert after - before < CAPACITY_BYTES
    inbox.clear_faults()


@pytest.mark.parametrize("kind", ["close", "flush", "dictConfig"])
def test_record_while_another_thread_waits(program, inbox, kind):
    """emit during `close`, `flush` or a new configuration returns at once, and is delivered."""
    inbox.fail_with(delay=1)
    code, out, err = program.run(
        f"""
        import logging, logging.config, threading, time
        CONFIG = {{
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {{"phone": {{
                "class": "pushover_logging.PushoverHandler", "throttle": False
            }}}},
            "root": {{"handlers": ["phone"]}},
        }}
        logging.config.dictConfig(CONFIG)
        handler = logging.getLogger().handlers[0]
        logging.error("first problem")
        work = {{
            "close": handler.close,
            "flush": handler.flush,
            "dictConfig": lambda: logging.config.dictConfig(CONFIG),
        }}[{kind!r}]
        other = threading.Thread(target=work)
        other.start()
        time.sleep(0.1)
        began = time.monotonic()
        logging.error("second problem")
        print(time.monotonic() - began)
        other.join()
        """
    )
    assert (0, "") == (code, err)
    assert float(out) < 0.5
    assert {"first problem", "second problem"} == {push["title"] for push in inbox.messages}


def test_collection_that_logs_in_the_middle_of_formatting(drive):
    """A `__del__` that logs while a record is formatted: both are counted and sent."""
    driven = drive(throttle=False)

    class Dying:
        def __del__(self):
            driven.log.error("from __del__")

    class Trap:
        def __str__(self):
            Dying()
            return "formatted"

    driven.log.error("%s outside", Trap())
    driven.settle()
    assert {"formatted outside", "from __del__"} == set(driven.titles)


ALARMS = """
import logging, signal, sys, time
from pushover_logging import PushoverHandler
handler = PushoverHandler(throttle={throttle}, close_timeout=60)
log = logging.getLogger("shop")
log.addHandler(handler)
inner = outer = 0
def alarm(*_):
    global inner
    inner += 1
    log.error("alarm number %d", inner)
signal.signal(signal.SIGALRM, alarm)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
end = time.monotonic() + {seconds}
while time.monotonic() < end:
    outer += 1
    log.error("loop number %d", outer)
signal.setitimer(signal.ITIMER_REAL, 0)
stats = handler.stats()
ended = stats.sent + stats.suppressed + stats.rejected + stats.dropped + stats.failed
print(stats.records == inner + outer, stats.records == ended + stats.pending, stats.failed, inner)
sys.stdout.flush()
import os
os._exit(0)
"""


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no SIGALRM")
@pytest.mark.parametrize(("throttle", "seconds"), [("None", 10), ("False", 3)])
@pytest.mark.parametrize("kept", ["memory", "file"])
def test_signal_handler_that_logs_every_millisecond(program, tmp_path, kept, throttle, seconds):
    """No hang, no error, and the counters add up: for 10 s, and where each record is sent."""
    outbox = {} if kept == "memory" else {"PUSHOVER_OUTBOX": str(tmp_path / "outbox.sqlite")}
    source = ALARMS.format(seconds=seconds, throttle=throttle)
    code, out, err = program.run(source, **UNMEASURED, **outbox)
    assert 0 == code, err
    assert "Traceback" not in err
    whole, adds_up, failed, inner = out.split()
    assert ("True", "True", "0") == (whole, adds_up, failed)
    assert int(inner) > 100


def test_event_loop_goes_on_in_a_storm(handler_for, inbox):
    """asyncio's other tasks run while 2,000 errors are logged to a service that hangs."""
    inbox.fail_with(hang=True, times=None)
    log = logger_for(handler_for(throttle=False, close_timeout=0.1, timeout=1))

    async def storm():
        for number in range(2000):
            log.error("trouble %d", number)
            await asyncio.sleep(0)

    async def beat():
        beats = 0
        storming = asyncio.create_task(storm())
        while not storming.done():
            await asyncio.sleep(0)
            beats += 1
        return beats

    assert asyncio.run(asyncio.wait_for(beat(), 60)) > 1000
    inbox.clear_faults()


def test_storm_of_news_lets_the_critical_through(drive, caplog, tmp_path):
    """An outbox full of INFO gives way; what was dropped is exact, and said once."""
    driven = drive(throttle=False, capacity=100)
    driven.inbox.fail_with(503, times=1)
    for number in range(500):
        driven.log.info("epoch %d", number)
    driven.log.critical("boom happened")
    driven.advance(60)
    assert "boom happened" in driven.titles
    stats = driven.handler.stats()
    if not list(tmp_path.iterdir()):  # a file has no such bound
        assert {"full": 401} == stats.dropped_by
        assert 1 == caplog.text.count("outbox is full")
    assert 501 == stats.sent + stats.dropped


def test_str_that_raises_costs_its_record_alone(drive, capsys):
    """It goes to `handleError`; the program and the next record go on."""

    class Bad:
        def __str__(self):
            raise RuntimeError("no text today")

    driven = drive()
    driven.log.error("%s is bad", Bad())
    driven.log.error("boom happened")
    driven.settle()
    assert ["boom happened"] == driven.titles
    assert 1 == driven.handler.stats().failed
    assert "--- Logging error ---" in capsys.readouterr().err


def test_fifty_megabytes_are_free_right_after_the_call(drive):
    """No record, args or frame is kept: what an exception held is gone."""
    driven = drive()
    tracemalloc.start()
    try:
        held = bytearray(50_000_000)
        raise ValueError("bad thing")
    except ValueError:
        driven.log.exception("boom happened")
    del held
    left, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert left < 5_000_000


def test_calls_return_while_the_service_is_slow(handler_for, inbox):
    """No call takes the time of a request."""
    inbox.fail_with(delay=0.5, times=None)
    log = logger_for(handler_for(throttle=False, close_timeout=0.1, timeout=1))
    log.error("warm-up")
    began = time.monotonic()
    for number in range(100):
        log.error("trouble %d", number)
    assert time.monotonic() - began < 0.5
    inbox.clear_faults()
