"""A record as title and body: what is said, in which order, and what gives way."""

import asyncio
import logging
import sys

import pytest

from pushover_logging import Message, PushoverFormatter
from pushover_logging.rendering.record_view import with_valid_fields


def record(msg="boom happened", args=(), level=logging.ERROR, exc=None, **extra):
    info = (type(exc), exc, exc.__traceback__) if exc else None
    made = logging.Logger("shop").makeRecord(
        "shop", level, "/srv/shop/pay.py", 7, msg, args, info, "charge", extra
    )
    return made  # noqa: RET504  a name for what is made


def raised(fault, cause=None):
    try:
        raise fault from cause
    except type(fault) as error:
        return error


def test_place_extras_and_level_stand_under_the_title():
    """Where, what the program added, and which logger, on which host."""
    formatter = PushoverFormatter(host="web-1")
    lines = formatter.format(record(order=5, tags={"a": 1})).splitlines()
    assert ["charge, shop/pay.py:7", "order: 5", 'tags: {"a": 1}', "ERROR · shop · web-1"] == lines


def test_root_cause_is_the_title():
    """The cause's own line, then the text, then what it led to."""
    error = raised(RuntimeError("card was not charged"), raised(OSError("no route")))
    message = PushoverFormatter().message(record("Order %s failed", ("A-1",), exc=error))
    assert "OSError: no route" == message.title
    lines = message.message.splitlines()
    assert "Order A-1 failed" == lines[0]
    assert "RuntimeError: card was not charged" in lines
    assert "OSError: no route" not in lines


def test_traceback_as_text_is_read_from_its_end():
    """A record that came through a queue has no exception, but its text."""
    made = record()
    frame = '  File "/srv/a.py", line 3, in charge\n    x\n'
    made.exc_text = f"Traceback (most recent call last):\n{frame}KeyError: 5"
    message = PushoverFormatter().message(made)
    assert "KeyError: 5" == message.title
    assert "charge, srv/a.py:3\n  charge: x" in message.message


def test_exception_whose_text_raises_is_named_by_its_type():
    """The alert arrives whatever the exception's own __str__ does."""

    class Nasty(Exception):
        def __str__(self):
            raise ZeroDivisionError

    assert "Nasty" in PushoverFormatter().message(record(exc=raised(Nasty()))).title


def test_syntax_error_is_named_on_one_line():
    """An exception that Python shows on several lines gives the one with its name."""
    error = raised(SyntaxError("invalid", ("x.py", 1, 1, "a b\n")))
    assert "SyntaxError: invalid" == PushoverFormatter().message(record(exc=error)).title


def test_notes_of_an_exception_are_not_its_title():
    """What was added to it comes after what it says."""
    error = raised(ValueError("bad thing"))
    error.__notes__ = ["only on Mondays"]
    assert "ValueError: bad thing" == PushoverFormatter().message(record(exc=error)).title


def test_empty_exc_info_is_no_exception():
    """`exc_info=True` outside of an except block."""
    made = record()
    made.exc_info = sys.exc_info()
    assert "boom happened" == PushoverFormatter().message(made).title
    made.exc_text = " "
    assert "boom happened" == PushoverFormatter().message(made).title


@pytest.mark.parametrize("changes", [
    {"exc_info": "text"}, {"exc_info": (ValueError, None, None)}, {"exc_info": ()},
    {"pathname": None, "lineno": None, "funcName": None}, {"created": float("nan")},
    {"levelname": None, "name": None}, {"created": -5.0},
])  # fmt: skip
def test_record_from_elsewhere_may_be_incomplete(changes):
    """What came over a socket, or was made by hand, arrives as far as it says something."""
    made = record()
    made.__dict__.update(changes)
    assert "boom happened" == PushoverFormatter().message(made).title


@pytest.mark.parametrize("created", [-1.0, float("nan"), float("inf"), "now", None])
def test_record_without_a_valid_time_gets_one(created):
    """In a copy; a valid time, the year 9999 included, stays."""

    class Clock:
        def time(self):
            return 5.0

    made = record()
    assert made is with_valid_fields(made, Clock())
    made.created = created
    assert 5.0 == with_valid_fields(made, Clock()).created
    assert made.created is created


def test_empty_mapping_is_no_message():
    """A structured record without a field says so."""
    assert "(no message)" == PushoverFormatter().message(record({})).title


def test_title_and_text_of_ones_own_win():
    """Message fields of the record stand in for what would be made of it."""
    fields = {"title": "Mine", "message": "as I say", "priority": 1}
    assert Message(
        title="Mine", message="as I say", priority=1, timestamp=5
    ) == PushoverFormatter().message(record(), {**fields, "timestamp": 5})


def test_url_names_record_fields():
    """A link to the log line: fields are quoted; without one of them there is no link."""
    url = {"url": "https://logs.example/{name}?q={message}", "url_title": "{levelname} of {name}"}
    message = PushoverFormatter().message(record("a b/c"), url)
    assert "https://logs.example/shop?q=a%20b%2Fc" == message.url
    assert "ERROR of shop" == message.url_title
    unknown = PushoverFormatter().message(record(), {"url": "https://x.example/{nothing}"})
    assert unknown.url is None


def test_unknown_field_is_left_out(caplog):
    """A field that Message does not have is told, and the alert goes out."""
    assert "boom happened" == PushoverFormatter().message(record(), {"colour": "red"}).title
    assert "colour" in caplog.text


class Silent:
    """What raises where it is asked for its text."""

    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize("wrong", [
    {"html": True, "monospace": True}, {"attachment_base64": "MTIz"}, {"attachment": "MTIz"},
    {"timestamp": -1}, {"url": 5}, {"callback": "http://["}, {"title": Silent()},
    {"message": Silent()}, {"priority": Silent()}, {"device": [Silent()]},
    {"attachment": b"1", "attachment_base64": "MTIz", "attachment_type": "a/b"},
])  # fmt: skip
def test_wrong_fields_cost_themselves_alone(wrong, caplog):
    """Whatever contradicts or cannot be: the alert goes out without it."""
    assert "boom happened" == PushoverFormatter().message(record(), wrong).title
    assert "left out" in caplog.text


def test_text_that_is_shown_in_monospace_has_no_entities():
    """Of two that exclude each other html is left out, and with it what is meant for html."""
    both = {"html": True, "monospace": True}
    message = PushoverFormatter().message(record("a < b", n="<1>"), both)
    assert message.monospace
    assert "n: <1>" in message.message


def test_link_that_cannot_be_filled_in_stays_as_it_is():
    """A width without end costs the alert nothing."""
    link = "https://logs.example/{name:>99999999999999}"
    assert link == PushoverFormatter().message(record(), {"url": link}).url


def test_only_what_fits_is_shown():
    """The extras and frames that fit, whole lines, and always the level's line."""
    made = record(
        exc=raised(ValueError("x")), **{f"field{number}": "y" * 90 for number in range(50)}
    )
    text = PushoverFormatter(host="web-1").format(made)
    assert len(text) <= 1024
    assert "ERROR · shop · web-1" == text.splitlines()[-1]


def test_json_formatters_own_options_do_their_work():
    """Renamed, static and reserved fields are python-json-logger's."""
    formatter = PushoverFormatter(
        rename_fields={"order": "Order"}, static_fields={"env": "prod"}, reserved_attrs=["secret"]
    )
    text = formatter.format(record(order=5, secret="x"))
    assert "Order: 5" in text
    assert "env: prod" in text
    assert "secret" not in text


@pytest.mark.parametrize(("options", "lines"), [
    ({}, ["levelname: ERROR"]),
    ({"rename_fields": {"message": "text"}}, ["levelname: ERROR", "text: Order 5 failed"]),
    ({"extras": ["message"]}, ["levelname: ERROR", "message: Order 5 failed"]),
])  # fmt: skip
def test_format_that_names_the_message(options, lines):
    """It says the record's text, and where it has no other name, not twice."""
    formatter = PushoverFormatter("%(levelname)s %(message)s", **options)
    shown = formatter.format(record("Order %d failed", (5,))).splitlines()
    assert lines == sorted(line for line in shown if line.startswith(("level", "text", "message")))


def test_what_was_cancelled_is_not_the_cause():
    """A timeout of asyncio's is titled as one; where it waited stands below."""

    async def query():
        await asyncio.sleep(9)

    async def ask():
        await asyncio.wait_for(query(), 0.01)

    try:
        asyncio.run(ask())
    except TimeoutError as error:
        message = PushoverFormatter().message(record("Query failed", exc=error))
    assert "TimeoutError" == message.title
    assert "CancelledError" in message.message


def test_mapping_as_message_is_shown_as_fields():
    """A structured record's event is its title, wherever it stands; the others stand under it."""
    message = PushoverFormatter().message(record({"sum": 5, "event": "paid"}))
    assert "paid" == message.title
    assert ["charge, shop/pay.py:7", "sum: 5"] == message.message.splitlines()[:2]
    other = PushoverFormatter().message(record({"sum": 5, "paid": True}))
    assert "sum: 5" == other.title
