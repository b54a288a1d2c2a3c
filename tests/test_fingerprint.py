"""What counts as the same problem."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from types import TracebackType

import pytest

from pushover_logging import fingerprint as module
from pushover_logging.fingerprint import (
    EXCEPTION,
    EXPLICIT,
    NEWS,
    TEMPLATE,
    TEXT,
    Place,
    call_site_key,
    exception_chain,
    explicit,
    fingerprint,
    in_app_frame,
    root_cause,
    root_cause_key,
)


def record(msg: object = "disk full", *args: object, **attributes: object) -> logging.LogRecord:
    """Return a record of `shop`, ERROR unless said otherwise."""
    values = {"name": "shop", "levelno": logging.ERROR, "msg": msg, "args": args}
    return logging.makeLogRecord({**values, "module": "cart", "funcName": "pay", **attributes})


def caught(function: Callable[[], object]) -> BaseException:
    """Return what `function` raises."""
    try:
        function()
    except BaseException as exc:
        return exc
    raise AssertionError


def failed(exc: BaseException, msg: object = "payment failed") -> logging.LogRecord:
    """Return a record with `exc`."""
    return record(msg, exc_info=(type(exc), exc, exc.__traceback__))


def raise_value_error(text: str = "no price") -> None:
    """Raise from one line."""
    raise ValueError(text)


class Unprintable(Exception):
    """An exception whose text cannot be had."""

    def __str__(self) -> str:
        """Raise."""
        raise RuntimeError


def test_the_programs_own_fingerprint_wins() -> None:
    """An explicit fingerprint decides whatever the record says, and has a public key."""
    one = record("a", levelno=logging.INFO, pushover={"fingerprint": "nightly"})
    two = failed(ValueError("b"))
    two.pushover = {"fingerprint": "nightly"}
    assert [explicit("nightly")] * 2 == [fingerprint(one), fingerprint(two)]


@pytest.mark.parametrize("options", [{}, {"fingerprint": None}, "nightly", 7])
def test_options_without_a_fingerprint_change_nothing(options: object) -> None:
    """Only a mapping with a fingerprint overrides the rules."""
    assert fingerprint(record()) == fingerprint(record(pushover=options))


def test_each_rule_has_its_own_keys() -> None:
    """A key says which rule made it."""
    records = [
        record(pushover={"fingerprint": "x"}),
        record(levelno=logging.INFO),
        failed(ValueError()),
        record("order %s lost", 7),
        record("order 7 lost"),
    ]
    rules = [fingerprint(one).partition(":")[0] + ":" for one in records]
    assert [EXPLICIT, NEWS, EXCEPTION, TEMPLATE, TEXT] == rules


def test_news_differ_by_their_numbers() -> None:
    """Below WARNING the text counts as it is."""
    one, two = (record("sold %d today", n, levelno=logging.INFO) for n in (7, 8))
    assert fingerprint(one) != fingerprint(two)


SAME = [
    (record("order %s lost", 7), record("order %s lost", 8)),
    (record("%s: %s", "order lost", 7), record("%s: %s", "order lost", 8)),
    (record("order 7 lost"), record("order 8 lost")),
    (record(levelno=logging.WARNING), record(levelno=logging.CRITICAL)),
    (record(process=1, thread=1), record(process=2, thread=2)),
    (record(ValueError("order 7")), record(ValueError("order 8"))),
    (record("x" * 3000 + "a", 1), record("x" * 3000 + "b", 1)),
]
OTHER = [
    (record("order %s lost", 7), record("order %s found", 7)),
    (record("%s", "order lost"), record("%s", "order found")),
    (record("{}: %d", 1), record("{}: %d", 2, name="bank")),
    (record("HTTP 500"), record("HTTP 503")),
    (record(), record(name="bank")),
    (record(), record(module="till")),
    (record(), record(funcName="refund")),
    (record("order %s", 7), record("order %s", 7, name="bank")),
    (record("ab", name="c"), record("b", name="ca")),
]


@pytest.mark.parametrize(("one", "two"), SAME)
def test_the_same_problem(one: logging.LogRecord, two: logging.LogRecord) -> None:
    """Args, numbers, level, process and thread do not make another problem."""
    assert fingerprint(one) == fingerprint(two)


@pytest.mark.parametrize(("one", "two"), OTHER)
def test_another_problem(one: logging.LogRecord, two: logging.LogRecord) -> None:
    """Words, codes, the logger, and for plain texts module and function, do."""
    assert fingerprint(one) != fingerprint(two)


@pytest.mark.parametrize(
    "attributes",
    [
        {"pushover": {"fingerprint": "x"}},
        {"levelno": logging.INFO},
        {"exc_text": "ValueError: x"},
        {"args": (7,), "msg": "order %s lost"},
        {},
    ],
)
def test_fields_are_part_of_every_key(attributes: dict[str, object]) -> None:
    """Records that differ in a field of `by` differ under every rule; a missing one is ""."""
    one, two, none = (record(**{**attributes, **more}) for more in ({"t": 1}, {"t": [2]}, {}))
    assert 3 == len({fingerprint(each, by=("t",)) for each in (one, two, none)})


def test_exceptions_of_one_line_are_one_problem() -> None:
    """The numbers in an exception's text and in the message do not count."""
    one, two = (caught(lambda n=n: raise_value_error(f"no price for {n}")) for n in (7, 8))
    assert fingerprint(failed(one, "order 7")) == fingerprint(failed(two, "order 8"))


def test_exceptions_differ_by_type_text_cause_and_place() -> None:
    """Each of these makes another problem."""

    def chained() -> None:
        try:
            raise_value_error()
        except ValueError as exc:
            raise KeyError("price") from exc

    def elsewhere() -> None:
        raise ValueError("no price")

    raised = [
        caught(raise_value_error),
        caught(elsewhere),
        caught(lambda: raise_value_error("no stock")),
        caught(chained),
        caught(lambda: {}["price"]),
        ValueError("no price"),
        Unprintable(),
    ]
    assert len(raised) == len({fingerprint(failed(exc)) for exc in raised})


def test_an_exception_whose_text_raises_counts_by_its_type() -> None:
    """`str(exc)` may fail; the key does not."""
    assert fingerprint(failed(Unprintable(1))) == fingerprint(failed(Unprintable(2)))


def test_a_traceback_missing_from_exc_info_is_taken_from_the_exception() -> None:
    """exc_info that a program built without the traceback gives the same key."""
    exc = caught(raise_value_error)
    bare = record("payment failed", exc_info=(type(exc), exc, None))
    assert fingerprint(failed(exc)) == fingerprint(bare)


@pytest.mark.parametrize("info", [True, (None, None, None), (1, 2), "x", ValueError("x")])
def test_odd_exc_info_counts_as_none(info: object) -> None:
    """What is not the tuple of an exception is no exception."""
    assert fingerprint(record()) == fingerprint(record(exc_info=info))


@pytest.mark.parametrize("text", [" \n", 7])
def test_odd_exc_text_counts_as_none(text: object) -> None:
    """What holds no line is no traceback."""
    assert fingerprint(record()) == fingerprint(record(exc_text=text))


def test_a_traceback_as_text_counts_by_its_last_line() -> None:
    """In exc_text or, as QueueHandler leaves it, in the message: the same problem."""
    head = "Traceback (most recent call last):\n"
    one = record("paid not", exc_text=head + '  File "a.py", line 3\nKeyError: 7\n')
    two = record("paid not", exc_text=head + '  File "a.py", line 9\nKeyError: 8')
    three = record("paid not\n" + head + '  File "b.py", line 1\nKeyError: 9\n')
    other = record("paid not", exc_text=head + "ValueError: 7")
    keys = [fingerprint(each) for each in (one, two, three, other)]
    assert ([keys[0]] * 3, True) == (keys[:3], keys[3] != keys[0])


def test_a_bare_traceback_header_is_text() -> None:
    """A message that only mentions a traceback is a message."""
    assert fingerprint(record("Traceback (most recent call last):\n")).startswith(TEXT)


def test_args_that_do_not_fit_raise() -> None:
    """What `getMessage` raises goes to the caller."""
    with pytest.raises(TypeError):
        fingerprint(record("%d", "x"))


def test_surrogates_have_a_key() -> None:
    """A text that UTF-8 cannot carry has a key like any other."""
    assert fingerprint(record("\ud800")) != fingerprint(record("\ud801"))


def test_the_chain_is_causes_then_unsuppressed_contexts() -> None:
    """As a traceback prints it, outermost first."""
    root, middle, outer, hidden = ValueError(), KeyError(), OSError(), TypeError()
    outer.__cause__, outer.__context__ = middle, hidden
    middle.__context__ = root
    root.__context__, root.__suppress_context__ = hidden, True
    assert ([outer, middle, root], root) == (exception_chain(outer), root_cause(outer))


def test_a_chain_that_meets_itself_ends() -> None:
    """A cycle is walked once."""
    one, two = ValueError(), KeyError()
    one.__cause__, two.__cause__ = two, one
    assert [one, two] == exception_chain(one)


def test_in_app_is_not_the_standard_library() -> None:
    """The innermost place of the program's own code is found below a library's frames."""
    exc = caught(lambda: json.loads("{"))
    place = in_app_frame(exc.__traceback__)
    assert (__file__, True) == (place and place.filename, place and "lambda" in place.function)


def traceback_through(*filenames: str) -> TracebackType | None:
    """Return a traceback whose frames say that they are of `filenames`, outermost first."""
    namespace: dict[str, object] = {"inner": lambda: 1 / 0}
    for filename in reversed(filenames):
        exec(compile("def outer(inner=inner):\n    inner()\n", filename, "exec"), namespace)
        namespace["inner"] = namespace["outer"]
    exc = caught(namespace["inner"])  # type: ignore[arg-type]
    entries = []
    current = exc.__traceback__
    while current is not None:
        if current.tb_frame.f_code.co_filename != __file__:
            entries.append(current)
        current = current.tb_next
    tail: TracebackType | None = None
    for each in reversed(entries):
        tail = TracebackType(tail, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return tail


@pytest.mark.parametrize(
    ("filenames", "expected"),
    [
        (("/app/a.py", "/v/site-packages/b.py"), "/app/a.py"),
        (("/app/a.py", "/usr/lib/python3/dist-packages/b.py"), "/app/a.py"),
        (("/app/a.py", "C:\\v\\site-packages\\b.py"), "/app/a.py"),
        (("/app/a.py", "<frozen importlib._bootstrap>"), "/app/a.py"),
        (("/app/a.py", json.__file__), "/app/a.py"),
        (("/app/a.py", "/app/b.py"), "/app/b.py"),
        ((json.__file__, "/v/site-packages/b.py"), "/v/site-packages/b.py"),
    ],
)
def test_in_app(filenames: tuple[str, ...], expected: str) -> None:
    """The innermost place outside of libraries; where none is outside, the innermost."""
    place = in_app_frame(traceback_through(*filenames))
    assert Place("outer", expected, 2) == place


def test_no_traceback_has_no_place() -> None:
    """An exception that was never raised came from nowhere."""
    assert in_app_frame(None) is None


def test_a_duplicate_of_a_template_is_not_hashed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a suppressed record costs is a look-up."""
    first = fingerprint(record("cart of %s lost", 1))
    monkeypatch.setattr(module, "blake2b", None)
    assert first == fingerprint(record("cart of %s lost", 2))


def test_free_texts_of_one_line_have_their_call_site_in_common() -> None:
    """File and line, and the fields of `by`, whatever the text; other rules have none."""
    here = {"pathname": "/app/cart.py", "lineno": 7}
    records = [
        record("cart lost", **here),
        record("till lost", **here),
        record("cart lost", **{**here, "lineno": 8}),
        record("cart lost", **{**here, "pathname": "/app/till.py"}),
        record("cart lost", **here, tenant="b"),
    ]
    one, two, *others = (call_site_key(r, fingerprint(r, ["tenant"]), ["tenant"]) for r in records)
    templated = record("cart of %s lost", 1, **here)
    assert one == two
    assert 4 == len({one, *others})
    assert call_site_key(templated, fingerprint(templated)) is None


class Refused(Exception):
    """An exception of the program's own."""


def caused_by(root: BaseException, function: Callable[[], object]) -> logging.LogRecord:
    """Return a record of what `function` raises while `root` is handled."""

    def raising() -> None:
        try:
            raise root
        except type(root):
            function()

    return failed(caught(raising))


@pytest.mark.parametrize("make", [Refused, ConnectionRefusedError, json.decoder.JSONDecodeError])
def test_failures_of_one_cause_have_their_root_in_common(make: type[BaseException]) -> None:
    """Whatever failed because of it, and wherever: type and masked first line count."""
    args = ("port 5432", "x", 0) if make is json.decoder.JSONDecodeError else ("port 5432",)
    other_args = (args[0].replace("port", "host"), *args[1:])
    records = [
        caused_by(make(*args), raise_value_error),
        caused_by(make(*args), lambda: {}["price"]),
        caused_by(make(*other_args), raise_value_error),
    ]
    keys = [root_cause_key(each, fingerprint(each)) for each in records]
    assert keys[0] is not None
    assert (keys[0], 2) == (keys[1], len(set(keys)))


@pytest.mark.parametrize(
    "one",
    [
        failed(KeyError("price")),
        record("payment failed"),
        record(exc_text="Traceback"),
        failed(Refused(), "news"),
    ],
    ids=["builtin", "no exception", "text", "named"],
)
def test_what_says_little_is_no_root_cause(one: logging.LogRecord) -> None:
    """A KeyError is another one each time; what the program named itself stays as it is."""
    named = "news" == one.msg
    key = explicit("mine") if named else fingerprint(one)
    assert root_cause_key(one, key) is None
