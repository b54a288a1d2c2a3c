"""Counts as Messages that read well."""

import logging
import time

import pytest

from pushover_logging import Message
from pushover_logging.rendering.summary import format_duration, summary, with_verdict
from pushover_logging.throttle.problem import Count, Verdict

NOON = time.mktime((2026, 11, 24, 14, 0, 0, 0, 0, -1))


def count(number=299, title="Cannot connect to db-7", **changes):
    given = {
        "key": "k", "number": number, "total": number + 1, "since": NOON, "last": NOON + 299,
        "level": logging.ERROR, "following": 900.0, "title": title,
    }  # fmt: skip
    return Count(**{**given, **changes})


def test_one_problem_says_how_many_since_when_how_fast_and_what_comes_next():
    """The design's own example."""
    message = summary([count()], "web-1")
    assert "x299 more: Cannot connect to db-7" == message.title
    assert (
        "299 more 14:00:00-14:04:59 (300 in all), 60/min. If it goes on, next summary in 15 min.\n"
        "web-1"
    ) == message.message
    assert (-1, int(NOON + 299)) == (message.priority, message.timestamp)


def test_first_that_was_refused_is_told():
    """Nobody has seen the first: its summary says so."""
    assert "The first could not be sent." in summary([count(refused=True)], None).message


def test_last_words_announce_nothing():
    """At exit the digest wakes nobody and promises no next one."""
    message = summary([count(last=NOON)], None, final=True)
    assert -2 == message.priority
    assert "299 more 14:00:00 (300 in all). The program ended." == message.message


def test_several_problems_are_lines_as_many_as_fit():
    """Each with its number; what does not fit is counted."""
    message = summary([count(2, "first"), count(3, "second")], None)
    assert "x5 more of 2 problems" == message.title
    assert ["x2 first, 14:00:00-14:04:59", "x3 second, 14:00:00-14:04:59"] == (
        message.message.splitlines()
    )
    many = summary([count(1, "problem " * 20)] * 100, "web-1").message.splitlines()
    assert f"… and {100 - (len(many) - 2)} more problems" == many[-2]


@pytest.mark.parametrize(("seconds", "said"), [
    (45, "45 s"), (900, "15 min"), (90, "1.5 min"), (14_400, "4 h"), (86_400, "1 day"),
    (172_800, "2 days"),
])  # fmt: skip
def test_length_is_said_as_people_do(seconds, said):
    """The largest unit that fits."""
    assert said == format_duration(seconds)


def test_escalation_brings_its_count_along():
    """What was counted at a lower level stands under the text, inside the limit."""
    message = Message(message="x" * 1024, title="Disk full")
    told = with_verdict(message, Verdict.ESCALATED, count(7))
    assert told.message.endswith("\n7 more at a lower level 14:00:00-14:04:59 (8 in all)")
    assert 1024 == len(told.message)
    assert message == with_verdict(message, Verdict.ESCALATED, None)


def test_escalation_in_html_never_cuts_a_tag():
    """The line stands on its own, and where room is made for it the tags stay whole."""
    short = Message(message="<b>full</b>", html=True)
    assert "<b>full</b><br>7 more" in with_verdict(short, Verdict.ESCALATED, count(7)).message
    full = Message(message="<b>" + "x" * 1017 + "</b>", html=True)
    told = with_verdict(full, Verdict.ESCALATED, count(7)).message
    assert "x…</b><br>7 more" in told
    assert 1024 == len(told)


def test_again_is_in_the_title():
    """Also where there was none, and within its limit."""
    assert "Again:" == with_verdict(Message(message="x"), Verdict.AGAIN, None).title
    long = with_verdict(Message(message="x", title="y" * 250), Verdict.AGAIN, None)
    assert 250 == len(long.title)
