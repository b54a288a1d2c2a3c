"""The table of records whose golden files stand in tests/golden: each with a name of its own."""

import contextlib
import datetime as dt
import decimal
import enum
import io
import json
import linecache
import logging
import subprocess
import sys
import traceback
import types
import uuid

SHOP = """\
import json


class CardDeclined(Exception):
    pass


def charge(order, amount):
    if amount > 100:
        raise CardDeclined(f"card of order {order} was declined")
    return amount / order["rate"]


def connect(host):
    raise ConnectionRefusedError(111, "Connection refused")


def query(host):
    return connect(host)


def save(order):
    try:
        query("db-7")
    except OSError as error:
        raise RuntimeError(f"order {order} was not saved") from error


def checkout(order):
    try:
        save(order)
    except RuntimeError:
        raise LookupError("basket is gone")


def hidden():
    try:
        query("db-7")
    except OSError:
        raise ValueError("the shop is closed") from None


def parse(text):
    return json.loads(text)


def dive(depth):
    if depth:
        return dive(depth - 1)
    raise RecursionError("maximum recursion depth exceeded")


def step(number, exc):
    if number == 0:
        raise exc
    return step_again(number, exc)


def step_again(number, exc):
    return step(number - 1, exc)


def throw(exc):
    raise exc


def chain(length):
    try:
        if length:
            chain(length - 1)
        else:
            raise ConnectionResetError(104, "Connection reset by peer")
    except Exception as error:
        raise RuntimeError(f"attempt {length} failed") from error


def sync():
    try:
        query("db-7")
    except OSError:
        query_replica()


def query_replica():
    raise TimeoutError("replica db-8:5432 does not answer")
"""
FILE = "/srv/shop/payments/api.py"


def _shop():
    module = types.ModuleType("payments.api")
    linecache.cache[FILE] = (len(SHOP), None, SHOP.splitlines(keepends=True), FILE)
    exec(compile(SHOP, FILE, "exec"), module.__dict__)
    return module


shop = _shop()


class Colour(enum.Enum):
    """Shown by its value."""

    RED = "red"


class Level(enum.IntEnum):
    """A number as well."""

    HIGH = 3


class Model:
    """What an ORM has: a repr with everything in it."""

    def __repr__(self):
        return "<Customer password='hunter2'>"

    __str__ = __repr__


class Nasty:
    """Any touch of it raises."""

    def __getattribute__(self, name):
        raise ZeroDivisionError

    def __repr__(self):
        raise ZeroDivisionError

    __str__ = __repr__


class Silent(Exception):
    """Raises where it is asked what it says."""

    def __str__(self):
        raise ZeroDivisionError


class Request:
    """What a web framework puts into a record's extra."""

    method = "POST"
    path = "/checkout/"

    def __init__(self):
        self.GET = {"token": "s3cr3t"}
        self.META = {"QUERY_STRING": "token=s3cr3t", "HTTP_COOKIE": "session=s3cr3t"}

    def __repr__(self):
        return "<Request: POST '/checkout/?token=s3cr3t'>"


def raised(function, *args):
    """Return what a call raises, with the traceback of that call alone."""
    try:
        function(*args)
    except BaseException as error:
        error.__traceback__ = error.__traceback__.tb_next
        return error


def deep(depth):
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 500)
    try:
        return raised(shop.dive, depth)
    finally:
        sys.setrecursionlimit(limit)


def noted(exc, *notes):
    exc.__notes__ = list(notes)
    return exc


def group(*members):
    return raised(shop.throw, ExceptionGroup("unhandled errors in a TaskGroup", list(members)))


def record(msg="Order A-1042 failed", *args, level=logging.ERROR, exc=None, stack=None, **extra):
    info = (type(exc), exc, exc.__traceback__) if exc else None
    made = logging.LogRecord("payments", level, FILE, 21, msg, args, info, "save", stack)
    made.created = 1_790_000_000.0
    made.__dict__.update(extra)
    return made


def queued(made):
    """Return it as a QueueListener gets it: its traceback is text, at the end of its message."""
    copied = logging.makeLogRecord(made.__dict__)
    text = logging.Formatter().format(copied)
    copied.__dict__.update(msg=text, message=text, args=None)
    copied.__dict__.update(exc_info=None, exc_text=None, stack_info=None)
    return copied


def sent(made):
    """Return it as a SocketHandler's server gets it: its traceback is in exc_text."""
    copied = logging.makeLogRecord(made.__dict__)
    logging.Formatter().format(copied)
    copied.exc_info = None
    return copied


STACK = f"""Stack (most recent call last):
  File "/srv/shop/app.py", line 12, in <module>
    main()
  File "/srv/shop/app.py", line 8, in main
    checkout(basket)
  File "{FILE}", line 21, in save
    log.error("Order failed", stack_info=True)"""

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
WRITINGS = {
    "arabic": "فشل الاتصال بقاعدة البيانات db-7",
    "hebrew": "החיבור למסד הנתונים db-7 נכשל",
    "chinese": "无法连接数据库 db-7",
    "korean": "데이터베이스 db-7에 연결할 수 없습니다",
    "emoji": f"Deploy failed {FAMILY} \U0001f1eb\U0001f1f7 \U0001f44d\U0001f3fd",
    "combining": "Zu\u0308rich cafe\u0301 \u0915\u094d\u0937\u093f",
    "nul": "before\x00after\x07",
    "surrogate": "broken \ud83d half",
}


def levels():
    for level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        yield f"level-{level.lower()}", record("Disk is full", level=getattr(logging, level))
    yield "level-custom", record("Disk is full", level=35)


def texts():
    yield "text-args", record("Cannot connect to %s:%d", "db-7", 5432)
    yield "text-mapping-args", record("%(what)s is at %(share)d %%", {"what": "/var", "share": 97})
    name = "db-7"
    yield "text-fstring", record(f"Cannot connect to {name}")
    yield "text-dict", record({"event": "payment failed", "order": 5, "tags": ["eu", "card"]})
    yield "text-dict-secret", record({"event": "login", "password": "hunter2", "model": Model()})
    yield "text-empty", record("")
    yield "text-blank", record(" \n ")
    yield "text-lines", record("Backup failed\n  disk-1: full\n  disk-2: full\n")
    yield "text-exception", record(raised(shop.charge, {}, 5))
    yield "text-colours", record("\x1b[31mDisk is full\x1b[0m")
    yield "text-markup", record('<b>bold</b> & <a href="https://evil.example">click</a>')
    yield "text-secrets", record("postgres://shop:hunter2@db-7/shop: password=hunter3 token='abc'")
    yield "text-title-long", record("Cannot " + "really " * 60 + "connect")
    yield "text-megabyte", record("x" * 500_000 + " " + "<" * 500_000, order=5)
    yield "text-megabyte-words", record("Nobody reads all of this. " * 40_000)
    for writing, text in WRITINGS.items():
        yield f"writing-{writing}", record(text)
        if writing in {"arabic", "chinese", "emoji"}:
            yield f"writing-{writing}-long", record(f"{text} " * 200)


def exceptions():
    plain = raised(shop.charge, {"rate": 0}, 5)
    yield "exc-plain", record(exc=plain)
    yield "exc-own-type", record(exc=raised(shop.charge, 7, 500))
    yield "exc-chained", record(exc=raised(shop.save, 5))
    yield "exc-implicit", record(exc=raised(shop.checkout, 5))
    yield "exc-suppressed", record(exc=raised(shop.hidden))
    yield "exc-in-library", record(exc=ValueError("never raised"))
    yield "exc-message-is-its-text", record("the shop is closed", exc=raised(shop.hidden))
    yield "exc-deep", record(exc=raised(shop.step, 15, KeyError("rate")))
    yield "exc-recursive", record(exc=deep(1000))
    broken = SyntaxError("invalid syntax", ("/srv/shop/config/prod.py", 3, 7, "x = = 5\n"))
    yield "exc-syntax", record("Cannot load the configuration", exc=raised(shop.throw, broken))
    notes = noted(ValueError("bad thing"), "order 5 of 7", "only on Mondays\nand Tuesdays")
    yield "exc-notes", record(exc=raised(shop.throw, notes))
    yield "exc-empty", record(exc=raised(shop.throw, ValueError()))
    yield (
        "exc-lines",
        record(
            exc=raised(
                shop.throw, ValueError("2 faults in Order\namount\n  is missing\nrate\n  is 0")
            )
        ),
    )
    yield "exc-long", record(exc=raised(shop.throw, ValueError("very " * 200 + "long")))
    yield "exc-markup", record(exc=raised(shop.throw, ValueError("<b>& 'quoted' \"twice\"</b>")))
    yield "exc-silent", record(exc=raised(shop.throw, Silent()))
    yield "exc-no-message", record("", exc=plain)
    yield "exc-chain-of-30", record(exc=raised(shop.chain, 30))
    yield "exc-critical", record("Cannot start", level=logging.CRITICAL, exc=plain)


def groups():
    plain = raised(shop.charge, {"rate": 0}, 5)
    yield "exc-group", record(exc=group(plain, raised(shop.save, 5)))
    yield "exc-group-of-one", record(exc=group(plain))
    inner = ExceptionGroup("inner", [raised(shop.query, "db-7"), KeyError("rate")])
    yield "exc-group-nested", record(exc=group(inner, raised(shop.hidden)))
    yield "exc-text-group", queued(record(exc=group(plain, raised(shop.save, 5))))


def as_text():
    yield "exc-text-queue", queued(record(exc=raised(shop.save, 5)))
    yield "exc-text-socket", sent(record(exc=raised(shop.checkout, 5)))
    yield "exc-text-foreign", record(exc_text="java.lang.Boom: no\n\tat Shop.main(Shop.java:5)")
    yield "stack", record("Who called this?", stack=STACK)
    yield "stack-text-queue", queued(record("Who called this?", stack=STACK))
    yield "stack-exc", record(exc=raised(shop.hidden), stack=STACK)


class RemoteTraceback(Exception):
    """What pools of processes put in front of a worker's exception: its traceback as text."""


def written(exc):
    return "".join(traceback.format_exception(exc))


def remote():
    exc = raised(shop.throw, ValueError("order 5 has no price"))
    exc.__cause__ = RemoteTraceback(f'\n"""\n{written(raised(shop.charge, {"rate": 0}, 5))}"""')
    return exc


def command():
    arguments = [f"/srv/data/file-{number}" for number in range(40)]
    return subprocess.CalledProcessError(2, ["rsync", *arguments], stderr=b"a\nno space left\n")


def found():
    plain = raised(shop.charge, {"rate": 0}, 5)
    yield "found-argument", record("Job %s failed: %s", "sync", plain)
    yield "found-argument-empty", record("Sync failed: %s", TimeoutError())
    yield "found-argument-traceback", record("Job failed: %s", written(plain))
    behind = "".join(f"web-1  | {line}" for line in written(plain).splitlines(keepends=True))
    yield "found-behind-a-name", record(f"A container died:\n{behind}")
    yield "found-in-mapping", record({"order": 5, "event": "paid twice", "exc_info": plain})
    event = {"level": "error", "order": 5, "event": "paid twice", "exception": written(plain)}
    yield "found-in-json", record(json.dumps(event))
    yield "found-in-another-process", record(exc=raised(shop.throw, remote()))
    yield "found-none", record(exc_text="NoneType: None")
    yield "handled-context", record(exc=raised(shop.sync))
    yield "handled-context-text", queued(record(exc=raised(shop.sync)))
    heading = "1 validation error for Order\namount\n  Field required [type=missing, input={}]"
    heading += "\n    For further information visit https://errors.pydantic.dev/2/v/missing"
    yield "exc-heading", record(exc=raised(shop.throw, ValueError(heading)))
    yield "exc-command", record(exc=raised(shop.throw, command()))
    yield "misfit", record("Payment failed for order", 1042, exc=plain)
    yield "misfit-secret", record("%(order)d failed", {"password": "hunter2"})


def extras():
    when = dt.datetime(2026, 11, 24, 14, 5, tzinfo=dt.UTC)
    yield "extra-plain", record(
        order=5, rate=0.25, paid=False, coupon=None, customer="Zoë", when=when, day=when.date(),
        at=when.time(), took=dt.timedelta(seconds=5), colour=Colour.RED, high=Level.HIGH,
        key=uuid.UUID(int=5), sum=decimal.Decimal("9.90"),
    )  # fmt: skip
    yield "extra-containers", record(
        tags=["eu", "card"], pair=(1, 2), one={3}, order={"id": 5, "lines": [{"sku": "A"}]},
        many=list(range(1000)), deep={"a": {"b": {"c": {"d": 5}}}}, empty=[], none={},
    )  # fmt: skip
    yield "extra-objects", record(
        user=Model(), nasty=Nasty(), file=io.StringIO("x"), function=raised, kind=Model, data=b"x",
        mixed={"id": 5, "user": Model()}, models=[Model()], error=ValueError("x"), order=5,
        infinite=float("inf"), huge=10**5000,
    )  # fmt: skip
    yield "extra-secrets", record(
        password="hunter2", api_key="abc", token="xyz", db={"host": "db-7", "passwd": "hunter2"},
        dsn="postgres://shop:hunter2@db-7/shop", order=5,
    )  # fmt: skip
    yield "extra-request", record(
        "Internal Server Error: %s", "/checkout/", request=Request(), status_code=500,
        exc=raised(shop.charge, {"rate": 0}, 5),
    )  # fmt: skip
    yield "extra-request-text", record(request="GET /?token=s3cr3t HTTP/1.1", status_code=500)
    yield "extra-celery", record(
        "Task shop.charge[6f1c] raised unexpected: KeyError('rate')",
        data={"id": "6f1c", "name": "shop.charge", "args": "('4242 4242',)",
              "kwargs": "{'card': '4242'}", "traceback": "...", "hostname": "celery@web-1"},
    )  # fmt: skip
    yield "extra-lines", record(sql="SELECT *\n  FROM orders\n WHERE id = 5")
    yield "extra-many", record(**{f"field_{number}": "value " * 12 for number in range(30)})
    yield (
        "extra-many-exc",
        record(exc=raised(shop.save, 5), **{f"field_{number}": number for number in range(10)}),
    )
    yield "extra-markup", record(order="<b>5</b>", page="a&b")


def django():
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIRequest

    if not settings.configured:
        settings.configure()
    body = b"card=4242"
    environ = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/checkout/", "QUERY_STRING": "token=s3cr3t",
        "HTTP_COOKIE": "sessionid=s3cr3t", "HTTP_AUTHORIZATION": "Bearer s3cr3t",
        "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)),
    }  # fmt: skip
    error = raised(shop.charge, {"rate": 0}, 5)
    yield "extra-wsgi-request", record(
        "%s: %s", "Internal Server Error", "/checkout/", exc=error, status_code=500,
        request=WSGIRequest(environ),
    )  # fmt: skip


def table():
    """Return the records by name; without those of packages that are missing."""
    makers = [levels, texts, exceptions, groups, as_text, found, extras]
    records = {name: made for maker in makers for name, made in maker()}
    with contextlib.suppress(ImportError):
        records.update(django())
    return records
