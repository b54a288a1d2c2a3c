"""The one line for a script."""

import logging
import re
import signal
import sys
import threading

import pytest

from pushover_logging import install
from pushover_logging.install import _stderr_handler
from pushover_logging.uncaught import is_failure

TOKEN = "azGDORePK8gMaC0QOYAMyEEuzJnyUi"
USER = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"


@pytest.fixture(autouse=True)
def _hooks(monkeypatch):
    """Take the hooks back after each test."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)


@pytest.fixture
def installed(inbox, root, monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "excepthook", lambda *args: seen.append(args[1]))
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_value))
    handlers, root.handlers = root.handlers, []
    made = [install(token=TOKEN, user=USER, api_url=inbox.url, host="x") for _ in range(2)]
    kinds = [type(handler).__name__ for handler in root.handlers]
    root.removeHandler(root.handlers[0])
    made[0].close()
    root.handlers = [*handlers, *root.handlers]
    return kinds, made[1], seen


def test_root_keeps_its_stderr(installed):
    """Where root had no handler it gets a StreamHandler first; both once, also installed again."""
    assert ["StreamHandler", "PushoverHandler"] == installed[0]


def test_uncaught_exceptions_are_critical_and_shown_as_before(installed, inbox):
    """Of the program and of a thread; Ctrl-C is no failure; the hooks before are called."""
    _, handler, seen = installed
    for error in (ValueError("bad"), KeyboardInterrupt()):
        sys.excepthook(type(error), error, None)

    def fail():
        raise OSError("worse")

    thread = threading.Thread(target=fail, name="worker")
    thread.start()
    thread.join()
    arguments = threading.ExceptHookArgs((SystemExit, None, None, None))
    threading.excepthook(arguments)
    assert handler.flush(10)
    pushes = {push["title"]: push for push in inbox.messages}
    assert {"ValueError: bad", "OSError: worse"} == pushes.keys()
    assert "1" == pushes["OSError: worse"]["priority"]
    assert "in thread worker" in pushes["OSError: worse"]["message"]
    assert [ValueError, KeyboardInterrupt, OSError, type(None)] == [type(one) for one in seen]


def test_message_that_compares_to_no_truth_is_shown():
    """As numpy's arrays do: what tells uncaught exceptions apart asks nothing of it."""

    class Array:
        def __ne__(self, other):
            raise ValueError("ambiguous")

        __hash__ = object.__hash__

    assert _stderr_handler(logging.getLogger()).filter(logging.makeLogRecord({"msg": Array()}))


@pytest.fixture
def program(program):
    """Its own records are on stderr."""
    program.first_line = "import logging"
    return program


def told(inbox):
    return [(push["title"], push["priority"]) for push in inbox.messages]


@pytest.mark.process
def test_errors_are_on_stderr_as_before_and_on_the_phone(program, inbox):
    """stderr is what it was without the line, word for word; a program of its own."""
    source = """
        import logging
        {}
        log = logging.getLogger("shop")
        log.info("Nobody sees this")
        log.warning("The disk fills")
        log.error("The disk is %s", "full")
        """
    before = program.run(source.format(""))
    after = program.run(source.format("import pushover_logging; pushover_logging.install()"))
    assert (0, "", "The disk fills\nThe disk is full\n") == before == after
    assert [("The disk is full", "0")] == told(inbox)


@pytest.mark.process
def test_uncaught_exception_of_a_program_is_told_once(program, inbox):
    """As CRITICAL; the program's status is 1, its traceback on stderr the same, and once."""
    source = "import logging\n{}\n\ndef main():\n    raise ValueError('bad')\n\nmain()\n"
    code, _, before = program.run(source.format(""))
    assert 1 == code
    install = "import pushover_logging; pushover_logging.install()"
    code, _, after = program.run(source.format(install))
    assert (1, before.replace("program1.py", "program2.py")) == (code, after)
    assert [("ValueError: bad", "1")] == told(inbox)
    text, place, *_ = inbox.messages[0]["message"].splitlines()
    assert "Uncaught exception in the program" == text
    assert re.fullmatch(r"main, .*/program2\.py:5", place)


@pytest.mark.process
def test_uncaught_exception_of_a_thread_is_told_once(program, inbox):
    """As CRITICAL, with the thread's name; the program goes on and ends well."""
    code, out, err = program.run(
        """
        import threading
        import pushover_logging

        pushover_logging.install()
        thread = threading.Thread(target=lambda: 1 / 0, name="worker")
        thread.start()
        thread.join()
        print("goes on")
        """
    )
    assert (0, "goes on\n") == (code, out)
    assert 1 == err.count("ZeroDivisionError")
    assert [("ZeroDivisionError: division by zero", "1")] == told(inbox)
    assert "Uncaught exception in thread worker" in inbox.messages[0]["message"]


TASKS = {
    "forgotten": "task = asyncio.create_task(work()); await asyncio.sleep(0.01); del task",
    "awaited": "await asyncio.create_task(work())",
    "gathered": "await asyncio.gather(work(), asyncio.sleep(9))",
}


@pytest.mark.process
@pytest.mark.parametrize("kind", TASKS)
def test_exception_of_an_asyncio_task_is_told_once(program, inbox, kind):
    """Whether somebody waits for the task, when it ends the program, or nobody does."""
    code, _, err = program.run(
        f"""
        import asyncio
        import pushover_logging

        async def work():
            raise ConnectionError("no exchange")

        async def main():
            {TASKS[kind]}

        pushover_logging.install()
        asyncio.run(main())
        """
    )
    assert (0 if kind == "forgotten" else 1) == code
    assert 1 == err.count("\nConnectionError: no exchange")
    level = "0" if kind == "forgotten" else "1"
    assert [("ConnectionError: no exchange", level)] == told(inbox)


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to a process")
@pytest.mark.parametrize("waits", ["work()", "asyncio.run(task())"])
def test_interrupt_is_not_told(program, inbox, waits):
    """Ctrl-C ends the program as ever, and nothing comes to the phone."""
    source = f"""
        import asyncio, signal, time
        import pushover_logging

        def work():
            print("ready", flush=True)
            time.sleep(60)

        async def task():
            print("ready", flush=True)
            await asyncio.sleep(60)

        signal.signal(signal.SIGINT, signal.default_int_handler)
        pushover_logging.install()
        {waits}
        """
    with program.start(source) as process:
        assert "ready\n" == process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert -signal.SIGINT == process.returncode
    assert err.endswith("KeyboardInterrupt\n")
    assert [] == inbox.attempts


@pytest.mark.parametrize(("inner", "told"), [
    ([KeyboardInterrupt()], False), ([KeyboardInterrupt(), ValueError("bad")], True),
])  # fmt: skip
def test_interrupt_in_a_group_is_no_failure(inner, told):
    """A nursery wraps what ended it; a failure beside a Ctrl-C is one all the same."""
    assert told == is_failure(BaseExceptionGroup("nursery", inner))


@pytest.mark.parametrize(("given", "expected"), [
    ({}, logging.WARNING), ({"level": "INFO"}, logging.INFO), ({"level": 0}, logging.DEBUG),
    ({"trail_level": "INFO"}, logging.INFO), ({"trail_level": "CRITICAL"}, logging.WARNING),
])  # fmt: skip
def test_level_lets_through_what_it_asks_for(root, inbox, given, expected):
    """Where root was as Python made it; stderr stays as it was."""
    handlers, root.handlers = root.handlers, []
    root.setLevel(logging.WARNING)
    handler = install(token=TOKEN, user=USER, api_url=inbox.url, **given)
    levels = [one.level for one in root.handlers]
    assert (expected, [logging.WARNING, handler.level]) == (root.level, levels)
    handler.close()
    root.handlers = handlers


def test_root_with_handlers_keeps_its_level(root, inbox):
    """Its other handlers were set up for it."""
    root.addHandler(logging.NullHandler())
    before = root.level
    install(token=TOKEN, user=USER, api_url=inbox.url, level="DEBUG")
    assert before == root.level
