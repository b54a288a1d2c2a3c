"""Programs that end soon: one failed send costs no script its only push."""

import itertools
import re

import pytest

pytestmark = pytest.mark.process

OUTBOXES = pytest.mark.parametrize("kept", ["", "outbox.sqlite"], ids=["memory", "file"])
SCRIPT = """
import atexit, logging, time
began = []
atexit.register(lambda: print(time.monotonic() - began[0]))  # runs after ours
from pushover_logging import PushoverHandler
handler = PushoverHandler({options})
logging.getLogger().addHandler(handler)
logging.error("backup failed")
{work}
began.append(time.monotonic())
"""
REMEDY = "set PUSHOVER_OUTBOX=auto to keep it for the next run"


def run(program, options="", work="", **environ):
    """Run a script with one error; return how long its exit took, and what it wrote on stderr."""
    code, out, err = program.run(SCRIPT.format(options=options, work=work), **environ)
    assert 0 == code, err
    return float(out), err


@OUTBOXES
@pytest.mark.parametrize(
    "fault",
    [{"status": 503}, {"reset": True}, {"status": 502, "body": "<html>"}, {"body": "oops"}],
    ids=["503", "reset", "page", "no JSON"],
)
def test_one_failed_send_before_the_exit(program, inbox, fault, kept):
    """It is sent again 5 s later, and once, within the deadline that every script has."""
    inbox.fail_with(**fault)
    took, err = run(program, PUSHOVER_OUTBOX=kept)
    assert "" == err
    assert ["backup failed"] == [push["title"] for push in inbox.messages]
    first, second = (attempt.monotonic for attempt in inbox.attempts)
    assert 5 <= second - first < 6.5
    assert took < 8


def test_failed_send_whose_pause_had_begun_before_the_exit(program, inbox):
    """The pause is cut to what the API asks for, of 5 s; nothing is sent sooner than that."""
    inbox.fail_with(503)
    inbox.fail_with(503)
    _, err = run(program, work="time.sleep(8)")
    assert "" == err
    assert ["backup failed"] == [push["title"] for push in inbox.messages]
    times = [attempt.monotonic for attempt in inbox.attempts]
    assert all(later - earlier >= 5 for earlier, later in itertools.pairwise(times))


def test_service_that_stays_away_is_tried_twice(program, inbox):
    """One retry fits into the deadline, of 8 s: below the 10 s after which Docker kills."""
    inbox.fail_with(503, times=None)
    took, err = run(program)
    assert 2 == len(inbox.attempts)
    assert took < 8.5
    assert "1 message was not sent" in err
    assert "the service answered 503" in err
    assert REMEDY in err


@pytest.mark.parametrize("handled", ["", "handler.flush(1)"], ids=["at exit", "before"])
def test_refused_token_is_not_waited_for(program, inbox, handled):
    """Nothing can be sent in time: the script ends at once, and says why and what helps."""
    inbox.refused.add(inbox.environ["PUSHOVER_TOKEN"])
    took, err = run(program, work=handled)
    assert took < 1.5
    assert 1 == len(inbox.attempts)
    lost = re.search("^pushover_logging: 1 message was not sent.*", err, re.MULTILINE)
    assert lost is not None
    assert "token refused" in lost[0] or "the service refused the request" in lost[0]
    assert REMEDY in lost[0]
    assert inbox.environ["PUSHOVER_TOKEN"] not in err


@pytest.mark.parametrize(
    "headers", [{"Retry-After": "30"}, {}], ids=["Retry-After", "without a reset"]
)
def test_pause_beyond_the_deadline_is_not_waited_for(program, inbox, headers):
    """429: what the service asked for is longer than the exit may take."""
    inbox.fail_with(429, headers=headers, times=None)
    took, err = run(program)
    assert took < 1.5
    assert "(429)" in err
    assert REMEDY in err


def test_what_an_outbox_keeps_is_no_loss(program, inbox, tmp_path):
    """The reason is said, and no remedy that the script has already; the next run sends it."""
    inbox.fail_with(429, headers={"Retry-After": "30"})
    _, err = run(program, PUSHOVER_OUTBOX="outbox.sqlite")
    assert "1 message was not sent" in err
    assert "left in the outbox" in err
    assert "(429)" in err
    assert REMEDY not in err


def test_hanging_service_takes_the_whole_deadline_and_no_more(program, inbox):
    """It might answer yet."""
    inbox.fail_with(hang=True, times=None)
    took, err = run(program)
    assert 7.9 < took < 8.5
    assert "pushover_logging: 1 message was not sent within 8 s" in err
    assert REMEDY in err
