"""Counts as Messages that read well."""

import logging
import time

import pytest

from pushover_logging import Message
from pushover_logging.rendering.summary import (
    Count,
    again,
    escalated,
    format_duration,
    noted,
    resolved,
    summary,
    with_duration,
)

NOON = time.mktime((2026, 11, 24, 14, 0, 0, 0, 0, -1))


def count(number=299, title="Cannot connect to db-7", **changes):
    given = {
        "key": "k", "count": number, "total": number + 1, "since": NOON, "last": NOON + 299,
        "level": logging.ERROR, "next_window": 900.0, "title": title,
    }  # fmt: skip
    return Count(**{**given, **changes})


def test_one_problem_says_how_many_since_when_how_fast_and_what_comes_next():
    """The design's own example."""
    message = summary([count()], "web-1")
    assert "299 more: Cannot connect to db-7" == message.title
    assert (
        "299 more 14:00:00-14:04:59 (300 in all), 60/min. If it goes on, next summary in 15 min.\n"
        "web-1"
    ) == message.message
    assert (-1, int(NOON + 299)) == (message.priority, message.timestamp)


def test_summary_says_that_the_first_push_was_refused():
    """Nobody has seen it; then the summary is as urgent as that was."""
    message = summary([count(refused=True, priority=1)], None)
    assert "The first could not be sent." in message.message
    assert 1 == message.priority


def test_summary_at_exit_announces_no_next_one():
    """And it wakes nobody."""
    message = summary([count(last=NOON)], None, at_exit=True)
    assert -2 == message.priority
    assert "299 more 14:00:00 (300 in all). The program ended." == message.message


def test_several_problems_are_lines_as_many_as_fit():
    """Each with its number; what does not fit is counted."""
    message = summary([count(2, "first"), count(3, "second")], None)
    assert "5 more of 2 problems" == message.title
    assert ["x2 first, 14:00:00-14:04:59", "x3 second, 14:00:00-14:04:59"] == (
        message.message.splitlines()
    )
    many = summary([count(1, "problem " * 20)] * 100, "web-1").message.splitlines()
    assert f"… and {100 - (len(many) - 2)} more problems" == many[-2]


def test_digest_names_each_new_problem_once():
    """First those that no push has named, at the highest of their priorities but no emergency."""
    counts = [
        count(2, "known"), count(3, "named", level=50, unannounced=True, announced=True),
        count(1, "new", unannounced=True, priority=2),
    ]  # fmt: skip
    message = summary(counts, None)
    assert ("2 new problems, and more of 1", 1) == (message.title, message.priority)
    assert ["x1 new, 14:00:00-14:04:59", "… and 2 more problems"] == message.message.splitlines()
    alone = summary([count(1, "new", unannounced=True)], None)
    assert ("new", True) == (alone.title, alone.message.startswith("1 14:00:00"))


def test_summary_names_processes_hosts_and_the_worst_level():
    """Several processes are counted, a few hosts named; a CRITICAL is not hidden in a count."""
    sources = tuple(f"{number} x@web-{number % 7}" for number in range(100))
    text = summary([count(sources=sources, level=logging.CRITICAL)], None).message
    assert "100+ processes on web-0, web-1, web-2, web-3, web-4 and others" in text
    assert "The worst was CRITICAL." in text
    text = summary([count(sources=("1 x@", "2 x@"))], None).message
    assert ", 60/min, 2 processes." in text


def test_summary_names_the_places_that_fit():
    """The others are a number."""
    places = tuple(f"a_view_with_a_long_name_{number:02}:{number:02}" for number in range(20))
    text = summary([count(places=places)], None).message
    named = text.count("a_view_with")
    assert 0 < named < 20
    assert f" and {20 - named} more places." in text


@pytest.mark.parametrize(("refusals", "line"), [
    (0, ""), (1, "The push before was refused."), (3, "The 3 pushes before were refused."),
])  # fmt: skip
@pytest.mark.parametrize("others", [0, 1])
def test_refused_summary_is_another_request_the_next_time(refusals, line, others):
    """It says how often it was refused; so a rejected request is never sent again unchanged."""
    counts = [count(refusals=refusals), *[count(1, "other")] * others]
    assert bool(line) is ("refused" in summary(counts, None).message)
    assert line in summary(counts, None).message


@pytest.mark.parametrize(("seconds", "expected"), [
    (45, "45 s"), (900, "15 min"), (90, "1.5 min"), (14_400, "4 h"), (86_400, "1 day"),
    (172_800, "2 days"),
])  # fmt: skip
def test_duration_is_in_the_largest_unit_that_fits(seconds, expected):
    """As people write it."""
    assert expected == format_duration(seconds)


def test_escalation_reports_what_was_counted():
    """What came at a lower level stands under the text, inside the limit."""
    message = escalated(Message(message="x" * 1024, title="Disk full"), count(7), logging.CRITICAL)
    assert message.message.endswith("\n7 more at a lower level 14:00:00-14:04:59 (8 in all)")
    assert 1024 == len(message.message)


def test_escalation_in_html_never_cuts_a_tag():
    """The line stands on its own, and if room is made for it the tags stay whole."""
    short = Message(message="<b>full</b>", html=True)
    assert "<b>full</b><br>7 more" in escalated(short, count(7), logging.CRITICAL).message
    full = Message(message="<b>" + "x" * 1017 + "</b>", html=True)
    text = escalated(full, count(7), logging.CRITICAL).message
    assert "x…</b><br>7 more" in text
    assert 1024 == len(text)


def test_again_is_in_the_title():
    """Also if there was none, and within its limit."""
    assert "Again:" == again(Message(message="x")).title
    assert 250 == len(again(Message(message="x", title="y" * 250)).title)


@pytest.mark.parametrize(("total", "line"), [
    (1, "It lasted 2 min and came once."),
    (2, "It lasted 2 min and came twice."), (5, "It lasted 2 min and came 5 times."),
])  # fmt: skip
def test_resolution_says_how_long_its_problem_lasted(total, line):
    """To the user and device that got the problem, and quietly."""
    quiet = resolved("Resolved: db-7", "", NOON + 120)
    own = count(total=total, began=NOON, user="u" * 30, device="d")
    message = with_duration(quiet, own)
    assert f"It is over.\n{line}" == message.message
    assert ("u" * 30, "d", -1, NOON + 120) == (
        message.user, message.device, message.priority, message.timestamp
    )  # fmt: skip
    assert resolved("T", "x" * 2000, NOON).message.startswith("x" * 900)


def test_note_is_the_last_line():
    """In parentheses, within the limit."""
    assert (
        "text\n(duplicates are possible)"
        == noted(Message(message="text"), "duplicates are possible").message
    )
    assert 1024 == len(noted(Message(message="x" * 1024), "cut").message)


def test_texts_of_a_damaged_store_are_texts():
    """Another process can have written anything: each counts once."""
    message = summary([count(2, texts=("x y", "2 z"))], None)
    assert "Among them: y, z" == message.message.splitlines()[1]


def test_digest_says_what_was_acknowledged():
    """In the problem's own line."""
    done = count(4, "No database", acknowledged="Acknowledged on pixel at 14:02.")
    first, second, *_ = summary([done, count(2, "No disk")], "web-1").message.split("\n")
    assert first.endswith(". Acknowledged on pixel at 14:02.")
    assert "Acknowledged" not in second
