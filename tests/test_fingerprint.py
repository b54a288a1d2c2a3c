"""What counts as the same problem."""

from __future__ import annotations

import asyncio
import json
import linecache
import logging
import logging.handlers
import queue
import re
import traceback
from collections.abc import Callable
from types import TracebackType

import pytest

from pushover_logging.identity import fingerprint as module
from pushover_logging.identity.fingerprint import (
    CALL_SITE,
    EXCEPTION,
    EXPLICIT,
    NEWS,
    ROOT_CAUSE,
    TEMPLATE,
    TEXT,
    explicit,
    fingerprint,
    group_key,
    record_keys,
)
from pushover_logging.identity.tracebacks import (
    exception_chain,
    exception_line,
    flatten_group,
    in_app_frame,
    root_cause,
    text_place_parts,
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


def group(one: logging.LogRecord, *group_by: str) -> str | None:
    """Return the key of a record's group, if it has one."""
    found = group_key(one, fingerprint(one, group_by), group_by)
    return found and found.group


def cause(one: logging.LogRecord, *group_by: str) -> str | None:
    """Return the key of a record's root cause, if it has one."""
    found = group(one, *group_by)
    return found if found and found.startswith(ROOT_CAUSE) else None


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
    assert explicit("nightly") != explicit("daily")


@pytest.mark.parametrize("options", [{}, {"fingerprint": None}, "nightly", 7])
def test_options_without_a_fingerprint_change_nothing(options: object) -> None:
    """Only a mapping with a fingerprint overrides the rules."""
    assert fingerprint(record()) == fingerprint(record(pushover=options))


def test_each_rule_has_its_own_keys() -> None:
    """A key says which rule made it, in at most 42 characters of ASCII."""
    records = [
        record(pushover={"fingerprint": "x"}),
        record(levelno=logging.INFO),
        failed(ValueError()),
        record("order %s lost", 7),
        record("order 7 lost"),
    ]
    rules = [fingerprint(one).partition(":")[0] + ":" for one in records]
    assert [EXPLICIT, NEWS, EXCEPTION, TEMPLATE, TEXT] == rules
    assert all(fingerprint(one).isascii() and len(fingerprint(one)) <= 42 for one in records)


def test_news_differ_by_their_numbers() -> None:
    """Below WARNING the text counts as it is."""
    one, two = (record("sold %d today", n, levelno=logging.INFO) for n in (7, 8))
    assert fingerprint(one) != fingerprint(two)


def test_keys_of_a_record() -> None:
    """Fingerprint and, if that is not known, group; for a problem that ends, its own key."""
    one, key = record(lineno=7, pathname="/app/cart.py"), fingerprint(record())
    assert (key, None, None) == record_keys(one, (), lambda _: True)[:3]
    assert (key, group_key(one, key), None) == record_keys(one, (), lambda _: False)[:3]
    ends = record(pushover={"resolves": "db"}, tenant="b")
    assert (explicit("db", ["b"]), None, "db") == record_keys(ends, ["tenant"], lambda _: False)[:3]
    passes = record(pushover={"throttle": False})
    assert (None, None, None) == record_keys(passes, (), lambda _: True)[:3]


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
    (record(levelno=logging.INFO), record(levelno=logging.INFO, name="bank")),
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
        {"msg": "x\nTraceback (most recent call last):\nValueError: x"},
        {"args": (7,), "msg": "order %s lost"},
        {},
    ],
)
def test_fields_are_part_of_every_key(attributes: dict[str, object]) -> None:
    """Records that differ in a field of `group_by` differ under every rule; a missing one is ""."""
    fields = ({"t": 1}, {"t": [2]}, {"t": ""}, {})
    keys = [fingerprint(record(**{**attributes, **more}), group_by=("t",)) for more in fields]
    assert (3, keys[2]) == (len(set(keys)), keys[3])


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


def total(row: dict[str, int]) -> int:
    """Name two keys in one line."""
    return row["price"] * row["amount"]


def wrapped_total(row: dict[str, int]) -> None:
    """Have a KeyError as the cause."""
    try:
        total(row)
    except KeyError as exc:
        raise ValueError("no total") from exc


def as_text_of(exc: BaseException) -> str:
    """Return an exception's traceback."""
    return "".join(traceback.format_exception(exc))


@pytest.mark.parametrize(
    ("use", "made"),
    [
        (total, failed),
        (wrapped_total, failed),
        (total, lambda exc: record(exc_text=as_text_of(exc))),
        (total, lambda exc: failed(RuntimeError(f'"""\n{as_text_of(exc)}"""'))),
    ],
    ids=["object", "cause", "text", "pool"],
)
def test_key_errors_of_one_line_differ_by_the_keys_that_it_names(
    use: Callable[[dict[str, int]], None], made: Callable[[BaseException], logging.LogRecord]
) -> None:
    """`row["price"]` is one problem, `row["amount"]` another; any `rates[name]` is the same."""
    one, two = (caught(lambda row=row: use(row)) for row in ({}, {"price": 1}))
    assert fingerprint(made(one)) != fingerprint(made(two))
    names = ["ann", "bob"]
    ann, bob = (caught(lambda name=name: {}[name]) for name in names)
    assert fingerprint(made(ann)) == fingerprint(made(bob))


def test_an_exception_whose_text_raises_counts_by_its_type() -> None:
    """`str(exc)` may fail; the key does not."""
    assert fingerprint(failed(Unprintable(1))) == fingerprint(failed(Unprintable(2)))


def test_an_exception_that_cannot_say_what_it_groups_is_no_group() -> None:
    """A property of the program's own may raise: the exception counts as itself."""

    class OddError(Exception):
        @property
        def exceptions(self) -> object:
            raise RuntimeError

    exc = OddError("broken")
    assert [exc] == flatten_group(exc)
    assert fingerprint(failed(exc)).startswith("exception:")


def test_a_traceback_missing_from_exc_info_is_taken_from_the_exception() -> None:
    """exc_info that a program built without the traceback gives the same key; or the reverse."""
    exc = caught(raise_value_error)
    whole, bare = failed(exc), record("payment failed", exc_info=(type(exc), exc, None))
    key = fingerprint(whole)
    assert key == fingerprint(bare)
    exc.__traceback__ = None
    assert [True, False] == [key == fingerprint(one) for one in (whole, bare)]


def test_one_exception_in_two_reports_is_two_problems() -> None:
    """What the program says of it counts as well."""
    exc = caught(raise_value_error)
    assert fingerprint(failed(exc)) != fingerprint(failed(exc, "no order"))


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
    chain = record("paid not\n" + head + "IndexError: 1\n\nand then\n\n" + three.msg[9:])
    keys = [fingerprint(each) for each in (one, two, three, chain, other)]
    assert ([keys[0]] * 4, True) == (keys[:4], keys[4] != keys[0])


def as_text(*lines: str) -> str:
    """Return the lines of a traceback; ``>file function code`` is one of its frames."""
    frame = r'File "\1", line 7, in \2\n    \3'
    shown = [re.sub(r">(\S+) (\S+) (\S+)", frame, line) for line in lines]
    return "\n".join(["Traceback (most recent call last):", *shown])


INSTALLED = "/v/site-packages/b.py"


@pytest.mark.parametrize(
    ("text", "line", "place"),
    [
        ("", "", ("", "", "")),
        ("a\nx\n b: c \n\n", "b: c", ("", "", "")),
        (as_text(" x", "E: 1"), "E: 1", ("", "", "")),
        ('File "/app/a.py", line 7, in f\n  x()', "x()", ("a.py", "f", "x()")),
        (as_text("  >/app/a.py f x()", "E: a | b", "and more"), "E: a | b", ("a.py", "f", "x()")),
        (as_text("  >/app/a.py f x()", f"  >{INSTALLED} g y()", "E"), "E", ("a.py", "f", "x()")),
        (as_text(f"  >{INSTALLED} g y()", f"  >{INSTALLED} h z()", "E"), "E", ("b.py", "h", "z()")),
        (
            as_text("  >/app/a.py f x()", "E", "", as_text(f"  >{INSTALLED} h z()", "F: 1")),
            "F: 1",
            ("b.py", "h", "z()"),
        ),
        (
            as_text("  | E", as_text("    |   >/app/a.py f x()", "    | F: 1", "    +-")),
            "F: 1",
            ("a.py", "f", "x()"),
        ),
    ],
)
def test_text_of_a_traceback_is_read(text: str, line: str, place: tuple[str, str, str]) -> None:
    """The last one's exception, and its innermost place of the program's own, else of all."""
    assert (line, place) == (exception_line(text), text_place_parts(text))


FRAMES = "\n".join(as_text("  >/app/lib.py deep again()").splitlines()[1:] * 1500)


@pytest.mark.parametrize("what", ["frames", "message", "chain"])
def test_a_long_traceback_as_text_counts_by_its_ends(what: str) -> None:
    """Root, place and last line are there, however much stands between them, or on one line."""
    first, second = (
        {
            "frames": f"{as_text('  >/app/a.py f x()')}\n{FRAMES}\n{name}: no price",
            "message": as_text("  >/app/a.py f x()", f"{name}: {'no price ' * 9000}"),
            "chain": as_text(*FRAMES.splitlines(), f"shop.{name}: 1", "", as_text("x", "E: 2")),
        }[what]
        for name in ("NoPrice", "NoStock")
    )
    records = [record(exc_text=text) for text in (first, first, second)]
    keys = [fingerprint(each) for each in records]
    roots = [cause(each) for each in records]
    assert (keys[0], roots[0]) == (keys[1], roots[1])
    assert (what == "chain", True) == (keys[0] == keys[2], roots[0] != roots[2])


def test_a_bare_traceback_header_is_text() -> None:
    """A message that only mentions a traceback is a message."""
    assert fingerprint(record("Traceback (most recent call last):\n")).startswith(TEXT)


def test_args_that_do_not_fit_have_a_key() -> None:
    """The template's if that has a word, else that of the template and what does not fit."""
    words = [record("Payment failed for order", number) for number in (1042, 1043)]
    none = [record("%d", "x"), record("%d", "y"), record("%c", 10**9)]
    assert [1, 2] == [len({fingerprint(one) for one in each}) for each in (words, none)]


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
    assert ("outer", expected, 2) == place[:3]


SHOP = """def pay(flag):
    if flag: raise ValueError("no price")
    raise ValueError("no price")
"""


class Loader:
    """The loader of a module in a zip file."""

    def get_source(self, name: str) -> str:
        """Return the module's source."""
        return SHOP


def test_a_source_line_counts_by_its_module_and_text() -> None:
    """Not by its number; also where the module is in a zip file."""

    def pay(flag: int, module: str = "shop", above: str = "") -> str:
        file = f"/app.zip/{module}{len(above)}.py"
        namespace: dict[str, object] = {"__name__": module, "__loader__": Loader()}
        exec(compile(above + SHOP, file, "exec"), namespace)
        if above:
            linecache.cache[file] = (1, None, (above + SHOP).splitlines(True), file)
        return fingerprint(failed(caught(lambda: namespace["pay"](flag))))  # type: ignore[operator]

    assert pay(1) == pay(1, above="\n\n")
    assert 4 == len({pay(flag, module) for flag in (0, 1) for module in ("shop", "till")})


def test_an_exception_of_a_library_counts_by_who_called_it() -> None:
    """Its innermost place is the same for all."""

    def one() -> None:
        json.loads("{")

    def two() -> None:
        json.loads("{")

    assert fingerprint(failed(caught(one))) != fingerprint(failed(caught(two)))


def test_a_place_has_its_qualified_name() -> None:
    """Two classes have a method of one name."""
    place = in_app_frame(caught(lambda: str(Unprintable())).__traceback__)
    assert "Unprintable.__str__" == (place and place.function)


def test_no_traceback_has_no_place() -> None:
    """An exception that was never raised came from nowhere."""
    assert in_app_frame(None) is None


def test_a_duplicate_of_a_template_is_not_hashed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a suppressed record costs is a look-up."""
    first = fingerprint(record("cart of %s lost", 1))
    monkeypatch.setattr(module, "blake2b", None)
    assert first == fingerprint(record("cart of %s lost", 2))


def test_free_texts_of_one_line_have_their_call_site_in_common() -> None:
    """File and line, and the fields of `group_by`, whatever the text; other rules have none."""
    here = {"pathname": "/app/cart.py", "lineno": 7}
    records = [
        record("cart lost", **here),
        record("till lost", **here),
        record("cart lost", **{**here, "lineno": 8}),
        record("cart lost", **{**here, "pathname": "/app/till.py"}),
        record("cart lost", **here, tenant="b"),
    ]
    one, two, *others = (group(each, "tenant") for each in records)
    templated = record("cart of %s lost", 1, **here)
    assert one == two
    assert 4 == len({one, *others})
    assert group(templated) is None


class Refused(Exception):
    """An exception of the program's own."""


def caused_by(root: BaseException, exc: BaseException) -> logging.LogRecord:
    """Return a record of `exc`, raised in the block that handles `root`."""

    def raising() -> None:
        try:
            raise root
        except type(root):
            raise exc  # noqa: B904 - as most programs do

    return failed(caught(raising))


@pytest.mark.parametrize("make", [Refused, ConnectionRefusedError, json.decoder.JSONDecodeError])
def test_failures_of_one_cause_have_their_root_in_common(make: type[BaseException]) -> None:
    """Whatever failed because of it, and wherever: type and masked first line count."""
    args = ("port 5432", "x", 0) if make is json.decoder.JSONDecodeError else ("port 5432",)
    other_args = (args[0].replace("port", "host"), *args[1:])
    records = [
        caused_by(make(*args), ValueError("no price")),
        caused_by(make(*args), KeyError("price")),
        caused_by(make(*other_args), ValueError("no price")),
    ]
    keys = [cause(each) for each in records]
    assert keys[0] is not None
    assert (keys[0], 2) == (keys[1], len(set(keys)))
    one, two = (failed(make(*args)) for _ in "ab")
    one.tenant, two.tenant = "a", "b"
    by_tenant = [cause(each, "tenant") for each in (one, two)]
    assert 3 == len({keys[0], *by_tenant})


@pytest.mark.parametrize(
    "one",
    [
        failed(KeyError("price")),
        record("payment failed"),
        record(exc_text="Traceback"),
        failed(Refused(), "news"),
        failed(TimeoutError()),
        failed(asyncio.CancelledError()),
        record(exc_text=as_text("  >/app/a.py f x()", "TimeoutError")),
        record(exc_text=as_text("  >/a.py f x()", "asyncio.exceptions.CancelledError")),
    ],
    ids=[
        "builtin",
        "no exception",
        "text",
        "named",
        "timeout",
        "cancelled",
        "its text",
        "their text",
    ],
)
def test_what_says_little_is_no_root_cause(one: logging.LogRecord) -> None:
    """A KeyError is another one each time; what the program named itself stays as it is."""
    named = "news" == one.msg
    key = explicit("mine") if named else fingerprint(one)
    found = group_key(one, key)
    assert found is None or found.group.startswith(CALL_SITE)


class Group(Exception):
    """A group that is no ExceptionGroup."""

    def __init__(self, *exceptions: object) -> None:
        """Hold the members."""
        super().__init__("unhandled errors in a TaskGroup")
        self.exceptions = exceptions


def test_groups_differ_by_their_members() -> None:
    """Not by the members' order and number: a group's own words say nothing."""
    price, stock = caught(raise_value_error), caught(lambda: {}["price"])
    groups = [
        Group(price, stock),
        Group(price, price, stock),
        Group(Group(price), "odd", Group(stock)),
        Group(price),
        Group(stock),
        Group(),
    ]
    keys = [fingerprint(failed(each)) for each in groups]
    assert [keys[0]] * 3 == keys[:3]
    assert 4 == len(set(keys))


def test_members_of_a_group_differ_as_exceptions_do() -> None:
    """By type, by what they say and by where they come from."""

    def elsewhere() -> None:
        raise ValueError("no price")

    raised = [
        *(caught(lambda t=text: raise_value_error(t)) for text in ("no price", "no stock")),
        caught(elsewhere),
        KeyError("no price"),
        ValueError("no price"),
    ]
    assert len(raised) == len({fingerprint(failed(Group(each))) for each in raised})


def test_a_group_that_holds_itself_has_a_key() -> None:
    """A cycle is walked once, and of endlessly many members the first hundred."""
    one, many = Group(), Group(*map(ValueError, range(5000)))
    one.exceptions = (one, ValueError("x"))
    assert all(fingerprint(failed(each)).startswith(EXCEPTION) for each in (one, many))
    different = [
        len(
            {
                fingerprint(failed(Group(*(ValueError(str(n)) for n in range(before)), last)))
                for last in (KeyError(), OSError())
            }
        )
        for before in (99, 100)
    ]
    assert [2, 1] == different


def test_a_group_has_a_root_cause_where_its_members_share_one() -> None:
    """Thirty tasks of one dead database, yes; one of them a KeyError, no."""
    refused = [Refused("port 7"), Refused("port 8")]
    dead, mixed = Group(*refused), Group(*refused, KeyError("price"))
    keys = [cause(failed(exc)) for exc in (dead, mixed, refused[0])]
    assert (keys[2], None) == (keys[0], keys[1])


def test_a_suppressed_context_does_not_count() -> None:
    """`raise from None` says that what was handled is not the cause."""

    def hide(root: BaseException) -> None:
        try:
            raise root
        except (KeyError, IndexError):
            raise ValueError("no price") from None

    one, two = (caught(lambda root=root: hide(root)) for root in (KeyError(), IndexError()))
    assert fingerprint(failed(one)) == fingerprint(failed(two))


def test_endless_recursion_is_one_problem() -> None:
    """However deep it began."""

    def recurse() -> None:
        recurse()

    def deeper(levels: int) -> None:
        deeper(levels - 1) if levels else recurse()

    one, two = (caught(lambda n=n: deeper(n)) for n in (1, 9))
    assert fingerprint(failed(one)) == fingerprint(failed(two))


def test_a_syntax_error_counts_by_its_words_and_file() -> None:
    """The line's number does not count."""
    sources = {("a.py", "x ="), ("a.py", "\n\nx ="), ("b.py", "x ="), ("a.py", "(")}
    keys = [
        fingerprint(failed(caught(lambda s=s, f=f: compile(s, f, "exec"))))
        for f, s in sorted(sources)
    ]
    assert 3 == len(set(keys))


def through_a_queue(one: logging.LogRecord) -> logging.LogRecord:
    """Return a record as a QueueListener's handler gets it."""
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    logging.handlers.QueueHandler(waiting).handle(one)
    return waiting.get()


def test_one_framework_line_tells_its_exceptions_apart() -> None:
    """As Django's log_response: one template, one place; directly and through a queue."""

    def view(what: object) -> None:
        raise LookupError(what)

    raised = [
        caught(raise_value_error),
        caught(lambda: {}["price"]),
        caught(lambda: [0].index(1)),
        caught(lambda: view("no cart")),
        caught(lambda: view("no till")),
        caught(lambda: json.loads("{")),
    ]
    for way in (lambda one: one, through_a_queue):
        records = [failed(exc, "Internal Server Error: %s") for exc in raised for _ in range(2)]
        for number, each in enumerate(records):
            each.args = (f"/cart/{number}/",)
        assert len(raised) == len({fingerprint(way(each)) for each in records})


def test_notes_and_stacks_do_not_hide_a_text_tracebacks_exception() -> None:
    """What comes after the line that names the exception is the same for many."""

    def noted(text: str) -> logging.LogRecord:
        exc = caught(lambda: raise_value_error(f"{text}\n(Background on this error: see there)"))
        one = failed(exc)
        one.stack_info = "Stack (most recent call last):\n  somewhere"
        return through_a_queue(one)

    keys = [fingerprint(noted(text)) for text in ("no price", "no stock", "no price")]
    assert (keys[0], 2) == (keys[2], len(set(keys)))


def test_a_group_as_text_counts_by_its_last_member() -> None:
    """Through a queue, a group is the lines that show it."""

    def grouped(exc: BaseException) -> logging.LogRecord:
        group = ExceptionGroup("unhandled errors", [exc])
        return through_a_queue(failed(caught(lambda: exec("raise group", {"group": group}))))

    raised = [caught(raise_value_error), caught(raise_value_error), caught(lambda: {}["price"])]
    assert 2 == len({fingerprint(grouped(exc)) for exc in raised})


def test_a_text_traceback_counts_by_its_in_app_place() -> None:
    """Thirty KeyErrors of thirty views are thirty problems; a host's folders do not count."""

    def text(folder: str, view: str) -> logging.LogRecord:
        lines = [
            "Traceback (most recent call last):",
            f'  File "{folder}/views.py", line 3, in {view}',
            "    return cart[key]",
            '  File "/v/site-packages/box.py", line 9, in get',
            "KeyError: 'price'",
        ]
        return record(exc_text="\n".join(lines))

    keys = [
        fingerprint(each) for each in (text("/a", "pay"), text("/b", "pay"), text("/a", "sell"))
    ]
    assert (keys[0], 2) == (keys[1], len(set(keys)))


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        (Refused("port 5432"), True),
        (Refused("port: 5432 | refused: twice"), True),
        (type("Refused", (Exception,), {"__module__": "__main__"})("port 5432"), True),
        (ConnectionRefusedError(111, "Connect call failed ('10.0.0.7', 5432)"), True),
        (ConnectionRefusedError(111, "Connection refused"), False),
        (KeyError("price"), False),
    ],
)
def test_a_root_cause_as_text_is_that_of_the_object(root: BaseException, expected: bool) -> None:
    """A process that logs through a queue shares the key with one that does not."""

    def fail_twice() -> None:
        try:
            try:
                raise root
            except type(root):
                raise ValueError("no price")  # noqa: B904 - as most programs do
        except ValueError:
            raise KeyError("price")  # noqa: B904

    direct = failed(caught(fail_twice))
    queued = through_a_queue(failed(caught(fail_twice)))
    as_exc_text = record(exc_text=re.sub(r"\A.*\n", "", queued.getMessage()))
    keys = [cause(each) for each in (direct, queued, as_exc_text)]
    assert ([keys[0]] * 3, expected) == (keys, keys[0] is not None)


def test_a_thousand_users_not_found_are_one_problem() -> None:
    """As an f-string, with no args."""
    assert 1 == len({fingerprint(record(f"User {i} not found")) for i in range(1000)})
