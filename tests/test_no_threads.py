"""A process in which no thread can start: what is logged is sent by the call, within its bounds."""

import pytest
from conftest import UNMEASURED

pytestmark = pytest.mark.process

# The system itself refuses: no stack is that large.
HEAD = """
    import logging, threading, time
    from pushover_logging import PushoverHandler
    {refusal}
    handler = PushoverHandler(throttle=False, close_timeout=1, timeout=10)
    logging.getLogger().addHandler(handler)
    log = logging.getLogger("shop")
    def took(work):
        began = time.monotonic()
        work()
        return time.monotonic() - began
    """
REFUSALS = {
    "stack": "threading.stack_size(2**46)",
    "limit": """
    import os, resource
    import encodings.idna, requests, urllib3.contrib
    import pushover_logging.api.transport, pushover_logging.delivery.pipeline
    if os.geteuid() == 0:
        os.setresuid(54321, 54321, 54321)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
    """.strip(),
    "uwsgi": """
    import sys, types
    sys.modules["uwsgi"] = types.SimpleNamespace(opt={}, version=b"2.0.20")
    """.strip(),
}
OUTBOXES = pytest.mark.parametrize("outbox", ["", "outbox.sqlite"])


@pytest.mark.parametrize("refusal", REFUSALS)
def test_call_waits_no_longer_than_the_exit_would(program, inbox, refusal):
    """The service hangs: close_timeout is the end of the first call, and the next ones wait not."""
    inbox.fail_with(hang=True, times=None)
    code, out, err = program.run(
        HEAD.format(refusal=REFUSALS[refusal])
        + """
    print(took(lambda: log.error("first")))
    print(took(lambda: [log.error("next %d", n) for n in range(10)]))
    """,
        **UNMEASURED,
    )
    assert 0 == code, err
    first, others = map(float, out.split())
    assert first < 1.5
    assert others < 0.5
    assert "Traceback" not in err
    assert 1 == err.count("calls wait for the service"), err


@pytest.mark.parametrize("refusal", REFUSALS)
def test_what_waits_is_sent_after_the_pause(program, inbox, refusal):
    """A failed try is followed by one when the pause is over, by whichever call comes then."""
    inbox.fail_with(503, times=1)
    code, out, err = program.run(
        HEAD.format(refusal=REFUSALS[refusal])
        + """
    for number in range(3):
        log.error("early %d", number)
    print(handler.stats().sent)
    time.sleep(10.5)
    log.error("late")
    print(handler.stats().sent)
    """,
        **UNMEASURED,
    )
    assert (0, "0\n4\n") == (code, out), err
    assert 5 == len(inbox.attempts)
    assert "Traceback" not in err


@OUTBOXES
def test_outbox_is_used_without_a_thread(program, inbox, outbox):
    """Also the file's own thread cannot start; what the service took is sent once."""
    code, _, err = program.run(
        HEAD.format(refusal=REFUSALS["stack"])
        + """
    for number in range(3):
        log.error("trouble %d", number)
    """,
        PUSHOVER_OUTBOX=outbox,
    )
    assert 0 == code
    assert 1 == len(err.splitlines()), err
    assert [f"trouble {n}" for n in range(3)] == [push["title"] for push in inbox.messages]
