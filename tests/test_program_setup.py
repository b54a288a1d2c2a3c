"""A set-up that is wrong is reported, once, and a program without a console keeps its stderr."""

import logging
import logging.config
import sys

import pytest
from conftest import TOKEN, USER

from pushover_logging import ConfigurationError, PushoverHandler, install, program_setup


@pytest.fixture
def program(program):
    """Its own records are on stderr."""
    program.first_line = "import logging"
    return program


ADDED = {
    "addHandler": "logging.getLogger().addHandler(PushoverHandler({}))",
    "basicConfig": "logging.basicConfig(handlers=[PushoverHandler({})])",
    "dictConfig": """logging.config.dictConfig({{
        "version": 1, "disable_existing_loggers": False,
        "handlers": {{"phone": {{"class": "pushover_logging.PushoverHandler", "level": "ERROR"}}}},
        "root": {{"handlers": ["phone"]}}}})""",
    "off": "logging.getLogger().addHandler(PushoverHandler(token='off'))",
}
PROGRAM = """
import logging, logging.config, sys
{}
log = logging.getLogger("shop")
log.info("nobody sees this")
log.warning("%s is full", "the disk")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("cannot divide")
"""


@pytest.mark.process
@pytest.mark.parametrize("way", ADDED)
def test_stderr_stays_as_python_has_it(program, way):
    """Whichever way the handler came to a root without handlers; also for what it does not take."""
    before = program.run(PROGRAM.format(""))
    added = "from pushover_logging import PushoverHandler\n" + ADDED[way].format("")
    code, out, err = program.run(PROGRAM.format(added))
    text = before[2].replace("program1.py", "program2.py").replace("line 8", "line N")
    lines = [line for line in err.splitlines() if "PUSHOVER_TOKEN is off" not in line]
    shown = [line.partition(", line ")[0] for line in lines]
    assert [line.partition(", line ")[0] for line in text.splitlines()] == shown
    assert (0, "") == (code, out)


@pytest.mark.process
def test_console_of_the_program_is_the_only_one(program):
    """One that comes later, one of a logger below, and one beside the handler: a line each."""
    code, _, err = program.run(
        """
        import logging
        from pushover_logging import PushoverHandler

        root, log = logging.getLogger(), logging.getLogger("shop")
        root.addHandler(PushoverHandler())
        log.error("first")
        console = logging.StreamHandler()
        log.addHandler(console)
        log.error("second")
        log.removeHandler(console)
        root.addHandler(console)
        log.error("third")
        """
    )
    assert (0, "first\nsecond\nthird\n") == (code, err)


def test_reading_the_level_adds_nothing(handler_for, root):
    """As Flask does before it decides whether its own logger needs a handler."""
    handlers, root.handlers = root.handlers, []
    handler = handler_for(level="ERROR")
    root.addHandler(handler)
    assert logging.ERROR == handler.level
    assert [handler] == root.handlers
    handler.setLevel("CRITICAL")
    root.error("no record of this handler's")
    assert logging.CRITICAL == handler.level
    assert [handler, program_setup._STDERR] == root.handlers
    handler.setLevel("WARNING")
    assert logging.WARNING == vars(handler)["level"]
    root.handlers = handlers


def test_program_that_wants_no_last_resort_gets_none(handler_for, root, capsys, monkeypatch):
    """`logging.lastResort = None` is Python's own way to ask for silence."""
    monkeypatch.setattr(logging, "lastResort", None)
    handlers, root.handlers = root.handlers, [handler_for()]
    root.error("silence")
    root.handlers = handlers
    assert "" == capsys.readouterr().err


def test_handler_twice_on_the_way_is_reported_once(handler_for, root, caplog):
    """The same one, and another for the same phone."""
    log = logging.getLogger("twice.orders")
    handler = handler_for()
    log.addHandler(handler)
    logging.getLogger("twice").addHandler(handler)
    for number in range(3):
        log.error("order %s failed", "abc"[number], extra={"pushover": {"fingerprint": number}})
    log.removeHandler(handler)
    second = handler_for()
    log.addHandler(second)
    log.error("payment failed")
    log.removeHandler(second)
    logging.getLogger("twice").removeHandler(handler)
    assert [
        "records of the logger twice.orders reach the same phone twice; remove a PushoverHandler "
        "from it or from a logger above it, or set its propagate to False"
    ] * 2 == [text for text in caplog.messages if "phone" in text]


@pytest.mark.parametrize("other", [{"device": "ipad"}, {"user": USER[::-1]}])
def test_two_handlers_for_two_phones_are_not_reported(handler_for, caplog, other):
    """Nobody gets a push twice."""
    log = logging.getLogger("apart")
    first, second = handler_for(device="phone"), handler_for(**{"device": "phone", **other})
    log.addHandler(first)
    log.addHandler(second)
    log.error("failed")
    log.removeHandler(first)
    log.removeHandler(second)
    assert ["failed"] == caplog.messages


def test_disabled_loggers_are_reported_once(handler_for, root, caplog):
    """By the first record of any level that reaches the handler."""
    names = [f"silent.{number}" for number in range(5)]
    lost = [logging.getLogger(name) for name in names]
    handler = handler_for(level="CRITICAL")
    root.addHandler(handler)
    for logger in lost:
        logger.disabled = True
    apart = logging.getLogger("silent.4")
    apart.propagate = False
    logging.getLogger("loud").warning("one")
    logging.getLogger("loud").warning("two")
    for logger in lost:
        logger.disabled = False
    apart.propagate = True
    (text,) = [text for text in caplog.messages if "silent" in text]
    assert text == (
        "the records of disabled loggers are lost: silent.0, silent.1, silent.2 and 1 more; "
        "set disable_existing_loggers to False in dictConfig or fileConfig"
    )


@pytest.mark.process
def test_basic_config_that_does_nothing_is_reported(program):
    """After the handler; not before it, not with force, and not beside another handler."""
    code, _, err = program.run(
        """
        import logging
        from pushover_logging import PushoverHandler

        root = logging.getLogger()
        logging.basicConfig(format="shown: %(message)s")
        root.handlers = [PushoverHandler()]
        logging.basicConfig(level="INFO")
        logging.basicConfig(format="shown: %(message)s", force=True)
        root.addHandler(PushoverHandler())
        logging.basicConfig()
        root.error("failed")
        """
    )
    problem = "basicConfig did nothing, because root has a PushoverHandler"
    warning = f"{problem}; call it before you add the handler\n"
    assert (0, f"{warning}shown: failed\n") == (code, err)


def test_both_keys_missing_are_both_named():
    """One error, not one after the other."""
    with pytest.raises(ConfigurationError, match="PUSHOVER_TOKEN and PUSHOVER_USER") as caught:
        PushoverHandler()
    assert caught.value.option is None


@pytest.mark.parametrize("quote", ["'", '"', "\N{LEFT DOUBLE QUOTATION MARK}"])
@pytest.mark.parametrize("name", ["token", "user"])
def test_quotes_in_a_key_are_named(monkeypatch, name, quote):
    """As Docker's --env-file keeps them."""
    for key, value in {"token": TOKEN, "user": USER, name: f"{quote}{TOKEN}{quote}"}.items():
        monkeypatch.setenv(f"PUSHOVER_{key.upper()}", value)
    text = rf"{name}: got \*\*\* \(32 characters, quotes included: remove them\)"
    with pytest.raises(ConfigurationError, match=text):
        PushoverHandler()


@pytest.fixture
def bare(root, monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    handlers, root.handlers = root.handlers, list(root.handlers)
    yield root
    root.handlers = handlers


def test_optional_install_runs_without_keys(bare, caplog):
    """It reports once that nothing is sent; the hooks and the handler are there all the same."""
    handler = install(optional=True)
    bare.error("failed")
    assert ["PUSHOVER_TOKEN is not set: nothing is sent"] == caplog.messages[:1]
    assert handler in bare.handlers
    assert 0 == handler.stats().records


@pytest.mark.parametrize("given", [{"token": TOKEN}, {"token": "x", "user": USER}])
def test_optional_install_takes_no_half_of_a_set_up(bare, given):
    """One key without the other, or a malformed one, is a mistake."""
    with pytest.raises(ConfigurationError):
        install(optional=True, **given)


def test_optional_install_with_keys_sends(bare, inbox, monkeypatch):
    """As without it."""
    for name, value in inbox.environ.items():
        monkeypatch.setenv(name, value)
    handler = install(optional=True)
    bare.error("failed")
    handler.close()
    assert ["failed"] == [push["title"] for push in inbox.messages]
