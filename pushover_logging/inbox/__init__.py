"""The stand-in for the Pushover service: see and test pushes without an account."""

from __future__ import annotations

from pushover_logging.exceptions import ConfigurationError

try:
    from pushover_logging.inbox.server import Inbox
except ModuleNotFoundError as error:
    if error.name not in {"flask", "jinja2", "nh3", "werkzeug"}:
        raise
    text = f"the inbox needs {error.name}: pip install 'pushover-logging[inbox]'"
    raise ConfigurationError(text) from error

__all__ = ["Inbox"]
