"""The end of an interpreter: what is logged there is delivered, or what is lost is said."""

import re
import sys

import pytest

pytestmark = pytest.mark.process

LAST = """
    import logging
    from pushover_logging import PushoverHandler
    handler = PushoverHandler(close_timeout=2, {options})
    logging.getLogger().addHandler(handler)
    class Last:
        def __init__(self, log=logging.getLogger()):
            self.log = log
        def __del__(self):
            {log}
    {keep} = Last()
    {before}
    """
LOGS = {
    "text": "self.log.error('boom at the very end')",
    "exception": """
            try:
                [][1]
            except IndexError:
                self.log.exception('boom at the very end')
        """.strip(),
    "template": "self.log.error('boom at the %s end', 'very')",
    "extras": "self.log.error('boom at the very end', extra={'order': 17})",
}
BEFORE = {"first": "", "later": "logging.error('boom before'); handler.flush()"}


@pytest.mark.parametrize("outbox", ["", "outbox.sqlite"])
@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("keep", ["last", "Last.last"])
@pytest.mark.parametrize("log", LOGS)
def test_record_of_a_finalizer_at_the_end_is_delivered_or_said(
    program, inbox, log, keep, before, outbox
):
    """Whether the program keeps the object or its own class does; without a traceback."""
    source = LAST.format(options="", log=LOGS[log], keep=keep, before=BEFORE[before])
    code, _, err = program.run(source, timeout=20, PUSHOVER_OUTBOX=outbox)
    assert 0 == code
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    pushed = [push for push in inbox.messages if push["title"] != "boom before"]
    assert pushed or "not sent" in err or "Logging error" in err, err


def test_finalizer_waits_for_no_try_that_must_fail(program, inbox):
    """At the very end Python imports nothing: the loss is reported at once, not after a pause."""
    code, out, err = program.run(
        """
        import logging, os, sys, time
        from pushover_logging import PushoverHandler
        logging.getLogger().addHandler(PushoverHandler())
        class Last:
            def __init__(self):
                self.log, self.now, self.write = logging.getLogger(), time.monotonic, os.write
            def __del__(self):
                began = self.now()
                self.log.error("boom at the very end")
                self.write(1, b"%f" % (self.now() - began))
        sys.modules["last"] = Last()
        """,
        timeout=20,
    )
    assert 0 == code
    assert float(out) < 0.5
    assert inbox.messages or "not sent" in err, err


def test_service_with_a_name_is_reached_at_the_end(program, inbox):
    """Its name is encoded and looked up without an import that the end refuses."""
    source = LAST.format(
        options=f"api_url={inbox.url.replace('127.0.0.1', 'localhost')!r}", log=LOGS["text"],
        keep="last", before="",
    )  # fmt: skip
    code, _, err = program.run(source, timeout=20)
    assert 0 == code
    titles = [push["title"] for push in inbox.messages]
    assert ["boom at the very end"] == titles or "not sent" in err, err
    assert "Traceback" not in err


@pytest.mark.parametrize("outbox", ["", "outbox.sqlite"])
def test_no_thread_outlives_the_exit(program, inbox, outbox):
    """A daemon thread that runs on aborts an interpreter without libgcc_s, as in a chroot."""
    code, out, err = program.run(
        """
        import atexit, threading
        atexit.register(lambda: print([thread.name for thread in threading.enumerate()]))
        import logging
        from pushover_logging import PushoverHandler
        logging.getLogger().addHandler(PushoverHandler())
        logging.error("boom happened")
        """,
        PUSHOVER_OUTBOX=outbox,
    )
    assert (0, "['MainThread']\n", "") == (code, out, err)
    assert ["boom happened"] == [push["title"] for push in inbox.messages]


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="CPython 3.11 destroys no interpreter that has a thread"
)
@pytest.mark.parametrize("outbox", ["", "outbox.sqlite"])
def test_subinterpreter_ends_after_its_errors_are_sent(program, inbox, outbox):
    """It has an exit of its own, and takes no thread of ours beyond that."""
    code, _, err = program.run(
        """
        import sys
        try:
            import _interpreters as interpreters  # CPython 3.13
        except ImportError:
            import _xxsubinterpreters as interpreters
        number = interpreters.create(*(["legacy"] if sys.version_info >= (3, 13) else []),
                                     **({} if sys.version_info >= (3, 13) else {"isolated": False}))
        failure = interpreters.run_string(number, '''if True:
            import logging
            from pushover_logging import PushoverHandler
            logging.getLogger().addHandler(PushoverHandler())
            logging.error("boom in the subinterpreter")
            ''')
        assert failure is None, failure
        interpreters.destroy(number)
        print("goes on")
        """,
        PUSHOVER_OUTBOX=outbox,
    )
    assert (0, "boom in the subinterpreter\n") == (code, err)  # as without the handler
    assert ["boom in the subinterpreter"] == [push["title"] for push in inbox.messages]


LATE = """
    import atexit, logging
    {early}
    from pushover_logging import PushoverHandler
    handler = PushoverHandler(close_timeout=1, {options})
    logging.getLogger().addHandler(handler)
    {then}
    """
LOGGERS = {
    "atexit": "atexit.register(lambda: logging.error('boom at exit'))",
    "several": "[atexit.register(logging.error, f'boom {name}') for name in ('here', 'there')]",
}


@pytest.mark.parametrize("fault", ["503", "hang", "reset", "refused token"])
@pytest.mark.parametrize("before", ["", "logging.error('boom before the exit')"])
@pytest.mark.parametrize("kind", LOGGERS)
def test_unsent_record_of_an_exit_function_is_said(program, inbox, kind, before, fault):
    """It was registered before the handler, and runs after the exit has waited for it."""
    faults = {"503": {"status": 503}, "hang": {"hang": True}, "reset": {"reset": True}}
    if fault in faults:
        inbox.fail_with(**faults[fault], times=None)
    else:
        inbox.refused.add(inbox.environ["PUSHOVER_TOKEN"])
    source = LATE.format(early=LOGGERS[kind], options="timeout=1", then=before)
    code, _, err = program.run(source, timeout=30)
    said = re.findall(r"^pushover_logging: (\d+) messages? w\w+ not sent", err, re.MULTILINE)
    assert (0, []) == (code, inbox.messages)
    assert (kind == "several") + 1 + bool(before) == sum(map(int, said)), err
    assert "Traceback" not in err


def test_record_of_an_exit_function_that_stays_in_the_outbox_is_said(program, inbox):
    """It is not lost, and that is what is said."""
    inbox.fail_with(503, times=None)
    source = LATE.format(early=LOGGERS["atexit"], options="outbox='outbox.sqlite'", then="")
    code, _, err = program.run(source)
    assert 0 == code
    assert "1 message was not sent" in err
    assert "left in the outbox" in err
    inbox.clear_faults()
    code, _, err = program.run(LATE.format(early="", options="outbox='outbox.sqlite'", then=""))
    assert (0, "") == (code, err)
    assert ["boom at exit"] == [push["title"] for push in inbox.messages]
