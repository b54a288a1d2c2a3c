"""The one line for a script."""

import sys
import threading

import pytest

from pushover_logging import install

TOKEN = "azGDORePK8gMaC0QOYAMyEEuzJnyUi"
USER = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"


@pytest.fixture
def installed(inbox, root, monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "excepthook", lambda *args: seen.append(args[1]))
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_value))
    handlers, root.handlers = root.handlers, []
    made = [install(token=TOKEN, user=USER, api_url=inbox.url, host="x") for _ in range(2)]
    kinds = [type(handler).__name__ for handler in root.handlers]
    for handler in root.handlers[:2]:
        root.removeHandler(handler)
        handler.close()
    root.handlers = [*handlers, *root.handlers]
    return kinds, made[1], seen


def test_root_keeps_its_stderr(installed):
    """Where root had no handler it gets a StreamHandler first, and only once."""
    assert ["StreamHandler", "PushoverHandler", "PushoverHandler"] == installed[0]


def test_uncaught_exceptions_are_critical_and_shown_as_before(installed, inbox):
    """Of the program and of a thread; Ctrl-C is no failure; the hooks before are called."""
    _, handler, seen = installed
    for error in (ValueError("bad"), KeyboardInterrupt()):
        sys.excepthook(type(error), error, None)

    def fail():
        raise OSError("worse")

    thread = threading.Thread(target=fail, name="worker")
    thread.start()
    thread.join()
    arguments = threading.ExceptHookArgs((SystemExit, None, None, None))
    threading.excepthook(arguments)
    assert handler.flush(10)
    pushes = {push["title"]: push for push in inbox.messages}
    assert {"ValueError: bad", "OSError: worse"} == pushes.keys()
    assert "1" == pushes["OSError: worse"]["priority"]
    assert "in thread worker" in pushes["OSError: worse"]["message"]
    assert [ValueError, KeyboardInterrupt, OSError, type(None)] == [type(one) for one in seen]
