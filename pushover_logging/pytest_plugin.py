"""The fixture ``pushover_inbox``: a Pushover service of a test's own, for tests of any program.

Switched on in a ``conftest.py`` by ``pytest_plugins = ["pushover_logging.pytest_plugin"]``; needs
the extra ``inbox``. The server is started by the first test that asks for it, once a process: with
pytest-xdist each worker has its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pushover_logging.inbox import Inbox


@pytest.fixture(scope="session")
def _pushover_server() -> Iterator[Inbox]:
    with Inbox() as inbox:
        yield inbox


@pytest.fixture
def pushover_inbox(_pushover_server: Inbox) -> Inbox:
    """A stand-in for the Pushover service, as new: ``messages``, ``wait_for``, ``fail_with``, ...

    Its ``environ`` points a program at it; ``Inbox`` documents all that it can do.
    """
    _pushover_server.start().reset()
    return _pushover_server
