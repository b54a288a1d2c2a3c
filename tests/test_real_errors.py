"""What a phone shows of errors that real libraries raise, and which of them are one problem."""

import asyncio
import base64
import concurrent.futures
import json
import linecache
import logging
import logging.config
import multiprocessing
import subprocess
import sys
import traceback
import urllib.request

import pytest
import requests
import urllib3

from pushover_logging import PushoverFormatter
from pushover_logging.identity.fingerprint import ROOT_CAUSE, fingerprint, group_key

FORMATTER = PushoverFormatter(host="web-1")
SPAWN = multiprocessing.get_context("spawn")  # a fork would copy the threads of other libraries


def record(msg="Job failed", *args, exc=None, **extra):
    info = (type(exc), exc, exc.__traceback__) if exc else None
    made = logging.LogRecord("shop", logging.ERROR, "/srv/shop/job.py", 21, msg, args, info, "save")
    made.__dict__.update(extra)
    return made


def caught(function, *args):
    """Return what a call raises."""
    try:
        function(*args)
    except BaseException as exc:
        return exc
    raise AssertionError


def shown(made):
    """Return the title and the lines of a record's push."""
    message = FORMATTER.message(made)
    return message.title, message.message.splitlines()


def as_text(made):
    """Return the text that logging writes of a record."""
    return logging.Formatter().format(made)


def cause(made):
    """Return the key of a record's root cause, None without."""
    found = group_key(made, fingerprint(made))
    return found.group if found and found.group.startswith(ROOT_CAUSE) else None


def price_of(order):
    raise ValueError(f"no price for {order}")


def rate_of(order):
    raise ValueError(f"no price for {order}")


def stock_of(order):
    raise KeyError(order)


def text_of(function, *args):
    """Return the traceback of what a call raises, as text."""
    return "".join(traceback.format_exception(caught(function, *args)))


# -- among the arguments


def test_exception_among_the_arguments_is_shown_as_exc_info():
    """Title, place and frames are its own, also if it is a value of a mapping or the message."""
    exc = caught(price_of, 5)
    expected = shown(record("Job failed: no price for 5", exc=exc))
    assert "ValueError: no price for 5" == expected[0]
    assert expected == shown(record("Job failed: %s", exc))
    assert expected == shown(record("Job failed: %(error)s", {"error": exc}))
    assert shown(record("no price for 5", exc=exc)) == shown(record(exc))


def test_exceptions_among_the_arguments_are_told_apart():
    """By type, words and place, as those of exc_info; each exception counts, numbers do not."""
    job = "Job failed: %s"
    raised = [caught(price_of, 5), caught(rate_of, 5), caught(stock_of, 5), TimeoutError()]
    keys = [fingerprint(record(job, exc)) for exc in (*raised, caught(price_of, 6))]
    assert (keys[0], 4) == (keys[4], len(set(keys)))
    both = "Jobs failed: %s, %s"
    pairs = [(raised[0], raised[2]), (raised[0], raised[3]), (raised[0], caught(stock_of, 5))]
    keys = [fingerprint(record(both, *pair)) for pair in pairs]
    assert (keys[0], 2) == (keys[2], len(set(keys)))


def test_exceptions_of_one_template_get_a_push_each(drive):
    """The template of a call that is known already does not hide another exception behind it."""
    driven = drive()
    for exc in (ValueError("no price"), ValueError("no price"), KeyError("stock"), None):
        driven.log.error("Job failed: %s", exc)
    driven.settle()
    titles = ["ValueError: no price", "KeyError: 'stock'", "Job failed: None"]
    assert titles == driven.titles


def test_exception_without_a_text_is_named_by_its_type():
    """Among the arguments: in the message, which is the title."""
    assert "Sync failed: TimeoutError" == shown(record("Sync failed: %s", TimeoutError()))[0]
    made = record("Sync failed: %(e)s", {"e": TimeoutError()})
    assert "Sync failed: TimeoutError" == shown(made)[0]
    title, lines = shown(record("Sync failed: %r", TimeoutError()))
    assert ("TimeoutError", "Sync failed: TimeoutError()") == (title, lines[0])


# -- tracebacks as text

WRITTEN = {
    "an argument": lambda text: record("Job failed: %s", text),
    "after a prefix": lambda text: record(f"Job failed: {text}"),
    "on its own lines": lambda text: record(f"Job failed:\n{text}"),
    "indented": lambda text: record("Job failed:\n" + "".join(
        f"    {line}" for line in text.splitlines(keepends=True))),
    "behind a container's name": lambda text: record("Job failed:\n" + "".join(
        f"web-1  | {line}" for line in text.splitlines(keepends=True))),
    "behind a time": lambda text: record("Job failed:\n" + "".join(
        f"12:00:0{n % 10} | {line}" for n, line in enumerate(text.splitlines(keepends=True)))),
    "coloured": lambda text: record(f"Job failed:\n\x1b[31m{text}\x1b[0m"),
    "its repr": lambda text: record("Job failed: " + repr(text)[1:-1]),
    "with a blank margin": lambda text: record("Job failed:\n  " + text.rstrip().replace(
        "\n", "\n  ") + "\n\n  and more"),
    "after a prefix, then indented": lambda text: record(
        "Job failed: " + text.replace("\n", "\n    ")),
    "between other lines": lambda text: record("Job failed:\n" + "".join(
        f"web-1  | {line}" for line in text.splitlines(keepends=True)) + "web-1 exited"),
    "an object's text": lambda text: record("Job failed: %s", Written(text)),
}  # fmt: skip


class Written:
    """Holds a traceback, as Celery's ExceptionInfo does."""

    def __init__(self, text):
        self._text = text

    def __str__(self):
        return self._text


@pytest.mark.parametrize("way", WRITTEN)
def test_traceback_as_text_reads_as_the_exception(way):
    """Wherever it stands: the error is the title, its own place is under the message."""
    title, lines = shown(WRITTEN[way](text_of(price_of, 5)))
    assert "ValueError: no price for 5" == title
    assert ["Job failed:", "price_of, "] == [lines[0], lines[1][:10]]
    assert not [line for line in lines if "Traceback" in line or 'File "' in line]


@pytest.mark.parametrize("way", [way for way in WRITTEN if way != "an object's text"])
def test_tracebacks_as_text_are_told_apart(way):
    """By type, words and place; the numbers in their texts do not count."""
    raised = [(price_of, 5), (rate_of, 5), (stock_of, 5), (price_of, 6)]
    keys = [fingerprint(WRITTEN[way](text_of(*each))) for each in raised]
    assert (keys[0], 3) == (keys[3], len(set(keys)))


def test_traceback_of_an_object_counts_if_the_template_says_nothing():
    """An object among the arguments can be anything, also a header without an error."""
    keys = [fingerprint(record("%s", Written(text_of(each, 5)))) for each in (price_of, stock_of)]
    bare = fingerprint(record("%s", Written("Traceback (most recent call last):\n")))
    assert 3 == len({*keys, bare})


def test_stack_in_a_message_is_no_exception():
    """Its text is not part of the key."""
    stack = 'Stack (most recent call last):\n  File "/srv/a.py", line {}, in save\n    log()'
    made = [record(f"Who called?\n{stack.format(number)}") for number in (3, 4)]
    assert 1 == len({*map(fingerprint, made), fingerprint(record("Who called?"))})
    assert "Who called?" == shown(made[0])[0]


# -- other processes


def in_pool(function):
    with SPAWN.Pool(1) as pool:
        return caught(pool.map, function, [5])


def in_executor(function):
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=SPAWN) as executor:
        return caught(executor.submit(function, 5).result)


def in_joblib(function):
    joblib = pytest.importorskip("joblib")
    return caught(lambda: joblib.Parallel(n_jobs=2)([joblib.delayed(function)(5)]))


def in_celery(function):
    einfo = pytest.importorskip("billiard.einfo")

    def rebuilt():
        try:
            function(5)
        except Exception as exc:
            made = einfo.ExceptionWithTraceback(exc, traceback.format_exc())
        exc = made.exc.with_traceback(None)
        rebuild, (_, text) = made.__reduce__()
        raise rebuild(exc, text)

    return caught(rebuilt)


@pytest.mark.process
@pytest.mark.parametrize("pool", [in_pool, in_executor, in_joblib, in_celery])
def test_failures_of_another_process_are_their_own(pool):
    """The root is the error in the worker with its place there; each failure is a problem."""
    raised = [pool(function) for function in (price_of, rate_of, stock_of)]
    for made in (record(exc=raised[0]), record(as_text(record(exc=raised[0])))):
        title, lines = shown(made)
        assert ("ValueError: no price for 5", "Job failed") == (title, lines[0])
        assert lines[1].startswith("price_of, ")
        assert "RemoteTraceback" not in "\n".join(lines)
    for way in (lambda exc: record(exc=exc), lambda exc: record(as_text(record(exc=exc)))):
        assert 3 == len({fingerprint(way(exc)) for exc in raised})
        assert {None} == {cause(way(exc)) for exc in raised}


def test_builtin_that_fails_in_another_process_has_the_callers_place():
    """No frame of the pool is the program's own: the line that waits for the result is."""
    with SPAWN.Pool(1) as pool:
        _, lines = shown(record(exc=caught(pool.apply, int, ("a",))))
    assert lines[1].startswith("caught, tests/test_real_errors.py:")


def fails_with(error):
    try:
        raise error
    except type(error) as exc:
        raise RuntimeError("sync failed") from exc


def test_words_of_the_root_tell_problems_apart():
    """The same wrapper of two failures is two problems, of the same one with other values one."""
    texts = ("no space on disk 1", "no space on disk 2", "disk 1 is read-only")
    errors = [caught(fails_with, ConnectionError(text)) for text in texts]
    first, again, other = (fingerprint(record(exc=exc)) for exc in errors)
    assert first == again != other


def test_type_that_says_nothing_is_named_with_its_module():
    """A bare `Error` is anything's; the text of a traceback reads the same."""
    exc = caught(base64.b64decode, "abc")
    text = "".join(traceback.format_exception(exc))
    assert ["binascii.Error: Incorrect padding"] * 2 == [
        shown(record(exc=exc))[0],
        shown(record(exc_text=text))[0],
    ]


def test_validation_error_of_fastapi_names_the_field_first():
    """And not the number of errors."""
    exceptions = pytest.importorskip("fastapi.exceptions", reason="FastAPI comes with `test`")
    errors = [{"type": "missing", "loc": ("response", "price"), "msg": "Field required"}]
    title, _ = shown(record(exc=exceptions.ResponseValidationError(errors)))
    assert title.startswith("ResponseValidationError: response.price: Field required (1 valid")


def test_exception_that_carries_only_a_traceback_is_that_exception():
    """As Celery's ExceptionWithTraceback, where it is the logged exception itself."""
    einfo = pytest.importorskip("billiard.einfo")
    made = record(exc=einfo.ExceptionWithTraceback(KeyError(5), text_of(stock_of, 5)))
    title, lines = shown(made)
    assert ("KeyError: 5", "stock_of, ") == (title, lines[1][:10])


def test_traceback_inside_an_exceptions_text_is_its_root():
    """A worker that reports its child's failure; as an object, and as text."""

    class WorkerDied(Exception):
        pass

    def fail(function):
        raise WorkerDied(f"worker 7 died\n{text_of(function, 5)}")

    exc = caught(fail, price_of)
    for made in (record(exc=exc), record(as_text(record(exc=exc)))):
        title, lines = shown(made)
        assert ("ValueError: no price for 5", "price_of, ") == (title, lines[1][:10])
        assert "WorkerDied: worker 7 died" in [line.rpartition(">.")[2] for line in lines]
    assert 2 == len({fingerprint(record(exc=caught(fail, each))) for each in (price_of, rate_of)})


# -- handled contexts


def fails_too():
    raise OSError("replica db-2:5432 is down")


def falls_back():
    try:
        raise KeyError("primary")
    except KeyError:
        fails_too()


def breaks_in_the_block():
    try:
        raise KeyError("primary")
    except KeyError:
        {}["fallback"]


def says_more():
    try:
        raise KeyError("primary")
    except KeyError:
        raise LookupError("no database")  # noqa: B904 - as most programs do


def falls_back_and_logs():
    """Return what arises below the frame that handles the first exception."""
    try:
        raise KeyError("primary")
    except KeyError:
        return caught(fails_too)


@pytest.mark.parametrize("fail", [falls_back, falls_back_and_logs])
@pytest.mark.parametrize("way", [lambda made: made, lambda made: record(as_text(made))])
def test_failing_fallback_is_its_own_root(fail, way):
    """Its line is the title, its place is the place; what was being handled stands below."""
    exc = falls_back_and_logs() if fail is falls_back_and_logs else caught(fail)
    title, lines = shown(way(record(exc=exc)))
    assert ("OSError: replica db-2:5432 is down", "fails_too, ") == (title, lines[1][:11])
    assert "While handling KeyError: 'primary'" in lines
    alone = record(exc=caught(fails_too))
    assert cause(way(alone)) == cause(way(record(exc=exc)))


@pytest.mark.parametrize("way", [lambda made: made, lambda made: record(as_text(made))])
def test_raise_in_the_except_block_is_a_chain(way):
    """The first exception is the root; an error of the block itself is not raised there."""
    title, lines = shown(way(record(exc=caught(says_more))))
    assert ("KeyError: 'primary'", True) == (title, "LookupError: no database" in lines)
    title, lines = shown(way(record(exc=caught(breaks_in_the_block))))
    assert ("KeyError: 'fallback'", True) == (title, "While handling KeyError: 'primary'" in lines)


# -- accidents inside a library, and cancellations


def in_library(source, *args):
    """Return what a function ``fail`` of an installed package raises, by its source."""
    filename = f"/v/site-packages/{hash(source)}.py"
    linecache.cache[filename] = (1, None, source.splitlines(keepends=True), filename)
    names = {"__name__": "library"}
    exec(compile(source, filename, "exec"), names)
    return caught(names["fail"], *args)


def price_by_name(name):
    return {}[name]


TRANSLATED = """
def fail(convert):
    try:
        convert("price")
    except (KeyError, ValueError) as exc:
        raise ValueError("no field of the form") from exc
"""
SAYS_SO = """
def parse(text):
    raise ValueError("no number")
""" + TRANSLATED.replace("convert(", "parse(")


def lasts_too_long():
    async def wait():
        async with asyncio.timeout(0):
            await asyncio.sleep(5)

    asyncio.run(wait())


@pytest.mark.parametrize("way", [lambda made: made, lambda made: record(as_text(made))])
def test_accident_inside_a_library_is_no_root(way):
    """What the library says of it is; a text that the library wrote itself still is the root."""
    handlers = logging.config.DictConfigurator({"version": 1, "handlers": {}}).add_handlers
    title, lines = shown(way(record(exc=caught(handlers, logging.Logger("shop"), ["mail"]))))
    assert "ValueError: Unable to add handler 'mail'" == title
    assert "While handling KeyError: 'mail'" in lines
    assert "ValueError: no number" == shown(way(record(exc=in_library(SAYS_SO, ""))))[0]


@pytest.mark.parametrize("way", [lambda made: made, lambda made: record(as_text(made))])
def test_accident_of_the_programs_own_is_the_root(way):
    """Also where no frame is the program's own, because it is installed like a library."""
    called = in_library(TRANSLATED, price_by_name)
    installed = in_library(TRANSLATED, {}.__getitem__)
    installed.__traceback__ = installed.__traceback__.tb_next  # without the frame of this file
    for exc in (called, installed):
        assert "KeyError: 'price'" == shown(way(record(exc=exc)))[0]


@pytest.mark.parametrize("way", [lambda made: made, lambda made: record(as_text(made))])
def test_cancellation_is_no_root(way):
    """What resulted from it is."""
    assert "TimeoutError" == shown(way(record(exc=caught(lasts_too_long))))[0]


def test_root_of_a_chain_as_text_tells_problems_apart():
    """One wrapper of two failures is two problems, of one failure with other values one."""
    errors = [caught(fails_with, ValueError(text)) for text in ("no disk 1", "no disk 2", "late")]
    first, again, other = (fingerprint(record(as_text(record(exc=exc)))) for exc in errors)
    assert first == again != other
    cut = "The above exception was the direct cause of the following exception:\n\nValueError: 5"
    assert fingerprint(record(exc_text=cut))


def test_place_in_generated_code_is_not_the_programs():
    """Its name can differ with each process."""
    code = compile("def render(): int('x')\nrender()", "memory:0x7f57b2195850", "exec")
    _, lines = shown(record(exc=caught(exec, code)))
    assert lines[1].startswith("caught, tests/test_real_errors.py:")


# -- headings and noise


def test_name_of_a_type_is_not_shown_twice():
    """Not as a library's text begins: elasticsearch, botocore, kafka-python and duckdb, as seen."""
    named = {
        "NotFoundError": "NotFoundError(404, 'no such index')",
        "NoSuchKey": "An error occurred (NoSuchKey) when calling GetObject: no such key",
        "KafkaTimeoutError": "KafkaTimeoutError: no broker",
        "CatalogException": "Catalog Error: no table nope",
        "HTTPError": "HTTP Error 503: Service Unavailable",
    }
    titles = [shown(record(exc=type(name, (Exception,), {})(named[name])))[0] for name in named]
    assert [
        "NotFoundError: (404, 'no such index')",
        "NoSuchKey: when calling GetObject: no such key",
        "KafkaTimeoutError: no broker",
        "CatalogException: no table nope",
        "HTTPError: HTTP Error 503: Service Unavailable",
    ] == titles


def refuse(response):
    raise RuntimeError(f"Payment API error: {response.text}")


def refuse_alone(response):
    raise RuntimeError(response.text)


def answer(text):
    response = requests.Response()
    response._content = text.encode()
    return response


ANSWERS = {
    '{"error":"no stock","trace":"9f86d081"}': "no stock",
    '{"error":"no stock","trace":"abcdef12"}': "no stock",
    '{"error":"no rate","trace":"9f86d081"}': "no rate",
    "<html>\r\n<head><title>502 Bad Gateway</title>": "502 Bad Gateway",
    "<html>\r\n<head><title>504 Gateway Time-out</title>": "504 Gateway Time-out",
}


def test_answer_of_a_service_tells_problems_apart():
    """It is an error wherever a program quotes it; its words are the title, all of it is below."""
    for fail, before in ((refuse, "Payment API error: "), (refuse_alone, "")):
        errors = {text: caught(fail, answer(text)) for text in ANSWERS}
        for text, exc in errors.items():
            title, lines = shown(record(exc=exc))
            assert f"RuntimeError: {before}{ANSWERS[text]}" == title
            assert text[:1] == "<" or f"  {before}{text}" in lines
        keys = [fingerprint(record(exc=exc)) for exc in errors.values()]
        assert (keys[0], 4) == (keys[1], len(set(keys)))


def complain(*said):
    raise ValueError(*said)


def logged(way, exc):
    """Return the record of a real call that formats an exception itself."""
    seen = []
    log = logging.Logger("shop")
    log.addFilter(seen.append)
    match way:
        case "text":
            log.error(str(exc))
        case "quoted":
            log.error(f"Job failed: {exc}")
        case "repr":
            log.error(f"Job failed: {exc!r}")
        case "itself":
            log.error(exc)
        case "exc_info":
            log.error("Job failed", exc_info=exc)
    return seen[0]


@pytest.mark.parametrize("way", ["text", "quoted", "repr", "itself", "exc_info"])
def test_errors_of_one_line_are_told_apart_however_they_are_logged(way):
    """Each row is two reports of one problem; values, lines of a source, and lists vary."""
    rows = [
        (("refund failed", 5), ("refund failed", 77)),
        (("charge failed", 5), ("charge failed", 77)),
        ("no column\nLINE 1: select a\n        ^", "no column\nLINE 1: select 1, a\n       ^"),
        ("2 faults:\nprice is missing", "2 faults:\nprice is missing\nname is missing"),
        ("2 faults:\nname is missing", "2 faults:\nname is missing\n"),
        ("<html>\n<title>502 Bad Gateway</title>", "<html>\n<title>502 Bad Gateway</title><p>5"),
        ("<html>\n<title>504 Gateway Time-out", "<html>\n<title>504 Gateway Time-out</title>"),
    ]
    said = [[text if isinstance(text, tuple) else (text,) for text in row] for row in rows]
    keys = [{fingerprint(logged(way, caught(complain, *text))) for text in row} for row in said]
    assert [1] * len(rows) == list(map(len, keys))
    assert len(rows) == len(set.union(*keys))


def test_complaints_of_a_form_are_told_apart():
    """Django's, as marshmallow's: the field and what is wrong with it."""
    exceptions = pytest.importorskip("django.core.exceptions", reason="Django comes with `test`")
    texts = ("Enter a whole number.", "This field is required.")
    errors = [caught(lambda t=text: throw(exceptions.ValidationError({"price": [t]})))
              for text in texts]  # fmt: skip
    assert "ValidationError: price: Enter a whole number." == shown(record(exc=errors[0]))[0]
    assert 2 == len({fingerprint(record(exc=exc)) for exc in errors})


def test_exception_without_a_text_says_what_it_was_given():
    """In its title and its key: the exception that it wraps."""
    errors = [caught(complain, each) for each in (TimeoutError(), AssertionError())]
    assert "ValueError: TimeoutError" == shown(record(exc=errors[0]))[0]
    assert 2 == len({fingerprint(record(exc=exc)) for exc in errors})


def test_validation_error_names_the_field_first():
    """pydantic: field and complaint in the first forty characters; links are left out."""
    pydantic = pytest.importorskip("pydantic")
    order = pydantic.create_model("Order", amount=(int, ...), name=(str, ...))
    missing, wrong = caught(lambda: order(name="x")), caught(lambda: order(amount="x", name="x"))
    title, lines = shown(record(exc=missing))
    assert "ValidationError: amount: Field required (1 validation error for Order)" == title
    assert not [line for line in lines if "For further information" in line]
    assert title == shown(record(as_text(record(exc=missing))))[0]
    assert shown(record(exc=wrong))[0].startswith("ValidationError: amount: Input should be a")
    for way in (lambda exc: record(exc=exc), lambda exc: record(as_text(record(exc=exc)))):
        assert 2 == len({fingerprint(way(exc)) for exc in (missing, wrong)})
        assert 2 == len({cause(way(exc)) for exc in (missing, wrong)})


def test_grpc_error_is_its_status_and_details():
    """Not the heading above them."""
    grpc = pytest.importorskip("grpc")
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        exc = caught(lambda: channel.unary_unary("/shop/Pay")(b"", timeout=5))
    made = record(exc=exc)
    for each in (made, record(as_text(made))):
        assert shown(each)[0].startswith("_InactiveRpcError: UNAVAILABLE: failed to connect")


def test_background_link_of_sqlalchemy_is_left_out():
    """The statement stays."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection:
        exc = caught(connection.execute, sqlalchemy.text("select * from nowhere"))
    engine.dispose()
    title, lines = shown(record(exc=exc))
    assert "OperationalError: no such table: nowhere" == title
    assert "  [SQL: select * from nowhere]" in lines
    assert not [line for line in lines if "Background" in line]


def test_link_of_httpx_is_left_out():
    """A page about each status."""
    httpx = pytest.importorskip("httpx")
    response = httpx.Response(404, request=httpx.Request("GET", "http://shop.example/x"))
    title, lines = shown(record(exc=caught(response.raise_for_status)))
    assert title.startswith("HTTPStatusError: Client error '404 Not Found' for url")
    assert not [line for line in lines if "developer.mozilla.org" in line]


def test_yaml_error_says_what_was_not_found():
    """Not what the parser was doing."""
    yaml = pytest.importorskip("yaml")
    title = shown(record(exc=caught(yaml.safe_load, "a: [1, 2\nb: c")))[0]
    assert "ParserError: expected ',' or ']', but got ':'" == title.partition(" (while")[0]


# -- places


def test_place_is_not_in_a_compiled_extension():
    """lxml's frames and the text that it parsed are not the program's."""
    etree = pytest.importorskip("lxml.etree")
    title, lines = shown(record(exc=caught(etree.fromstring, "<a><b></a>")))
    assert title.startswith("XMLSyntaxError: Opening and ending tag mismatch")
    assert lines[1].startswith("caught, ")


def test_place_is_not_in_generated_code():
    """Neither jinja2's templates nor what exec compiles, while there is a better frame."""
    jinja2 = pytest.importorskip("jinja2")
    lines = shown(record(exc=caught(lambda: jinja2.Template("{{ a.b.c }}").render(a=1))))[1]
    assert "test_real_errors.py" in lines[1]
    assert shown(record(exc=caught(exec, "1 / 0")))[1][1].startswith("caught, ")
    text = 'Traceback (most recent call last):\n  File "/srv/a.py", line 3, in run\n    exec(x)\n'
    text += '  File "<string>", line 1, in <module>\nValueError: x'
    assert "run, srv/a.py:3" == shown(record(exc_text=text))[1][1]


def test_session_has_its_place():
    """`python -c` and its like: no other code is the program's."""
    code = (
        "import runpy, sys; exec(sys.argv[1], {'__name__': '__main__', 'json': __import__('json')})"
    )
    assert code
    namespace = {"__name__": "__main__", "json": json}
    exc = caught(exec, compile("json.loads('{')", "<stdin>", "exec"), namespace)
    made = record(exc=exc.with_traceback(exc.__traceback__.tb_next))
    assert "<module>, <stdin>:1" == shown(made)[1][1]


def test_endless_frames_of_a_library_hide_no_own_frame():
    """Of both kinds the innermost twenty are read, and the others counted."""
    deep = "def step_0(n):\n    return step_1(n - 1) if n else 1 / 0\n"
    deep += "def step_1(n):\n    return step_0(n)\n"
    library, own = {"__name__": "lib"}, {"__name__": "shop"}
    exec(compile(deep, "/v/site-packages/lib.py", "exec"), library)
    exec(compile(deep.replace("1 / 0", "call()"), "/srv/shop/steps.py", "exec"), own)
    own["call"] = lambda: library["step_0"](30)
    title, lines = shown(record("Job failed. " * 40, exc=caught(own["step_0"], 30)))
    assert "ZeroDivisionError: division by zero" == title
    assert [line for line in lines if line.endswith(", shop/steps.py:2")]
    assert "  … 20 frames in lib" in lines


def test_own_frames_come_first_where_room_is_short():
    """Five own functions over a whole client: all five, and a line for each package."""
    httpx = pytest.importorskip("httpx")
    names = [f"step_{number}" for number in range(5)]
    source = "".join(
        f"def {name}(url):\n    return {after}(url)  # {'a long remark ' * 6}\n"
        for name, after in zip(names, [*names[1:], "get"], strict=True)
    )
    namespace = {"get": httpx.get, "__name__": "shop"}
    exec(compile(source, "/srv/shop/steps.py", "exec"), namespace)
    lines = shown(record("Job failed. " * 40, exc=caught(namespace["step_0"], free_url())))[1]
    own = [line for line in lines if ", shop/steps.py:" in line and line.startswith("  ")]
    assert [*reversed(names[:4])] == [line.strip().partition(",")[0] for line in own][-4:]
    assert [line for line in lines if line.startswith("  … ") and line.endswith(" in httpx")]
    assert not [line for line in lines if "httpx/_client.py" in line]


# -- causes and addresses


def free_url():
    """Return a URL where nothing listens."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/"


def by_aiohttp(url):
    aiohttp = pytest.importorskip("aiohttp")

    async def ask():
        async with aiohttp.ClientSession() as session:
            await session.get(url)

    asyncio.run(ask())


def by_redis(url):
    redis = pytest.importorskip("redis")
    redis.Redis.from_url(url.replace("http", "redis")).ping()


def by_httpx(url):
    pytest.importorskip("httpx").get(url)


@pytest.mark.parametrize("ask", [requests.get, by_httpx, by_aiohttp, by_redis])
def test_address_is_part_of_the_title_and_the_cause(ask):
    """One dead host is a common cause, two are two."""
    if ask is not requests.get:
        pytest.importorskip(ask.__name__.removeprefix("by_"))
    urls = [free_url(), free_url()]
    records = [record(exc=caught(ask, url)) for url in (*urls, urls[0])]
    titles = [shown(made)[0] for made in records]
    for url, title in zip(urls, titles, strict=False):
        assert url.rpartition(":")[2].strip("/") in title
        assert "127.0.0.1" in title
    causes = list(map(cause, records))
    assert (causes[0], True) == (causes[2], None not in causes)
    names_all = ask is requests.get and urllib3.__version__.startswith("1.")
    if ask in {requests.get, by_httpx} and not names_all:  # whose root's own words name nothing
        assert titles[0].endswith(f" ({urls[0][7:-1]})")
        assert 2 == len(set(causes))


def test_cause_without_an_address_is_none():
    """urllib names no host: its failures are not those of another host."""
    exc = caught(urllib.request.urlopen, free_url())
    assert shown(record(exc=exc))[0].startswith("ConnectionRefusedError: ")
    assert cause(record(exc=exc)) is None
    assert cause(record(as_text(record(exc=exc)))) is None


# -- commands


def test_command_keeps_its_exit_status():
    """A long line loses its middle; the last line of stderr is shown, and is part of the key."""

    def run(words, number=300):
        code = f"import sys; print({words!r}, file=sys.stderr); sys.exit(1)"
        arguments = [f"/srv/data/file-{n}" for n in range(number)]
        return caught(
            lambda: subprocess.run(
                [sys.executable, "-c", code, *arguments], check=True, capture_output=True
            )
        )

    title, lines = shown(record(exc=run("disk is full")))
    assert title.startswith("CalledProcessError: Command '[")
    assert title.endswith("returned non-zero exit status 1.")
    assert "  stderr: disk is full" in lines
    keys = [fingerprint(record(exc=run(words, 0))) for words in ("no disk", "no network")]
    assert 2 == len(set(keys))


# -- structured messages

EVENT = {"order": 5, "level": "error", "event": "payment failed"}


def structlog_record(**fields):
    structlog = pytest.importorskip("structlog")
    renderer = structlog.processors.JSONRenderer()
    chain = [structlog.processors.format_exc_info, structlog.processors.StackInfoRenderer()]
    event = {**EVENT, **fields}
    for processor in chain:
        event = processor(None, "error", event)
    return record(renderer(None, "error", event))


STRUCTURED = {
    "mapping with text": lambda exc: record({**EVENT, "exception": text_of(throw, exc)}),
    "mapping with exc_info": lambda exc: record({**EVENT, "exc_info": exc}),
    "mapping with a tuple": lambda exc: record(
        {**EVENT, "exc_info": (type(exc), exc, exc.__traceback__)}),
    "structlog": lambda exc: structlog_record(exc_info=exc),
    "python-json-logger": lambda exc: record(json_text(exc)),
}  # fmt: skip


def throw(exc):
    raise exc.with_traceback(exc.__traceback__)


def json_text(exc):
    from pythonjsonlogger.json import JsonFormatter

    return JsonFormatter("%(levelname)s %(message)s").format(
        record("payment failed", exc=exc, order=5)
    )


@pytest.mark.parametrize("way", STRUCTURED)
def test_structured_message_reads_as_a_plain_one(way):
    """Its event is the message, its traceback an exception, shown once; the rest are extras."""
    made = STRUCTURED[way](caught(price_of, 5))
    title, lines = shown(made)
    assert ("ValueError: no price for 5", "payment failed") == (title, lines[0])
    assert (True, 1) == ("order: 5" in lines, sum("raise ValueError" in line for line in lines))
    assert not [line for line in lines if line.startswith(("exc", "event", "message"))]
    others = [STRUCTURED[way](caught(each, 5)) for each in (stock_of, rate_of)]
    assert 3 == len({fingerprint(made), *map(fingerprint, others)})


def test_structured_message_without_an_exception():
    """The event is the title wherever it stands, and part of the key; a stack is shown."""
    stack = 'Stack (most recent call last):\n  File "/srv/a.py", line 3, in save\n    log()'
    made = record({**EVENT, "stack": stack})
    title, lines = shown(made)
    assert ("payment failed", True) == (title, "  save, srv/a.py:3: log()" in lines)
    assert 2 == len({fingerprint(made), fingerprint(record({**EVENT, "event": "no payment"}))})
    assert shown(record(json.dumps(EVENT))) == shown(record(EVENT))
    card = {"event": "refused", "exception": "the card is too old", "stack": "of cards"}
    assert "exception: the card is too old" in shown(record(card))[1]


@pytest.mark.parametrize("text", ['{"a": 1}', '{"event": ""}', "{", "{}", "[1]", '{"event": 5}'])
def test_json_without_words_is_a_text(text):
    """It is shown as it is."""
    assert text == shown(record(text))[0]


def test_exc_info_of_structlog_is_the_current_exception():
    """``exc_info=True`` in the mapping; outside of an except block it is nothing."""
    try:
        price_of(5)
    except ValueError:
        assert "ValueError: no price for 5" == shown(record({**EVENT, "exc_info": True}))[0]
    assert "payment failed" == shown(record({**EVENT, "exc_info": True}))[0]
    assert "payment failed" == shown(record({**EVENT, "exception": "NoneType: None"}))[0]


def test_trace_of_loguru_is_no_part_of_the_key():
    """Its values differ with each record; the exception is the same, as an object and as text."""
    loguru = pytest.importorskip("loguru")
    seen = []

    class Watch(logging.Handler):
        def emit(self, record):
            seen.append(record)

    def fail(order):
        return len(order) / 0

    number = loguru.logger.add(Watch(), format="{message}", backtrace=True, diagnose=True)
    for order in (["a"] * 100, ["b"]):
        with loguru.logger.catch(message="Payment failed"):
            fail(order)
    loguru.logger.remove(number)
    for ways in (seen, [record(made.getMessage()) for made in seen]):
        assert "'a', 'a'" in str(ways[0].msg)
        assert 1 == len(set(map(fingerprint, ways)))
        title, lines = shown(ways[0])
        assert ("ZeroDivisionError: division by zero", "Payment failed") == (title, lines[0])
        assert lines[1].rpartition(">.")[2].startswith("fail, ")


# -- arguments that do not fit


def test_arguments_that_do_not_fit_cost_nothing(drive, capsys):
    """Template, arguments and exception are sent, secrets in them are not, and nothing fails."""
    driven = drive(throttle=False)
    try:
        price_of(5)
    except ValueError:
        driven.log.exception("Payment failed for order", 1042)  # noqa: PLE1205
    driven.log.error("%d", "x")
    driven.log.error("%(order)s failed", {"password": "hunter2"})
    driven.log.error("Upload failed at %y", 97)
    driven.handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    driven.log.error("Payment failed for order", 1043)  # noqa: PLE1205
    driven.settle()
    assert (5, 0) == (driven.handler.stats().sent, driven.handler.stats().failed)
    first, second, third, fourth, fifth = driven.inbox.messages
    assert "ValueError: no price for 5" == first["title"]
    said = ["Payment failed for order", "1042", "(arguments do not fit the format)"]
    assert said == first["message"].splitlines()[:3]
    assert ("%d", "'x'") == (second["title"], second["message"].splitlines()[0])
    assert "password" in third["message"]
    assert "hunter2" not in third["message"]
    assert "Upload failed at %y" == fourth["title"]
    assert "Payment failed for order\n1043\n" in fifth["message"]
    assert "" == capsys.readouterr().err


def test_exc_info_without_an_exception_is_none(drive):
    """``exc_info=True`` outside of an except block, also where logging has written it down."""
    driven = drive(throttle=False)
    driven.log.error("Disk is full", exc_info=True)
    made = record("Disk is full", exc_text="NoneType: None")
    driven.log.handle(made)
    driven.log.handle(record("Disk is full\nNoneType: None"))
    driven.settle()
    assert ["Disk is full"] * 3 == driven.titles
    assert not [push for push in driven.inbox.messages if "NoneType" in push["message"]]
    assert 1 == len({fingerprint(made), fingerprint(record("Disk is full"))})


# -- one raise, endless texts


class CardDeclined(Exception):
    """An exception of the program's own, with a text that no mask fits."""


WORDS = ["amber", "bistro", "cobalt", "dynamo", "ember", "fjord", "gusto", "harbour", "indigo"]


def decline(text):
    raise CardDeclined(text)


def test_one_raise_with_endless_texts_becomes_one_problem(drive):
    """After five of them within five minutes; of another type or place it is another problem."""
    driven = drive()
    for word in WORDS:
        try:
            decline(f"{word} was declined")
        except CardDeclined:
            driven.log.exception("Payment failed")
        driven.settle()
    driven.log.error("Sync failed", exc_info=KeyError("else"))
    driven.settle()
    expected = [f"CardDeclined: {word} was declined" for word in WORDS[:5]]
    assert [*expected, "KeyError: 'else'"] == driven.titles
    driven.advance(300)
    assert ["4 more: different messages from decline"] == driven.titles[6:]
