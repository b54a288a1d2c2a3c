"""Exit, configuration anew and fork, in processes of their own."""

import re
import signal
import time

import pytest

REMEDY = "set PUSHOVER_OUTBOX=auto to keep it for the next run"
pytestmark = pytest.mark.process


def test_last_statement_is_delivered(program, inbox):
    """An error logged as the last statement of a program arrives, once."""
    code, _, err = program.run(
        """
        import logging
        from pushover_logging import PushoverHandler
        logging.getLogger().addHandler(PushoverHandler())
        logging.error("boom happened")
        """
    )
    assert (0, "") == (code, err)
    assert ["boom happened"] == [push["title"] for push in inbox.messages]


@pytest.mark.parametrize("before", ["", "logging.error('boom before')"])
def test_record_of_the_interpreters_own_end_holds_nothing_up(program, inbox, before):
    """No thread begins there any more: it is sent inline as far as Python still can, or is said."""
    code, _, err = program.run(
        f"""
        import logging
        from pushover_logging import PushoverHandler
        logging.getLogger().addHandler(PushoverHandler(close_timeout=1))
        class Last:
            def __del__(self, log=logging.getLogger()):
                log.error("boom at the very end")
        last = Last()
        {before}
        """,
        timeout=20,
    )
    assert 0 == code
    titles = [push["title"] for push in inbox.messages]
    assert "boom at the very end" in titles or "sender failed" in err or "Logging error" in err


@pytest.mark.parametrize("outbox", ["", "outbox.sqlite"])
@pytest.mark.parametrize(
    "end", ["", "root.removeHandler(handler); handler.close(); del handler; gc.collect()"]
)
def test_nothing_is_left_open(program, inbox, outbox, end):
    """No warning of a socket or, since Python 3.13, a database that was only let go of."""
    code, _, err = program.run(
        f"""
        import gc, logging
        from pushover_logging import PushoverHandler
        root = logging.getLogger()
        for text in ("disk is full", "no route to host"):
            handler = PushoverHandler()
            root.handlers[:] = [handler]
            root.error(text)
            {end}
        """,
        PUSHOVER_OUTBOX=outbox,
        PYTHONDEVMODE="1",
        PYTHONWARNINGS="default",
    )
    assert (0, "") == (code, err)
    assert 2 == len(inbox.messages)


def test_exit_with_a_hanging_endpoint_ends_in_time_and_says_what_was_lost(program, inbox):
    """Not later than close_timeout and half a second, with the number on stderr."""
    inbox.fail_with(hang=True, times=None)
    code, out, err = program.run(
        """
        import atexit, logging, time
        began = []
        atexit.register(lambda: print(time.monotonic() - began[0]))  # runs after ours
        from pushover_logging import PushoverHandler
        logging.getLogger().addHandler(PushoverHandler(throttle=False, close_timeout=1))
        for number in range(20):
            logging.error("boom %d", number)
        began.append(time.monotonic())
        """
    )
    assert 0 == code
    assert f"pushover_logging: 20 messages were not sent within 1 s; {REMEDY}\n" == err
    assert 1 <= float(out) < 1.5


@pytest.mark.parametrize("begin", ["", 'logging.error("early")\n        handler.flush()'])
@pytest.mark.parametrize("last", ["memory", "atexit"])
def test_record_after_the_exits_hook_is_sent_inline(program, inbox, last, begin):
    """From a MemoryHandler that `logging.shutdown` flushes, and from who registered before all."""
    code, _, err = program.run(
        f"""
        import atexit, sys
        if {last!r} == "atexit":
            atexit.register(lambda: logging.error("boom at exit"))
        import logging, logging.handlers
        from pushover_logging import PushoverHandler
        late = logging.handlers.MemoryHandler(100, flushLevel=100)
        handler = PushoverHandler()
        logging.getLogger().addHandler(handler)
        {begin}
        if {last!r} == "memory":
            late.setTarget(handler)
            logging.getLogger().removeHandler(handler)
            logging.getLogger().addHandler(late)
            logging.error("boom at exit")
        """
    )
    assert (0, "") == (code, err)
    assert "boom at exit" == inbox.messages[-1]["title"]
    assert (2 if begin else 1) == len(inbox.messages)


@pytest.mark.parametrize("stop", ["SIGINT", "SIGTERM"])
def test_interrupted_exit_ends_at_once_and_says_what_was_lost(program, inbox, stop):
    """By Ctrl-C, or a handler of SIGTERM that ends the program: without a traceback."""
    inbox.fail_with(hang=True, times=None)
    running = program.start(
        """
        import logging, signal, sys
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        from pushover_logging import PushoverHandler
        logging.getLogger().addHandler(PushoverHandler(close_timeout=60))
        logging.error("boom happened")
        import atexit
        atexit.register(lambda: print("ends", flush=True))
        """
    )
    assert "ends\n" == running.stdout.readline()
    time.sleep(0.5)
    running.send_signal(getattr(signal, stop))
    _, err = running.communicate(timeout=20)
    assert f"pushover_logging: 1 message was not sent: the exit was interrupted; {REMEDY}\n" == err


def test_three_handlers_share_one_deadline(program, inbox):
    """Exit takes one close_timeout, however many handlers wait."""
    inbox.fail_with(hang=True, times=None)
    _, out, err = program.run(
        """
        import atexit, logging, time
        began = []
        atexit.register(lambda: print(time.monotonic() - began[0]))
        from pushover_logging import PushoverHandler
        for _ in range(3):
            logging.getLogger().addHandler(PushoverHandler(close_timeout=1))
        logging.error("boom happened")
        began.append(time.monotonic())
        """
    )
    assert "3 messages were not sent" in err
    assert float(out) < 1.5


def test_refused_token_is_readable_where_this_handler_is_alone(program, inbox):
    """With no other handler to take the warning it goes to stderr, as Python itself would do."""
    inbox.refused.add(inbox.environ["PUSHOVER_TOKEN"])
    _, _, err = program.run(
        """
        import logging
        from pushover_logging import PushoverHandler
        logging.getLogger().addHandler(PushoverHandler(close_timeout=1))
        logging.error("boom happened")
        """
    )
    assert "token refused" in err
    assert "1 message was not sent" in err
    assert inbox.environ["PUSHOVER_TOKEN"] not in err


def test_configured_again_while_a_send_hangs(program, inbox):
    """Returns at once, with urllib3's loggers never asked before; the old backlog arrives."""
    inbox.fail_with(delay=2, times=1)
    code, out, err = program.run(
        """
        import logging, logging.config, time
        def configure():
            logging.config.dictConfig({
                "version": 1,
                "disable_existing_loggers": False,
                "handlers": {"phone": {"class": "pushover_logging.PushoverHandler"}},
                "root": {"handlers": ["phone"]},
            })
        configure()
        logging.error("first error happened")
        logging.error("second error happened")
        logging.error("third error happened")
        began = time.monotonic()
        configure()
        print(time.monotonic() - began)
        logging.error("fourth error happened")
        """
    )
    assert (0, "") == (code, err)
    assert float(out) < 0.5
    titles = sorted(push["title"].split()[0] for push in inbox.messages)
    assert ["first", "fourth", "second", "third"] == titles


def test_fork_leaves_the_backlog_to_the_parent(program, inbox):
    """Each record of the parent is sent once; the child sends its own alone, both at exit."""
    inbox.fail_with(delay=1, times=1)
    code, _, err = program.run(
        """
        import logging, os
        from pushover_logging import PushoverHandler
        logging.getLogger().addHandler(PushoverHandler(throttle=False))
        for number in range(5):
            logging.error("parent %d", number)
        child = os.fork()
        if child == 0:
            logging.error("child")
        else:
            assert os.waitpid(child, 0)[1] == 0
        """
    )
    assert (0, "") == (code, err)
    titles = sorted(push["title"] for push in inbox.messages)
    assert ["child", *(f"parent {number}" for number in range(5))] == titles


def test_first_record_at_exit_is_delivered(program, inbox):
    """From an atexit function, when Python starts no more threads, it is sent inline."""
    code, _, err = program.run(
        """
        import atexit, logging
        from pushover_logging import PushoverHandler
        logging.getLogger().addHandler(PushoverHandler())
        atexit.register(lambda: logging.error("boom at exit"))
        """
    )
    assert 0 == code
    assert "" == re.sub(r"pushover_logging: \d.*", "", err)
    assert ["boom at exit"] == [push["title"] for push in inbox.messages]


@pytest.mark.parametrize("kept", ["", 'outbox="outbox.sqlite"'])
def test_thread_that_logs_while_the_program_ends_is_no_flood(program, inbox, kept):
    """What comes after the last words is told again, but ever more rarely; exit ends in time."""
    code, out, err = program.run(
        f"""
        import atexit, logging, threading, time
        began = []
        atexit.register(lambda: print(time.monotonic() - began[0]))
        from pushover_logging import PushoverHandler
        logging.getLogger().addHandler(PushoverHandler(close_timeout=2, {kept}))
        def work():
            while True:
                logging.error("boom happened")
                time.sleep(0.001)
        threading.Thread(target=work, daemon=True).start()
        time.sleep(0.5)
        began.append(time.monotonic())
        """
    )
    assert (0, "") == (code, err)
    assert float(out) < 3
    assert 2 <= len(inbox.messages) <= 4, [push["message"] for push in inbox.messages]
