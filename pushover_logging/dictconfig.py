"""Plain values of what `logging.config.dictConfig` hands over.

Its own kinds of dict and list resolve a nested ``ext://`` or ``cfg://`` value only if you ask for
it by key; iterating over them yields the bare text. Short, and a module of its own: what reads
configuration stands on every floor, and this has to be below all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:  # noqa: ANN401  any option
    """Return ``value`` with each mapping, list and tuple in it a plain one, its values resolved."""
    if isinstance(value, Mapping):
        return {key: plain(value[key]) for key in value}
    if isinstance(value, (list, tuple)):
        values = [plain(value[index]) for index in range(len(value))]
        return values if isinstance(value, list) else tuple(values)
    return value
