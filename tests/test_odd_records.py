"""Records of any shape are reported, and what is mistyped about one is said."""

import logging
import os
import pickle
import sys
from collections import OrderedDict, UserDict, defaultdict
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from conftest import drop

from pushover_logging import ConfigurationError, PushoverHandler
from pushover_logging.identity import tracebacks

TOKEN = "azGDORePK8gMaC0QOYAMyEEuzJnyUi"
USER = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"


def record(**changes):
    made = logging.LogRecord("shop", logging.ERROR, "/srv/shop.py", 7, "disk is full", (), None)
    made.__dict__.update(changes)
    return made


def without(*names):
    made = record()
    for name in names:
        del made.__dict__[name]
    return made


class Slotted(logging.LogRecord):
    """Has what it needs in slots."""

    __slots__ = ("created", "levelno", "msg", "name", "order")


class AllSlots:
    """No LogRecord, and no dictionary."""

    __slots__ = (*record().__dict__, "order")

    def __init__(self):
        for name, value in record(order=17).__dict__.items():
            setattr(self, name, value)

    def getMessage(self):  # noqa: N802  logging's name
        return str(self.msg) % self.args if self.args else str(self.msg)


class Mapped(dict):
    """A record that is a dict, whose keys are its attributes."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def getMessage(self):  # noqa: N802  logging's name
        return str(self.msg)


class Slow(logging.LogRecord):
    """Computes an attribute when it is asked for."""

    @property
    def msg(self):
        return "disk is full"

    @msg.setter
    def msg(self, value):
        pass


class Missing(dict):
    """Has a value for each key."""

    def __missing__(self, key):
        return "?"


class AnyText:
    """An object as the message."""

    def __str__(self):
        return "disk is full"


def slotted():
    made = Slotted("shop", logging.ERROR, "/srv/shop.py", 7, "disk is full", (), None)
    made.order = 17
    return made


RECORDS = {
    "no level": without("levelno", "levelname"),
    "no level number": without("levelno"),
    "no name": without("name"),
    "no time": without("created", "msecs"),
    "no place": without("pathname", "filename", "module", "lineno", "funcName"),
    "no args": without("args"),
    "no exception": without("exc_info", "exc_text", "stack_info"),
    "nothing but a text": without(*(record().__dict__.keys() - {"msg"})),
    "level as text": record(levelno="40"),
    "level by name": record(levelno="ERROR"),
    "level as none": record(levelno=None),
    "level as float": record(levelno=40.0),
    "name as none": record(name=None),
    "slots": slotted(),
    "all slots": AllSlots(),
    "dict subclass": Mapped(record(order=17).__dict__),
    "a property": Slow("shop", logging.ERROR, "/srv/shop.py", 7, "", (), None),
    "message of a class": record(msg=AnyText()),
    "args of a dict subclass": record(msg="disk is %(how)s", args=OrderedDict(how="full")),
    "args of a mapping": record(msg="disk is %(how)s", args=UserDict(how="full")),
    "args with a default": record(msg="disk is %(how)s", args=defaultdict(str, how="full")),
    "nothing to show": record(exc_info=(None, None, None)),
    "true to show": record(exc_info=True),
    "an exception alone": record(exc_info=ValueError("disk is full")),
    "pickled": pickle.loads(pickle.dumps(record())),
}


@pytest.mark.parametrize("throttle", [None, False])
@pytest.mark.parametrize("kind", RECORDS)
def test_record_of_any_shape_is_reported(drive, capsys, kind, throttle):
    """One push with its text; nothing fails, and the record is as it was."""
    driven = drive(throttle=throttle)
    driven.handler.handle(RECORDS[kind])
    driven.settle()
    stats = driven.handler.stats()
    assert (1, 1, 0) == (stats.records, stats.sent, stats.failed), capsys.readouterr().err
    assert "disk is full" in driven.titles[0]
    assert "" == capsys.readouterr().err


@pytest.mark.parametrize("message", [
    OrderedDict(event="disk is full"), defaultdict(str, event="disk is full"),
    Missing(event="disk is full"), UserDict(event="disk is full"),
])  # fmt: skip
def test_structured_message_of_any_mapping_is_reported(drive, message):
    """A mapping as the message is its fields, of whichever class."""
    driven = drive()
    driven.log.error(message)
    driven.settle()
    assert "disk is full" in f"{driven.titles[0]} {driven.inbox.messages[0]['message']}"


if sys.version_info >= (3, 14):
    from string.templatelib import Interpolation, Template
else:

    class Template(tuple):
        """Stands for the class of Python 3.14."""

        __slots__ = ()
        __module__ = "string.templatelib"

        def __new__(cls, *parts):
            return super().__new__(cls, parts)

        @property
        def strings(self):
            return tuple(part for part in self if isinstance(part, str))

        @property
        def interpolations(self):
            return tuple(part for part in self if not isinstance(part, str))

    class Interpolation(NamedTuple):
        """The same."""

        value: Any
        expression: str
        conversion: str | None
        format_spec: str


def field(value, conversion=None, spec=""):
    return Interpolation(value, "value", conversion, spec)


@pytest.mark.parametrize("formatter", [None, logging.Formatter("%(levelname)s %(message)s")])
def test_t_string_is_reported_as_its_text(drive, formatter):
    """As the f-string would be, without its secrets, also by a formatter of the program's own."""
    driven = drive()
    driven.handler.setFormatter(formatter)
    driven.log.error(Template("login of ", field("Ann", "r"), " with password=", field("hunter2")))
    driven.log.error("retry in %s s", Template("", field(2.5, None, ".2f")))
    driven.log.error(Template("disk ", field("full", "s", ".2f")))
    driven.settle()
    assert ["login of 'Ann' with password=***", "retry in 2.50 s", "disk full"] == driven.titles
    assert "hunter2" not in str(driven.inbox.messages)


def test_t_strings_are_grouped_by_their_strings(drive):
    """One push for a template, whatever stands in it; the next template is another."""
    driven = drive()
    for number in range(3):
        driven.log.error(Template("order ", field(f"A{number}"), " is lost"))
        driven.log.error(Template("order ", field(f"A{number}"), " is late"))
    driven.settle()
    assert ["order A0 is lost", "order A0 is late"] == driven.titles


def test_traceback_of_code_without_a_spec_is_reported(drive):
    """As a notebook or a template engine makes it: since Python 3.15, linecache warns of that."""
    loader = SimpleNamespace(get_source=lambda _: "1 / 0\n")
    driven = drive()
    try:
        exec(compile("1 / 0\n", "<cell>", "exec"), {"__name__": "cell", "__loader__": loader})
    except ZeroDivisionError:
        driven.log.exception("no total")
    driven.settle()
    assert ["ZeroDivisionError: division by zero"] == driven.titles
    assert 0 == driven.handler.stats().failed


def test_slots_of_a_record_are_kept(drive):
    """An extra that stands in a slot is shown as any other."""
    driven = drive(extras=["order"])
    driven.handler.handle(RECORDS["slots"])
    driven.settle()
    assert "order: 17" in driven.inbox.messages[0]["message"]


def test_call_without_an_exception_to_show(drive):
    """`exc_info=True` outside of an except block, and `logger.exception`: the text alone."""
    driven = drive()
    driven.log.error("disk is full", exc_info=True)
    driven.log.exception("net is down")
    driven.settle()
    assert ["disk is full", "net is down"] == driven.titles
    assert "NoneType" not in " ".join(push["message"] for push in driven.inbox.messages)


@pytest.mark.parametrize("key", ["Priority", "fingerprnt", "finger_print", 7, "throtle"])
def test_unknown_key_of_a_record_is_warned_of_once(drive, caplog, key):
    """It is most likely a typo: the alert is sent, and the library's logger names the key."""
    driven = drive(throttle=False)
    for _ in range(3):
        driven.log.error("disk is full", extra={"pushover": {key: 1, "sound": "siren"}})
    driven.settle()
    warnings = [text for text in caplog.messages if str(key) in text]
    assert 1 == len(warnings), caplog.messages
    assert "sound" in warnings[0]  # it says what there is
    assert ["siren"] * 3 == [push["sound"] for push in driven.inbox.messages]


def test_known_keys_of_a_record_are_not_warned_of(drive, caplog):
    """The throttle's own and the Message's."""
    driven = drive()
    extra = {"fingerprint": "db", "throttle": False, "priority": 1, "url": "https://shop.example"}
    driven.log.error("disk is full", extra={"pushover": extra})
    driven.log.error("disk is fine", extra={"pushover": {"resolves": "db"}})
    driven.settle()
    assert [] == caplog.messages


@pytest.mark.parametrize("value", ["siren", ["siren"], None, 7])
def test_pushover_extra_that_is_no_mapping_is_warned_of(drive, caplog, value):
    """It says nothing that could be meant, unless it is None."""
    driven = drive()
    driven.log.error("disk is full", extra={"pushover": value})
    driven.log.error("net is down", extra={"pushover": value})
    driven.settle()
    assert ["disk is full", "net is down"] == driven.titles
    assert (value is not None) == len(caplog.messages)


def test_true_is_the_throttle_of_the_defaults(drive):
    """As the README's table says: not a window of one second."""
    driven = drive(throttle=True)
    for seconds in (0, 2, 297):
        driven.advance(seconds)
        driven.log.error("disk is full")
    driven.advance(0)
    assert ["disk is full"] == driven.titles
    assert 2 == driven.handler.stats().suppressed


@pytest.mark.skipif(os.name == "nt", reason="Windows deletes no folder that is in use")
@pytest.mark.parametrize("outbox", ["outbox.sqlite", "deep/er/outbox.sqlite"])
def test_relative_outbox_in_a_deleted_folder_is_refused(tmp_path, monkeypatch, outbox):
    """At construction, by an error that names the option."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigurationError, match=r"^outbox: ") as caught:
        PushoverHandler(token=TOKEN, user=USER, outbox=outbox)
    assert "outbox" == caught.value.option
    made = PushoverHandler(token=TOKEN, user=USER, outbox=tmp_path / "outbox.sqlite")
    assert not made.stats().pending
    drop(made)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no outbox in a file")
def test_relative_outbox_stays_where_it_was(tmp_path, monkeypatch, inbox):
    """A daemon changes its folder once it is configured; what it forks finds the same file."""
    monkeypatch.chdir(tmp_path)
    made = PushoverHandler(token=TOKEN, user=USER, api_url=inbox.url, outbox="outbox.sqlite")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    drop(made)
    made.after_fork()
    assert tmp_path / "outbox.sqlite" == made._pipeline.outbox.file.path
    drop(made)


@pytest.mark.process
@pytest.mark.parametrize("path", ["'d' * 300 + '/outbox.sqlite'", "'/'.join(['d' * 100] * 8)",
                                  "'/'.join(['d' * 100] * 50)"])  # fmt: skip
def test_path_that_is_too_long_is_said(program, inbox, path):
    """For the system, or for SQLite alone, which takes 512 bytes: memory takes over."""
    code, _, err = program.run(
        f"""
        import gc, logging
        from pushover_logging import ConfigurationError, PushoverHandler
        try:
            handler = PushoverHandler(outbox={path})
        except ConfigurationError as error:
            assert str(error).startswith("outbox: "), error
            print("refused")
            handler = PushoverHandler()
        logging.getLogger().addHandler(handler)
        logging.error("boom happened")
        handler.flush()
        gc.collect()
        """
    )
    assert 0 == code
    assert "Exception ignored" not in err
    assert "Traceback" not in err
    assert ["boom happened"] == [push["title"] for push in inbox.messages]


@pytest.mark.process
@pytest.mark.parametrize("kind", ["thread", "program"])
def test_notebook_that_installs_again_tells_an_exception_once(program, inbox, kind):
    """Its shell puts a hook of its own before ours, so that ours is not the first any more."""
    fail = {
        "thread": "t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()",
        "program": "1 / 0",
    }
    code, _, err = program.run(
        f"""
        import sys, threading
        import pushover_logging
        for _ in range(3):
            pushover_logging.install(throttle=False)
            ours, ours_of_threads = sys.excepthook, threading.excepthook
            sys.excepthook = lambda *args, ours=ours: ours(*args)
            threading.excepthook = lambda args, ours=ours_of_threads: ours(args)
        {fail[kind]}
        """
    )
    assert (kind == "program") == code
    assert 1 == err.count("\nZeroDivisionError")
    assert ["ZeroDivisionError: division by zero"] == [push["title"] for push in inbox.messages]


@pytest.mark.process
def test_notebook_that_takes_the_hook_away_gets_it_back(program, inbox):
    """The shell's own hook replaced ours: installed again, exceptions are reported once more."""
    code, _, _ = program.run(
        """
        import sys, threading
        import pushover_logging
        before, before_of_threads = sys.excepthook, threading.excepthook
        pushover_logging.install(throttle=False)
        sys.excepthook, threading.excepthook = before, before_of_threads
        pushover_logging.install(throttle=False)
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        [][1]
        """
    )
    assert 1 == code
    assert ["ZeroDivisionError: division by zero", "IndexError: list index out of range"] == [
        push["title"] for push in inbox.messages
    ]


def test_fault_of_what_only_helps_costs_no_record(monkeypatch, handler_for, inbox):
    """The line of a frame that cannot be read, and a call whose tally is gone."""

    def fail(*_):
        raise ImportError

    monkeypatch.setattr(tracebacks, "linecache", SimpleNamespace(cache={}, getline=fail))
    handler = handler_for()
    handler._pipeline.dedup.remember(record(), "a key that is forgotten")
    try:
        raise ValueError("no price")
    except ValueError as error:
        handler.handle(record(exc_info=(ValueError, error, error.__traceback__)))
    assert "no price" in inbox.wait_for(1)[0]["title"]
