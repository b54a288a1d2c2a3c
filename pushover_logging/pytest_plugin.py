"""The pytest fixture ``pushover_inbox``: a local Pushover service for the tests of any program.

Enable it in ``conftest.py`` with ``pytest_plugins = ["pushover_logging.pytest_plugin"]``. It needs
the extra ``inbox``. The first test that uses it starts a server in its process, so each worker of
pytest-xdist has its own.
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
    """An `Inbox` in its initial state; its ``environ`` makes a program use it."""
    _pushover_server.start().reset()
    return _pushover_server
