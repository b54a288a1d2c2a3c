"""A program that freezes time, as tests do, still has its errors sent: the sender's clock runs."""

import pytest

pytestmark = pytest.mark.process

PROGRAM = """
    import logging, sys
    {before}
    from pushover_logging import PushoverHandler
    {after}
    handler = PushoverHandler(close_timeout=20)
    logging.getLogger().addHandler(handler)
    logging.error("boom happened")
    print(handler.flush(20))
    """
FREEZERS = {
    "freezegun": "import freezegun; freezegun.freeze_time('2026-01-02 03:04:05').start()",
    "time_machine": (
        "import time_machine; time_machine.travel('2026-01-02T03:04:05', tick=False).start()"
    ),
    "unittest": (
        "import unittest.mock; [unittest.mock.patch('time.' + name, return_value=1e9).start() "
        "for name in ('time', 'monotonic', 'perf_counter')]"
    ),
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("outbox", ["", "outbox.sqlite"])
@pytest.mark.parametrize("freezer", FREEZERS)
def test_message_is_sent_after_a_failure_while_time_stands_still(
    program, inbox, freezer, when, outbox
):
    """Frozen before the library is imported or after it: the pause after a 503 comes to its end."""
    if freezer != "unittest":
        pytest.importorskip(freezer, reason=f"{freezer} comes with the extra test")
    inbox.fail_with(503, times=1)
    steps = {"before": "", "after": "", when: FREEZERS[freezer]}
    code, out, err = program.run(PROGRAM.format(**steps), PUSHOVER_OUTBOX=outbox)
    assert (0, "True\n", "") == (code, out, err)
    assert ["boom happened"] == [push["title"] for push in inbox.messages]


@pytest.mark.parametrize("freezer", FREEZERS)
def test_exit_ends_in_time_while_time_stands_still(program, inbox, freezer):
    """The service hangs, and the deadline of the exit passes all the same."""
    if freezer != "unittest":
        pytest.importorskip(freezer, reason=f"{freezer} comes with the extra test")
    inbox.fail_with(hang=True, times=None)
    source = PROGRAM.replace("close_timeout=20", "close_timeout=1").replace("flush(20)", "flush(1)")
    code, out, err = program.run(source.format(before="", after=FREEZERS[freezer]))
    assert (0, "False\n") == (code, out)
    assert "pushover_logging: 1 message was not sent within 1 s; set PUSHOVER_OUTBOX=" in err
    assert program.seconds < 8
