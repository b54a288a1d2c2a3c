"""Fields, templates and tracebacks, one by one; the whole is in the golden files."""

import datetime as dt
import decimal
import fractions
import io
import logging
import logging.handlers
import queue

import pytest
from golden_records import FILE, Model, Nasty, Request, raised, record, shop

from pushover_logging import ConfigurationError, PushoverFormatter
from pushover_logging.identity.tracebacks import parse_tracebacks
from pushover_logging.rendering.exception_text import MAX_EXCEPTIONS
from pushover_logging.rendering.fields import plain_fields, request_line
from pushover_logging.rendering.redaction import Redaction


class Text(str):
    """A text of the program's own kind."""

    __slots__ = ()

    def __str__(self):
        raise ZeroDivisionError

    __repr__ = __str__


class Odd(decimal.Decimal):
    """A number that cannot be shown."""

    def __str__(self):
        raise ZeroDivisionError


class Broken(dict):
    """A mapping that cannot be read."""

    def items(self):
        raise ZeroDivisionError


class BrokenList(list):
    """A list that cannot be read."""

    def __iter__(self):
        raise ZeroDivisionError


class Lazy:
    """A proxy that asks a database what it is, as Django's lazy user does."""

    @property
    def __class__(self):
        raise ZeroDivisionError


# Made in the test: pytest itself would ask some of them what they are.
OBJECTS = {
    "model": Model, "nasty": Nasty, "lazy": Lazy, "class": lambda: Model,
    "function": lambda: raised, "bytes": lambda: b"x", "file": io.StringIO,
    "in a list": lambda: [Model()], "in a mapping": lambda: {"a": Model()},
    "in a tuple": lambda: (Lazy(),),
    "keys of no text": lambda: {5: "x"}, "broken mapping": lambda: Broken(a=1),
    "broken list": lambda: BrokenList([1]), "odd number": lambda: Odd(5), "object": object,
    "huge number": lambda: 10**400, "exception": lambda: ValueError("x"),
    "of a task": lambda: {"kwargs": "{'card': 4242}"}, "deep list": lambda: [[[[5]]]],
    "deep mapping": lambda: {"a": {"b": {"c": {"d": 5}}}},
}  # fmt: skip


@pytest.mark.parametrize("kind", OBJECTS)
def test_what_is_not_plain_is_left_out_untouched(kind):
    """Objects, and what holds nothing else: neither str, repr nor a property of them is called."""
    assert {"order": 5} == plain_fields({"value": OBJECTS[kind](), "order": 5})


@pytest.mark.parametrize(("value", "expected"), [
    (Text("é"), "é"), (True, True), (None, None), (0.5, 0.5), (float("nan"), "nan"),
    (decimal.Decimal("9.90"), "9.90"), (fractions.Fraction(1, 3), "1/3"), ((), []),
    (dt.timedelta(days=1), "1 day, 0:00:00"),
    ({"a": 1, "user": Model()}, {"a": 1}), ([1, Model()], [1]),
    ({str(number): 1 for number in range(50)}, {**{str(n): 1 for n in range(20)}, "…": "…"}),
    ({"api_key": "x", "b": {"password": "y"}}, {"api_key": "***", "b": {"password": "***"}}),
])  # fmt: skip
def test_plain_values_are_shown(value, expected):
    """As json has them; a secret by its name as ***; long ones shortened."""
    assert {"value": expected} == plain_fields({"value": value})


@pytest.mark.parametrize("name", ["kwargs", "headers", "cookies", "body", "environ"])
def test_what_a_task_or_request_was_given_is_shown_where_asked_for(name):
    """Nobody chose it for a message, until somebody does."""
    assert {} == plain_fields({name: "x"})
    assert f"{name}: x" in PushoverFormatter(extras=[name]).format(record(**{name: "x"}))


REQUESTS = {
    "a request": (Request, "POST /checkout/"), "nasty": (Nasty, None), "model": (Model, None),
    "none": (lambda: None, None), "number": (lambda: 5, None),
    "query in its path": (lambda: Like("GET", "/a?token=s3cr3t"), "GET /a"),
    "method of no text": (lambda: Like(5, "/"), None),
    "long method": (lambda: Like("secret" * 9, "/"), None),
    "text": (lambda: "GET /a?b=1 HTTP/1.1", "GET /a HTTP/1.1"),
    "mapping": (lambda: {"method": "GET"}, None),
}  # fmt: skip


class Like:
    """Has a method and a path, as a request has."""

    def __init__(self, method, path):
        self.method, self.path = method, path


@pytest.mark.parametrize("kind", REQUESTS)
def test_request_is_its_method_and_path(kind):
    """Never its query, headers or body."""
    make, expected = REQUESTS[kind]
    assert expected == request_line(make())


def test_extra_is_one_line():
    """Name and value: else each could look like another line of the push."""
    made = record(**{"a\nb": 1, "c\r\n\nd": "e\nf"})
    assert ["a b: 1", "c d: e f"] == PushoverFormatter().format(made).splitlines()[1:-1]


def test_extras_are_named_or_none():
    """`extras` says which fields are shown; those of a structured message and static ones are."""
    made = record(order=5, page=7)
    lines = PushoverFormatter(extras=["page", "process", "gone"]).format(made).splitlines()
    assert ["page: 7", f"process: {made.process}"] == lines[1:-1]
    assert ["order: 5", "page: 7"] == PushoverFormatter(extras=True).format(made).splitlines()[1:-1]
    none = PushoverFormatter(extras=False, static_fields={"env": "prod"})
    assert ["env: prod"] == none.format(made).splitlines()[1:-1]
    structured = none.message(record({"event": "paid", "sum": 5}, order=5, request=Request()))
    assert "paid" == structured.title
    assert ["sum: 5", "env: prod"] == structured.message.splitlines()[1:-1]


def test_fields_of_a_format_are_shown():
    """python-json-logger's `fmt`, its time included."""
    made = record()
    text = PushoverFormatter("%(asctime)s %(process)d", "%Y").format(made)
    assert ["asctime: 2026", f"process: {made.process}"] == text.splitlines()[1:-1]


TEMPLATES = {
    "%": (
        "%(levelname)s: %(cause)s",
        "%(message)s @ %(place)s\n%(order)d%% %(none)s\n%(none)s\n%(host)s",
    ),
    "{": ("{levelname}: {cause}", "{message} @ {place}\n{order:d}% {none}\n{none}\n{host}"),
    "$": ("$levelname: ${cause}", "$message @ $place\n$order% $none\n$none\n$host"),
}  # fmt: skip


@pytest.mark.parametrize("style", TEMPLATES)
def test_templates(style):
    """In each of logging's styles; a field that is not there is empty, so is its line."""
    title, body = TEMPLATES[style]
    formatter = PushoverFormatter(title=title, body=body, style=style, host="web-1")
    message = formatter.message(record(exc=raised(shop.charge, {"rate": 0}, 5), order=5))
    assert "ERROR: ZeroDivisionError: division by zero" == message.title
    expected = "Order A-1042 failed @ charge, payments/api.py:11\n5% \nweb-1"
    assert expected == message.message == formatter.format(record(exc=raised(
        shop.charge, {"rate": 0}, 5), order=5))  # fmt: skip


def test_template_names_everything():
    """Time, extras and traceback as a whole; an object and a secret never."""
    body = "{asctime}|{extras}|{traceback}|{request}|{user}|{password}|{tags}|{exc_info}|{paid}"
    formatter = PushoverFormatter(style="{", body=body, datefmt="%Y")
    made = record(
        exc=raised(shop.hidden), request=Request(), user=Model(), password="hunter2", tags=[1, "a"],
        paid=True,
    )  # fmt: skip
    assert [
        "2026",
        'POST /checkout/\npassword: ***\ntags: [1, "a"]\npaid: true',
        '  hidden: raise ValueError("the shop is closed") from None',
        "POST /checkout/", "", "***", '[1, "a"]', "", "True",
    ] == formatter.format(made).split("|")  # fmt: skip


def test_template_of_a_structured_message():
    """Its fields stand for the message."""
    formatter = PushoverFormatter(style="{", title="{event}", body="{message}")
    message = formatter.message(record({"event": "paid", "sum": 5}))
    assert ("paid", "event: paid\nsum: 5") == (message.title, message.message)


def test_value_that_fits_no_place_costs_the_template_alone(caplog):
    """The alert goes out as it would without one, and it is told."""
    formatter = PushoverFormatter(title="%(order)d", body="%(order)d")
    message = formatter.message(record(order="five"))
    assert "Order A-1042 failed" == message.title
    assert "order: five" in message.message
    assert ["title", "body"] == [
        name
        for name in ("title", "body")
        if f"the {name} template does not fit a record" in caplog.text
    ]


def test_blank_template_is_never_sent():
    """Where all of its fields are empty, the default title stands, and the text says so."""
    message = PushoverFormatter(title="%(none)s", body="%(none)s").message(record())
    assert ("Order A-1042 failed", "(no message)") == (message.title, message.message)


@pytest.mark.parametrize(("option", "wrong", "style"), [
    ("title", "{", "{"), ("title", "{}", "{"), ("title", "{0}", "{"), ("title", "{a!x}", "{"),
    ("title", "$", "$"), ("title", "$5", "$"), ("body", "%(a", "%"), ("body", "%s", "%"),
    ("body", " ", "%"), ("body", "100%", "%"),
])  # fmt: skip
def test_wrong_template_is_refused_at_construction(option, wrong, style):
    """The error names the option and the style."""
    with pytest.raises(ConfigurationError, match=option) as caught:
        PushoverFormatter(**{option: wrong}, style=style)
    assert option == caught.value.option


def test_template_is_checked_with_any_value():
    """Attributes, items, and formats of dates, texts and numbers may all fit."""
    PushoverFormatter(style="{", body="{a.b[c]:%H:%M} {d!r:>5} {e:.3f}", title="plain text")
    PushoverFormatter(body="%(a)5.1f %(b)-9s %(c)d 100%%")


@pytest.mark.parametrize("exc", [
    raised(shop.checkout, 5), raised(shop.throw, ValueError("2 faults\n  amount\n  rate")),
    raised(shop.step, 20, KeyError("rate")), raised(shop.throw, ValueError()),
])  # fmt: skip
def test_what_a_queue_listener_gets_reads_as_the_exception_does(exc):
    """QueueHandler.prepare makes the traceback a part of the message: the same push comes of it."""
    made = record(exc=exc, order=5)
    prepared = logging.handlers.QueueHandler(queue.SimpleQueue()).prepare(made)
    assert not prepared.exc_info
    formatter = PushoverFormatter(host="web-1")
    assert formatter.message(made) == formatter.message(prepared)


def test_traceback_that_python_shortened():
    """A repeated line counts as often as it says; the marks under a line are no code."""
    text = (
        "Traceback (most recent call last):\n"
        f'  File "{FILE}", line 3, in dive\n    dive()\n    ^^^^^^\n'
        "  [Previous line repeated 996 more times]\n"
        f'  File "{FILE}", line 4, in stop\n'
        "RecursionError: too deep\n"
    )
    (found,) = parse_tracebacks(text)
    assert [("dive", "dive()", 997), ("stop", "", 1)] == [
        (frame.function, frame.code, frame.times) for frame in found.frames
    ]
    assert "payments/api.py:4" in PushoverFormatter().format(record(text))


def test_bars_and_pluses_of_a_traceback_as_text_stay():
    """A group's margin is taken off where a line begins, and nothing out of its words or code."""
    text = (
        "Traceback (most recent call last):\n"
        f'  File "{FILE}", line 3, in total\n    return price + tax\n'
        "ValueError: one | other + more\n"
    )
    (found,) = parse_tracebacks(text)
    assert "ValueError: one | other + more" == found.line
    assert ["return price + tax"] == [frame.code for frame in found.frames]
    group = text.replace("\n", "\n  | ").replace("Traceback", "  + Exception Group Traceback", 1)
    assert [found] == parse_tracebacks(group)


def test_torn_and_endless_tracebacks_as_text():
    """One without its end has no line; of a huge one both ends are read."""
    header = "Traceback (most recent call last):\n"
    torn = f'{header}  File "a.py", line 3, in charge\n'
    assert ["Order failed"] == [PushoverFormatter().message(record(f"Order failed\n{torn}")).title]
    frames = f'  File "{FILE}", line 3, in dive\n    dive()\n' * 2000
    text = f"{header}KeyError: 'root'\n\nDuring handling of the above exception, another\n\n"
    message = PushoverFormatter().message(record(f"{text}{header}{frames}ValueError: last\n"))
    assert "KeyError: 'root'" == message.title
    assert "ValueError: last" in message.message


def test_exception_twice_in_a_chain_is_told_once():
    """A group's member that is also what the group came from."""
    inner = raised(shop.hidden)
    outer = RuntimeError("outer")
    outer.exceptions = (inner, inner)
    outer.__cause__ = inner
    text = PushoverFormatter().format(record(exc=outer))
    assert 1 == text.count("hidden: ")


def test_endless_chain_is_bounded():
    """A thousand exceptions: the root is the title, and the push comes at once."""
    exc = root = ValueError("root")
    for number in range(1000):
        outer = RuntimeError(str(number))
        outer.__cause__, exc = exc, outer
    message = PushoverFormatter().message(record(exc=exc))
    assert f"ValueError: {root}" == message.title
    assert f"RuntimeError: {MAX_EXCEPTIONS}" not in message.message


def test_notes_of_any_kind():
    """What stands in __notes__ may be anything."""
    for notes in ("text", [5, "a note"], None):
        exc = ValueError("bad")
        exc.__notes__ = notes
        assert ("a note" in PushoverFormatter().format(record(exc=exc))) == isinstance(notes, list)


def test_syntax_error_without_a_file():
    """What the compiler was given as text."""
    exc = SyntaxError("bad", (None, None, None, None))
    assert "SyntaxError: bad" == PushoverFormatter().message(record(exc=exc)).title


def test_pattern_that_takes_several_lines():
    """A redaction of the program's that reads over line ends costs no line its place."""
    formatter = PushoverFormatter(redaction=Redaction([r"(?s)order.*page"]))
    lines = formatter.format(record(order=5, page=7, sum=1)).splitlines()
    assert ["order: 5", "page: 7", "sum: 1"] == lines[1:-1]


def test_long_lines_are_cut_each_for_itself():
    """Each extra has its line, however long they are together."""
    made = record(**{f"field_{number}": "x" * 2000 for number in range(20)})
    lines = PushoverFormatter().format(made).splitlines()
    assert [200, 200] == [len(line) for line in lines[1:3]]


def test_room_is_for_the_cause_before_the_place():
    """Where hardly any room is left, as when it is encrypted, the level's line goes first."""
    formatter = PushoverFormatter(title="%(levelname)s")
    formatter.encrypted_length = lambda text: 20 * len(text)
    text = formatter.message(record("", exc=ValueError("bad"))).message
    assert text.startswith("ValueError: bad")
    assert len(text) <= 51


def test_handlers_words_fill_in_what_a_formatter_lacks(drive):
    """A PushoverFormatter on the handler keeps its own templates, and takes the others."""
    driven = drive(title="{name}", style="{", body="{message}", throttle=False)
    driven.handler.setFormatter(PushoverFormatter(title="%(levelname)s", host="db-9"))
    driven.log.error("Disk is full")
    driven.settle()
    push = driven.inbox.messages[-1]
    assert ("ERROR", "Disk is full") == (push["title"], push["message"])


def test_what_says_that_a_problem_is_over_brings_no_secret(drive):
    """Its name and its text go through the same redaction."""
    driven = drive()
    driven.log.error("boom", extra={"pushover": {"fingerprint": "password=hunter2"}})
    driven.settle()
    own = {"resolves": "password=hunter2"}
    driven.log.error("token=s3cr3t works again", extra={"pushover": own})
    driven.settle()
    push = driven.inbox.messages[-1]
    assert "Resolved: password=***" == push["title"]
    assert push["message"].startswith("token=*** works again")


def test_handler_tells_what_it_would_send(drive):
    """`message` is for programs that want to look."""
    handler = drive(html=True, levels={"ERROR": {"sound": "siren"}}).handler
    message = handler.message(record("a < b"))
    assert ("a < b", "siren", True) == (message.title, message.sound, message.html)


def test_room_for_the_lines_of_a_chain():
    """The root first, the last before those between; where none fits, the rest of the text."""
    exc = ValueError("x" * 150)
    for number in range(8):
        outer = RuntimeError(f"{number}" * 150)
        outer.__cause__, exc = exc, outer
    made = record("m " * 100, exc=exc)
    lines = PushoverFormatter().format(made).splitlines()
    assert ["… 4 more exceptions", f"RuntimeError: {'7' * 150}"] == lines[-3:-1]
    text = PushoverFormatter().format(record("m" * 700, exc=exc, order="o" * 190))
    assert "RuntimeError" not in text
    noted = ValueError("bad")
    noted.__notes__ = ["n" * 150, "short"]
    text = PushoverFormatter().format(record("m" * 850, exc=noted))
    assert ("n" * 150 not in text, "  short" in text) == (True, True)
    assert "1 more" not in PushoverFormatter().format(record("m" * 960, order="o" * 190))


def test_more_members_than_are_looked_at():
    """A hundred of a group are looked at: the title claims no more than that."""
    group = RuntimeError("many")
    group.exceptions = [ValueError(number) for number in range(5000)]
    title = PushoverFormatter().message(record("Import failed", exc=group)).title
    assert "ValueError: 0 (and 99 or more)" == title
