"""The template of a text that the program formatted itself is read from the source."""

from __future__ import annotations

import gc
import importlib
import linecache
import logging
import logging.handlers
import os
import py_compile
import queue
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pushover_logging.identity import source
from pushover_logging.identity.fingerprint import (
    CALL_SITE,
    TEMPLATE,
    TEXT,
    call_key,
    fingerprint,
    group_key,
)
from pushover_logging.identity.source import match_template, raise_site, t_string

Run = Callable[..., list[logging.LogRecord]]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Return what runs a program from a file of its own, and returns its records."""
    records: list[logging.LogRecord] = []
    log = logging.Logger("shop", logging.DEBUG)
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    log.addHandler(handler)

    def run(text: str, filename: str | None = None, **names: object) -> list[logging.LogRecord]:
        path = filename or str(tmp_path / f"program{len(records)}.py")
        text = textwrap.dedent(text)
        if filename is None:
            Path(path).write_text(text, encoding="utf-8")
        records.clear()
        exec(compile(text, path, "exec"), {"log": log, "n": 7, "name": "jo", **names})
        return list(records)

    yield run
    source._templates.cache_clear()


@pytest.fixture
def clock() -> Iterator[Callable[[], float]]:
    """Return the processor's seconds of this thread, none of them for garbage of other tests."""
    gc.collect()
    gc.disable()
    yield time.thread_time
    gc.enable()


def found(record: logging.LogRecord) -> str | None:
    """Return the template of a record, ``{}`` for each hole."""
    match = match_template(record.pathname, record.lineno, record.getMessage())
    return match and match[0].replace("\0", "{}")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ('log.error(f"Order {n} is lost")', "Order {} is lost"),
        ('log.error(f"Order {n!r:>9} of {name}{n} is lost")', "Order {} of {} is lost"),
        ('log.error(f"Order {n % 5} of {name.format(n)} is lost")', "Order {} of {} is lost"),
        ('log.error(f"Order {n=} is {{lost}}")', "Order n={} is {lost}"),
        ('log.error(f"Order " f"{n} is" " lost")', "Order {} is lost"),
        ("log.error(f\"Order {f'no {n}'} is lost\")", "Order no {} is lost"),
        ("log.error(f\"Order {'lost' if n else 'late'}: {n}\")", "Order lost: {}"),
        ("log.error(f\"{n} order{'s' if n > 1 else ''} lost\")", "{} order{} lost"),
        ("log.error(f\"Order {'x'!r} {n} is lost\")", "Order {} {} is lost"),
        ('log.error("Order {} is {1}".format(n) if not n else f"No order {n}")', "No order {}"),
        ('log.error("Order {} of {i} {{lost}}".format(n, i=name))', "Order {} of {} {lost}"),
        ('log.error("Order {0.real:>4} is lost".format(n))', "Order {} is lost"),
        ('log.error("Order %d of %-5s is 100%% lost" % (n, name))', "Order {} of {} is 100% lost"),
        ('log.error("Order %*d is lost" % (5, n))', "Order {} is lost"),
        ('log.error("Order %.f is lost" % n)', "Order {} is lost"),
        ('log.error("Order %(no)s is lost" % {"no": n})', "Order {} is lost"),
        ('log.error("Order " + str(n) + " is lost")', "Order {} is lost"),
        ('log.error("No" + f" order {n}" + "!")', "No order {}!"),
        ('log.error(msg=f"Order {n} is lost")', "Order {} is lost"),
        ('log.log(40, f"Order {n} is lost")', "Order {} is lost"),
        ('log.error(f"""Order {n}\n is lost""")', "Order {}\n is lost"),
        ('log.error(\n    f"Order {n} (of "  # :)\n    f"{len(name)})",\n)', "Order {} (of {})"),
        ('(log\n .error(f"Order {n} is lost"))', "Order {} is lost"),
        ('text = f"Order {n} is lost"\nlog.error(text)', "Order {} is lost"),
        ('LOST = "Order %s is lost"\ndef f():\n    log.error(LOST % n)\nf()', "Order {} is lost"),
        (
            'def f():\n    text: str = (\n        f"Order {n} is "\n        "lost"\n    )\n'
            '    if not n:\n        text = "No order"\n    log.error(text)\nf()',
            "Order {} is lost",
        ),
        (
            'def f():\n    text = f"Order {n} is lost"\n    text = text + f" by {name}"\n'
            "    log.error(text)\nf()",
            "Order {} is lost by {}",
        ),
        ('log.error(str(f"Order {n}") + " is lost")', "{} is lost"),
        (
            'def f():\n    text = f"Order {n} is lost"\n    if n:\n        text += f" by {name}"\n'
            "    log.error(text)\nf()",
            "Order {} is lost by {}",
        ),
        ('log.error(f"{n}"); log.error(f"Order {n} is lost")', "Order {} is lost"),
        ('log.error(f"{n} is lost"); log.error(f"{n} is lost in {name}")', "{} is lost in {}"),
    ],
)  # fmt: skip
def test_a_template_is_read_from_its_call(run: Run, code: str, expected: str) -> None:
    """Whichever way the program formats, the literal parts of the text are found."""
    assert expected == found(run(code)[-1])


@pytest.mark.parametrize(
    "code",
    [
        'log.error(f"{n}: {name}")',  # no word
        'log.error("Order 7 is lost")',  # no hole
        "log.error('A' if not n else 'Order is lost')",
        "log.error(name)",
        "def f(text):\n    log.error(text)\nf('Order 7 is lost')",
        'text = f"Order {n} is lost"\ndef f(\n    text,\n):\n    log.error(text)\nf("No order")',
        'def g():\n    text = f"Order {n}"\ndef f():\n    log.error(text)\ntext = "Order 7"\nf()',
        'log.error(f"Order {n} is lost".upper())',
        'log.error(("Order {} is lost" + name).format(n))',
        'log.error(*[f"Order {n} is lost"])',
        'log.error("".join(["Order", " is lost"]))',
        'error = log.error\nprint if error \\\n (f"Order {n} is lost") else n',
        'log.error(f"Order {n} is lost \\N{EN DASH}")',
        'log.error("{".format(n) if not n else f"Order {n}" "".replace("O", "o"))',
    ],
)
def test_where_no_template_fits_the_text_is_masked(run: Run, code: str) -> None:
    """Nothing is guessed, and nothing is raised."""
    (record,) = run(code)
    assert found(record) is None
    assert fingerprint(record).startswith(TEXT)


def test_texts_of_one_call_are_one_problem(run: Run) -> None:
    """Names, which no mask can know, do not tell them apart; templates and loggers do."""
    records = run("""
        for who in ("jo", "al", "ann-marie of sales"):
            log.error(f"User {who} is blocked")
        log.error(f"User {n} is gone")
        """)
    keys = [fingerprint(each) for each in records]
    assert ([keys[0]] * 3, True) == (keys[:3], keys[3] != keys[0])
    records[0].name = "bank"
    assert fingerprint(records[0]) != keys[0]
    assert all(key.startswith(TEMPLATE) for key in keys)


def test_texts_of_another_call_are_known_by_their_line(run: Run) -> None:
    """The same text can be of two templates, also where it is recognised without its key."""
    one, two = run('log.error(f"User {name} is gone")\nlog.error(f"User jo is {\'gone\'!s:}")')
    assert call_key(one) != call_key(two)
    assert fingerprint(one) != fingerprint(two)


def test_a_text_given_as_an_argument_is_not_known_by_its_call(run: Run, drive) -> None:
    """Each call of `log.error("%s", text)` has the same template, but not the same problem."""
    driven = drive()
    program = """
        for who in ("jo", "al"):
            log.error("%s", f"User {who} is gone")
        for text in ("The disk is full", "User jo is gone"):
            log.error("%s", text)
        """
    for each in run(program):
        driven.log.handle(each)
    driven.settle()
    assert ["User jo is gone", "The disk is full", "User jo is gone"] == driven.titles


THINGS = ("order", "cart", "till", "user", "disk")
STATES = ("lost", "gone", "full", "late", "open", "shut", "sold", "seen", "sent", "held")
MESSAGES = [f"{thing} {state}" for thing in THINGS for state in STATES]


@pytest.mark.parametrize(
    "program",
    [
        "def report(msg):\n    log.error(msg)",
        'def report(msg):\n    log.error(f"Report: {msg}")',
        'def report(msg):\n    log.error("Report: {}".format(msg.strip()))',
        'def report(reason):\n    log.error("Report: %s!" % reason)',
        "def report(msg):\n    log.error(msg, stacklevel=2)",
        "def report(msg):\n    log.error(msg.upper())",
        'msg = f"{n}er {n}"\ndef report(msg):\n    log.error(msg)',
    ],
)
def test_messages_through_a_helper_are_problems_of_their_own(run: Run, program: str) -> None:
    """Fifty texts are fifty problems, whatever stands between the program and the logger."""
    records = run(f"{program}\nfor each in messages:\n    report(each)", messages=MESSAGES)
    assert len(MESSAGES) == len({fingerprint(each) for each in records})


def test_a_helper_with_stacklevel_has_the_templates_of_its_callers(run: Run) -> None:
    """Any callee counts."""
    records = run("""
        def report(text):
            log.error(text, stacklevel=2)
        for who in ("jo", "al"):
            report(f"User {who} is blocked")
            report(f"User {who} is gone")
        """)
    keys = [fingerprint(each) for each in records]
    assert (keys[:2], 2) == (keys[2:], len(set(keys)))


def test_an_error_in_the_text_tells_problems_apart(run: Run) -> None:
    """By its masked first line; a free text can be endless, so its call site is a group."""
    records = run("""
        for who, e in (
            ("jo", OSError(28, "No space left")), ("al", OSError(28, "No space left")),
            ("jo", OSError(13, "Permission denied")), ("jo", ValueError("row 7\\nof 9")),
            ("jo", ValueError("row 8\\nof 10")),
        ):
            log.error(f"User {who}: sync failed: {e} ({who})")
        """)
    keys = [fingerprint(each) for each in records]
    assert (keys[0], keys[3], 3) == (keys[1], keys[4], len(set(keys)))
    group = group_key(records[0], keys[0])
    assert group
    assert group.group.startswith(CALL_SITE)


@pytest.mark.parametrize(
    ("hole", "expected"),
    [
        *[("e", True), ("exc", True), ("str(err)", True), ("self.last_error", True)],
        *[("e if e else ''", True), ("n if n else ''", False), ("e or 'no'", True)],
        *[("type(e).__name__", True), ("e.args[0]", True), ("resp.reason", True)],
        *[("body['message']", True), ("body.get('detail')", True), ("msg.strip()", True)],
        *[("len(errors)", False), ("message.author.name", False), ("message['id']", False)],
        *[("self.error_message(n)", True), ("stderr", True), ("response.text", True)],
        *[("r.json()", True), ("api_resp.status_code", True), ("row.text", False)],
        *[("order.status", False), ("n.r.text", False), ("r.url", False)],
        *[("order", False), ("errors", False), ("me", False), ("body['id']", False)],
    ],
)
def test_a_hole_is_named_like_an_error(tmp_path: Path, hole: str, expected: bool) -> None:
    """The error itself, what is part of it, and messages, but not what a message is of."""
    path = tmp_path / "program.py"
    path.write_text(f'log.error(f"It failed: {{{hole}}}")\n', encoding="utf-8")
    match = match_template(str(path), 1, "It failed: so")
    assert ("It failed: \0", ["so"] if expected else []) == match


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        *[("f(str(e))", True), ('f(f"{exc}")', True), ("f(self.error)", True)],
        *[("f(msg)", False), ("f(e, n)", False), ("f(n, reason=e)", False), ("f(n)", False)],
    ],
)
def test_an_error_alone_is_one(tmp_path: Path, call: str, expected: bool) -> None:
    """A message alone can be anything, and so can one of several arguments."""
    path = tmp_path / "program.py"
    path.write_text(call, encoding="utf-8")
    assert ((source.ERROR_ALONE, ["so"]) if expected else None) == match_template(
        str(path), 1, "so"
    )


def test_the_status_of_an_answer_tells_problems_apart(run: Run) -> None:
    """As it does in a text without a source; what it answers otherwise is masked."""
    records = run("""
        for resp in answers:
            log.error(f"API failed: {resp.status_code} {resp.text}")
        """, answers=[SimpleNamespace(status_code=code, text=text) for code, text in (
            (503, "order 5"), (503, "order 7"), (404, "order 5"),
        )])  # fmt: skip
    first, again, other = map(fingerprint, records)
    assert first == again != other


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        *[('f("It failed: {}".format(e))', True), ('f("It failed: {0}".format(n, e))', False)],
        *[('f("It failed: {0.reason_phrase}".format(n))', True), ('f("It failed: {e}", n)', True)],
        *[
            ('f("It failed: {n[msg]}".format(n=n))', True),
            ('f("It failed: {n}".format(n=e))', True),
        ],
        *[('f("It failed: %s" % e)', True), ('f("It failed: %(error)s" % n)', True)],
        *[('f("It failed: %*d" % (e, n))', False), ('f("It failed: %s", e, n)', True)],
        *[('f("It failed: " + str(e))', True), ('f("It failed: " + n)', False)],
    ],
)
def test_each_style_names_its_holes(tmp_path: Path, call: str, expected: bool) -> None:
    """By what fills them: a position, a keyword, an attribute or a key."""
    path = tmp_path / "program.py"
    path.write_text(call, encoding="utf-8")
    match = match_template(str(path), 1, "It failed: so")
    assert match
    assert (["so"] if expected else []) == match[1]


def test_what_a_queue_handler_merged_has_its_raw_template(run: Run) -> None:
    """The listener's process counts as the one that logged."""
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = logging.handlers.QueueHandler(waiting)
    program = """
        for who in ("jo", "al"):
            log.error("User %s is blocked", who)
            try:
                raise KeyError(who)
            except KeyError:
                log.exception("Order of %s lost", who)
        """
    direct = run(program)
    keys = [fingerprint(each) for each in direct]
    for each in run(program, filename=direct[0].pathname):
        handler.handle(each)
    queued = [waiting.get() for _ in direct]
    assert keys[::2] == [fingerprint(each) for each in queued[::2]]
    assert 2 == len({fingerprint(each) for each in queued})


def test_loguru_s_template_is_found(run: Run) -> None:
    """Its records reach logging with the text alone, and the place of the call."""
    from loguru import logger

    logger.remove()
    records = run('logger.error("User {} is blocked", n)', logger=logger)
    assert not records

    def forward(message: object) -> None:
        record = message.record  # type: ignore[attr-defined]
        place = record["file"].path, record["line"]
        forwarded.append(logging.LogRecord("shop", 40, *place, record["message"], None, None))

    forwarded: list[logging.LogRecord] = []
    logger.add(forward, format="{message}")
    run('logger.error("User {} is blocked", n)', logger=logger)
    logger.remove()
    assert ["User {} is blocked"] == [found(each) for each in forwarded]


def test_a_t_string_has_its_own_template() -> None:
    """By its strings, with the errors in it."""

    def message(name: str, error: object) -> object:
        if sys.version_info >= (3, 14):
            return eval("t'User {name} is blocked: {error}'", {"name": name, "error": error})
        fields = [("name", name), ("error", error)]
        holes = tuple(SimpleNamespace(expression=each, value=value) for each, value in fields)
        return SimpleNamespace(strings=("User ", " is blocked: ", ""), interpolations=holes)

    def record(msg: object) -> logging.LogRecord:
        return logging.LogRecord("shop", logging.ERROR, "", 0, msg, None, None)

    texts = [("jo", ValueError("row 7")), ("al", ValueError("row 8")), ("jo", ValueError("odd"))]
    keys = [fingerprint(record(message(*each))) for each in texts]
    assert (keys[0], 2) == (keys[1], len(set(keys)))
    odd = [SimpleNamespace(strings=("", ": "), interpolations=()), SimpleNamespace(strings=7), 7]
    assert [None] * 3 == [t_string(each) for each in odd]


def caught(function: Callable[[], object]) -> logging.LogRecord:
    """Return the record of what ``function`` raises."""
    try:
        function()
    except Exception as exc:
        info = (type(exc), exc, exc.__traceback__)
        return logging.LogRecord("shop", logging.ERROR, "", 0, "It failed", None, info)
    raise AssertionError


def test_exceptions_of_one_raise_are_one_problem() -> None:
    """Its literal parts count, whichever way the text is made, not what the holes held."""

    def direct(who: str) -> None:
        raise ValueError(f"user {who} is blocked")

    def assigned(who: str) -> None:
        text = "user {} is blocked".format(who)  # noqa: UP032
        raise LookupError(text)

    def key(who: str) -> None:
        raise KeyError(
            "user " + who + " is blocked",
        )

    def chained(who: str) -> None:
        try:
            direct(who)
        except ValueError as e:
            raise OSError(f"no order of {who}: {e}") from e

    def grouped(who: str) -> None:
        try:
            direct(who)
        except ValueError as e:
            raise ExceptionGroup("Some", [e]) from None

    ways = (direct, assigned, key, grouped)
    for way in ways:
        records = [caught(lambda who=who, way=way: way(who)) for who in ("jo", "al", "a 'b")]
        assert 1 == len({fingerprint(each) for each in records})
    errors = [caught(lambda who=who: chained(who)) for who in ("jo", "al")]
    assert 2 == len({fingerprint(each) for each in errors})  # the error in it is free text


def test_a_raise_with_an_error_needs_no_word() -> None:
    """Its place is known: of ``in {peer}: {e}`` the error counts, and not the peer."""

    def fail(peer: str, e: str) -> None:
        raise OSError(f"in {peer}: {e}")

    peers = (("al", "no route"), ("<class 'int'>", "no route"), ("two words", "refused"))
    keys = [fingerprint(caught(lambda each=each: fail(*each))) for each in peers]
    assert keys[0] == keys[1] != keys[2]


def test_a_key_that_is_no_text_has_no_template() -> None:
    """Its own text can be anything, and fail."""

    class OddKey:
        def __repr__(self) -> str:
            raise RuntimeError

    def fail(key: object) -> None:
        raise KeyError(key)

    keys = [fingerprint(caught(lambda key=key: fail(key))) for key in (OddKey(), 7, 8)]
    assert (keys[1], 2) == (keys[2], len(set(keys)))


def test_raises_of_one_helper_stay_apart() -> None:
    """A helper that is given its text has no template."""

    def fail(msg: str) -> None:
        raise ValueError(msg)

    records = [caught(lambda each=each: fail(each)) for each in MESSAGES]
    assert len(MESSAGES) == len({fingerprint(each) for each in records})


def test_the_innermost_raise_counts() -> None:
    """Not one that passes an exception on, and no line that a library's C code failed in."""

    def fail() -> None:
        raise ValueError

    def again() -> None:
        try:
            fail()
        except ValueError as exc:
            raise exc

    sites = [raise_site(caught(each).exc_info[2]) for each in (again, fail, lambda: {}["x"])]  # type: ignore[index]
    lines = fail.__code__.co_firstlineno + 1
    assert [(__file__, lines), (__file__, lines), (None, None)] == sites


def test_an_error_logged_with_its_exception_counts_once(run: Run) -> None:
    """What the exception says by its template is not free text in the message."""
    records = run("""
        def fail(who):
            raise ValueError(f"user {who} is blocked")
        for who in ("jo", "al"):
            try:
                fail(who)
            except ValueError as e:
                log.exception(f"It failed: {e}")
        """)
    assert 1 == len({fingerprint(each) for each in records})


# Faults: each leaves the masked text as it was without a source.


def record_at(
    pathname: object, lineno: object = 1, text: str = "Order 7 is lost"
) -> logging.LogRecord:
    """Return a record as a socket brings it."""
    fields = {"name": "shop", "levelno": 40, "msg": text, "pathname": pathname, "lineno": lineno}
    return logging.makeLogRecord(fields)


CALL = 'log.error(f"Order {n} is lost")\n'


@pytest.mark.parametrize(
    ("pathname", "lineno"),
    [
        *[("", 1), ("/nowhere/program.py", 1), ("a\0b", 1), ("\ud800", 1), ("<string>", 1)],
        *[(7, 1), ([], 1), (None, 1), (__file__, None), (__file__, "7"), (__file__, 0)],
        *[(__file__, -7), (__file__, 10**9), (str(Path(__file__).parent), 1), ("/dev/zero", 1)],
        ("/proc/kmsg", 1),
    ],
)
def test_a_place_without_source_has_no_template(pathname: object, lineno: object) -> None:
    """Records can come from anywhere and hold anything."""
    record = record_at(pathname, lineno)
    assert fingerprint(record_at("", 0)) == fingerprint(record)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    """To open one would wait for its writer."""
    os.mkfifo(tmp_path / "program.py")
    assert match_template(str(tmp_path / "program.py"), 1, "Order 7 is lost") is None


@pytest.mark.parametrize(
    "content",
    [
        CALL.encode() + b"#" * 50_000_000,
        b"# -*- coding: nonsense -*-\n" + CALL.encode(),
        b"\xff\xfe\n" + CALL.encode(),
        b"\0\n" + CALL.encode(),
        b"log.error(\x00)\n" + CALL.encode(),
    ],
    ids=["50 MB", "unknown encoding", "not UTF-8", "binary", "a null in the call"],
)
def test_a_file_that_is_no_source_has_no_template(
    tmp_path: Path, clock: Callable[[], float], content: bytes
) -> None:
    """Neither raises, and none is read for long."""
    path = tmp_path / "program.py"
    path.write_bytes(content)
    started = clock()
    assert [None, None] == [
        match_template(str(path), line, "x") and match_template(str(path), line, "Order 7 is lost")
        for line in (1, 2)
    ]
    assert clock() - started < 0.05


def test_another_encoding_is_read(tmp_path: Path) -> None:
    """As Python itself reads it."""
    path = tmp_path / "program.py"
    path.write_bytes('# coding: latin-1\nlog.error(f"Größe {n} fehlt")\n'.encode("latin-1"))
    assert ("Größe \0 fehlt", []) == match_template(str(path), 2, "Größe 7 fehlt")


def test_a_file_that_changed_does_not_count(run: Run) -> None:
    """A line that now has another call does not fit."""
    (record,) = run(CALL)
    Path(record.pathname).write_text('log.error(f"User {n} is blocked")\n', encoding="utf-8")
    assert found(record) is None


def test_a_call_site_is_read_once(run: Run) -> None:
    """Also one without a template; what the file says later does not count."""
    one, two = run(CALL + "log.error(name)\n")
    before = found(one), found(two)
    Path(one.pathname).write_text(f"\n{CALL}", encoding="utf-8")
    two.msg = "Order 7 is lost"
    assert ("Order {} is lost", None) == before == (found(one), found(two))


MODULE = f"def fail(log, n):\n    {CALL}"


def test_a_module_in_a_zip_file_has_templates(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a zipapp's are: its loader has the source."""
    with zipfile.ZipFile(tmp_path / "app.pyz", "w") as app:
        app.writestr("zipped_shop.py", MODULE)
    monkeypatch.syspath_prepend(str(tmp_path / "app.pyz"))
    module = importlib.import_module("zipped_shop")
    (record,) = run("fail(log, n)", fail=module.fail)
    assert "Order {} is lost" == found(record)
    del sys.modules["zipped_shop"]
    source._templates.cache_clear()
    assert found(record) is None  # in another process


def test_a_module_without_source_has_no_template(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that ships as .pyc alone."""
    path = tmp_path / "bare_shop.py"
    path.write_text(MODULE, encoding="utf-8")
    py_compile.compile(str(path), str(path.with_suffix(".pyc")))
    path.unlink()
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("bare_shop")
    (record,) = run("fail(log, n)", fail=module.fail)
    del sys.modules["bare_shop"]
    assert (str(path), None) == (record.pathname, found(record))


def test_code_without_a_file_has_templates_where_linecache_has_its_source(run: Run) -> None:
    """As a cell of IPython has; what is merely executed has none."""
    cell = "<ipython-input-1-7>"
    lazy = "<lazy>"
    linecache.cache[cell] = (len(CALL), None, CALL.splitlines(keepends=True), cell)
    linecache.cache[lazy] = (lambda: CALL,)  # type: ignore[assignment]
    try:
        templates = [found(each) for name in (cell, "<string>", lazy) for each in run(CALL, name)]
    finally:
        del linecache.cache[cell], linecache.cache[lazy]
    assert ["Order {} is lost", None, None] == templates


def test_no_warning_reaches_stderr(tmp_path: Path) -> None:
    """Python warns of some texts when it parses them: those are refused."""
    lines = [
        *['f("\\d %s" % n)', 'f(f"\\{n} is lost")', 'f(b"\\N", "Order %s" % n)', 'f("\\400", 0)'],
        *["f(1if n else 2)", "f(0x1for n in ())", "f(1_0and n)", "f(1.or n)", 'f("x" is n)'],
        *['f("x"())', "f(n[1, 2](3))", "f([](1))", "f(0777)", "f(assert (1, 2))"],
    ]
    path = tmp_path / "program.py"
    path.write_text("\n".join(lines), encoding="utf-8")
    program = f"""
from pushover_logging.identity.source import match_template
for line in range(1, {len(lines) + 1}):
    match_template({str(path)!r}, line, "x")
"""
    command = [sys.executable, "-W", "always", "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ("", "") == (ended.stdout, ended.stderr)


@pytest.mark.parametrize(
    "line",
    [
        "f" * 8000 + "(" * 8000,
        "f(" * 4000,
        "f(" * 90 + ")" * 90,
        "f('" + ")" * 8000,
        "f(" + "-" * 8000 + "1)",
        "f(" + "'a'+" * 2000 + "n)",
        "f(" + "n." * 4000 + "n)",
        "f(" + "[" * 150 + "'a'" + "]" * 150 + ")",
        "f('" + "%s" * 4000 + "' % n)",
        "f('" + "{}" * 4000 + "'.format(n))",
        "f(" + "'a' if n else " * 500 + "'b')",
        "f(" + "+".join(["('abc' if n else f'd{n}')"] * 300) + ")",
        "f(text)\n" * 400,
        "\\" * 8000 + "f(" + "\\" * 7000 + "d)",
        "f(" + "1" * 8000 + "if n)",
        "f(" + "1." * 4000 + ")",
        "f('%" + "0" * 8000 + "' % n)",
        "f('" + "%(" * 4000 + "' % n)",
    ],
)
def test_no_source_makes_it_slow(tmp_path: Path, clock: Callable[[], float], line: str) -> None:
    """A call site costs 50 ms of work at most, and raises nothing."""
    path = tmp_path / "program.py"
    above = "".join(f"text = f(n{number}({' ' * 6000}\n" for number in range(300))
    path.write_text(above + line + "\n" + line, encoding="utf-8")
    started = clock()
    match_template(str(path), 301, "abc")
    assert clock() - started < 0.05


@pytest.mark.parametrize(
    ("literals", "text", "expected"),
    [
        (("a", "b"), "ab", ("",)),
        (("a", "a"), "a", None),
        (("a", "b", "c"), "abbc", ("", "b")),
        (("a", "bc", "c"), "abc", None),
        (("", "b", ""), "xbyb", ("x", "yb")),
        (("a", "b", "c", "d"), "acbd", None),
        (("a",), "a", ()),
        (("a",), "aa", None),
    ],
)
def test_literals_fit_in_order(
    literals: tuple[str, ...], text: str, expected: tuple[str, ...] | None
) -> None:
    """The first is at the start, the last at the end, and none overlaps another."""
    match = source._Template(None, literals, [True] * (len(literals) - 1)).match(text)
    assert expected == (match and tuple(match[1]))


def test_a_long_text_fits_in_linear_time(clock: Callable[[], float]) -> None:
    """However often its literals could fit."""
    template = source._Template(None, ["a", *["ab"] * 50, "c"], [False] * 51)
    started = clock()
    assert template.match("ab" * 1_000_000) is None
    assert clock() - started < 0.05
