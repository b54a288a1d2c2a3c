"""Resolves the values that `logging.config.dictConfig` passes, for all modules that take options.

Its own dict and list classes resolve a nested ``ext://`` or ``cfg://`` value only on access by key;
iterating over them yields the unresolved text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:  # noqa: ANN401  any option
    """Return ``value`` with plain dicts, lists and tuples, and all values in them resolved."""
    if isinstance(value, Mapping):
        return {key: plain(value[key]) for key in value}
    if isinstance(value, (list, tuple)):
        values = [plain(value[index]) for index in range(len(value))]
        return values if isinstance(value, list) else tuple(values)
    return value
