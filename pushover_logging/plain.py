"""What a configuration hands over, as plain values.

`logging.config.dictConfig` resolves a nested ``ext://`` or ``cfg://`` value only where its own
kinds of dict and list are asked for it by key, and hands on the bare text where one is iterated.
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
