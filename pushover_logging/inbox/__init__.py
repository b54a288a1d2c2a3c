"""The inbox: a local stand-in for the Pushover service, for tests and with a page for people."""

from __future__ import annotations

from pushover_logging.exceptions import ConfigurationError

try:
    from pushover_logging.inbox.server import Inbox
except ModuleNotFoundError as _error:
    if _error.name not in {"flask", "jinja2", "nh3", "werkzeug"}:
        raise
    _text = f"the inbox needs {_error.name}: pip install 'pushover-logging[inbox]'"
    raise ConfigurationError(_text) from _error

__all__ = ["Inbox"]
