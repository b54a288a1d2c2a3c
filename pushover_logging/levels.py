"""Maps logging levels to Message fields: a priority, and others that the program sets."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pushover_logging.dictconfig import plain
from pushover_logging.exceptions import ConfigurationError, invalid
from pushover_logging.message import FIELDS, Message, priority_number
from pushover_logging.rendering.redaction import redacted

# Emergencies are opt-in: libraries log CRITICAL as well.
DEFAULT_PRIORITIES: Mapping[int, int] = MappingProxyType(
    {
        logging.DEBUG: -2, logging.INFO: -1, logging.WARNING: -1, logging.ERROR: 0,
        logging.CRITICAL: 1,
    }
)  # fmt: skip


def level_number(level: object) -> int:
    """Return the number of a level's name or number; the number can be a text.

    Raises ConfigurationError for a name that is unknown to `logging`.
    """
    if isinstance(level, int) and not isinstance(level, bool):
        return level
    if isinstance(level, str):
        name = level.strip()
        if name.isdecimal():
            return int(name)
        number = logging.getLevelName(name.upper())
        if isinstance(number, int):
            return number
    raise invalid(redacted(level), "level", "the name or number of a logging level")


class Levels:
    """The Message fields of each level.

    ``overrides`` maps a level to a priority, its name, or a mapping of Message fields, which apply
    up to the next level that has its own. They take precedence over the defaults; a new level
    inherits other fields from the level below. Raises ConfigurationError with the level's name.
    """

    def __init__(self, overrides: Mapping[Any, Any] | None = None) -> None:
        table: dict[int, Mapping[str, Any]] = {
            level: {"priority": priority} for level, priority in DEFAULT_PRIORITIES.items()
        }
        if overrides is not None and not isinstance(overrides, Mapping):
            takes = "a mapping of level to priority or Message fields"
            raise invalid(redacted(overrides), "levels", takes)
        own = dict(_checked(*item) for item in plain(overrides or {}).items())
        below: Mapping[str, Any] = table[min(table)]
        for number in sorted({*table, *own}):
            below = table[number] = {**table.get(number, below), **own.get(number, {})}
        self._thresholds = sorted(table)
        self._table = table

    def fields(self, level: int) -> Mapping[str, Any]:
        """Return the fields of the nearest level at or below ``level``, else of the lowest."""
        index = max(bisect_right(self._thresholds, level) - 1, 0)
        return self._table[self._thresholds[index]]


def _checked(level: object, value: object) -> tuple[int, dict[str, Any]]:
    """Return the number and the Message fields of one level."""
    fields: dict[str, Any] = dict(value) if isinstance(value, Mapping) else {"priority": value}
    where = "levels"
    try:
        number = level_number(level)
        where = f"levels: {redacted(level)}"
        unknown = fields.keys() - (FIELDS - {"message"})
        if not unknown:
            if "priority" in fields:
                fields["priority"] = priority_number(fields["priority"])
            Message(message="checked here, not at the first alert", **fields)
            return number, fields
    except ConfigurationError as error:
        msg = f"{where}: {error}"
        raise ConfigurationError(msg, option="levels") from error
    takes = ", ".join(sorted(FIELDS - {"message"}))
    msg = f"{where} got {redacted(sorted(map(str, unknown)))}, takes {takes}"
    raise ConfigurationError(msg, option="levels")
