"""The library's own warnings are heard, once, and never on the phone."""

import contextlib
import logging

import pytest

from pushover_logging.diagnostics import warn


@contextlib.contextmanager
def alone(*handlers):
    """Root with no handlers but these: pytest adds its own when a test begins."""
    root, own = logging.getLogger(), logging.getLogger("pushover_logging")
    before = root.handlers, own.disabled, own.propagate
    root.handlers = list(handlers)
    yield own
    root.handlers, own.disabled, own.propagate = before
    own.setLevel(logging.NOTSET)  # which makes it forget what it is enabled for


class Kept(logging.Handler):
    """Keeps what it takes."""

    def __init__(self, level=0):
        super().__init__(level)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def test_program_without_a_handler_reads_it_on_stderr(capsys):
    """As Python does for a program that configured nothing."""
    with alone():
        warn("%d lost", 3)
    assert "3 lost\n" == capsys.readouterr().err


def test_handler_that_would_take_it_gets_it(capsys):
    """The program's own log has it, and stderr does not."""
    kept = Kept()
    with alone(kept):
        warn("lost")
    assert (["lost"], "") == (kept.texts, capsys.readouterr().err)


@pytest.mark.parametrize("deaf", ["disabled", "level", "handler's level", "propagate", "phone"])
def test_nobody_listening_means_stderr(capsys, deaf):
    """A logger that dictConfig disabled, a level too high, no way up, or this handler alone."""
    kept = Kept(logging.ERROR if deaf == "handler's level" else 0)
    with alone(kept) as own:
        if deaf == "disabled":
            own.disabled = True
        elif deaf == "level":
            own.setLevel(logging.CRITICAL)
        elif deaf == "propagate":
            own.propagate = False
        elif deaf == "phone":
            kept.sends_to_pushover = True
        warn("lost")
    assert "lost\n" == capsys.readouterr().err


def test_program_that_wants_no_last_resort_hears_nothing(capsys, monkeypatch):
    """`logging.lastResort = None` is Python's own way to say so."""
    monkeypatch.setattr(logging, "lastResort", None)
    with alone():
        warn("lost")
    assert "" == capsys.readouterr().err
