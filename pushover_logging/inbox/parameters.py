"""Parameters: reads the JSON or query values of a request to the control API, and checks them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NoReturn

from pushover_logging.exceptions import ConfigurationError

MAX_WHOLE = 10**12
_WHOLE = re.compile(r"-?[0-9]{1,13}")


class Parameters:
    """The values of a request, by name; each method raises ConfigurationError for a wrong value."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def number(self, name: str, default: float, high: float = math.inf) -> float:
        """Return a number from 0 to ``high``."""
        value = self._values.get(name, default)
        try:
            number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not 0 <= number <= high or math.isinf(number):
            self._refuse(name, f"a number from 0 to {high:g}" if high < math.inf else "a number")
        return number

    def whole(self, name: str, default: int = 0, low: int = -MAX_WHOLE) -> int:
        """Return a whole number of ``low`` or more."""
        value = self._values.get(name, default)
        is_whole = isinstance(value, int | str) and not isinstance(value, bool)
        number = int(str(value)) if is_whole and _WHOLE.fullmatch(str(value)) else None
        if number is None or not low <= number <= MAX_WHOLE:
            self._refuse(name, f"a whole number from {low} to {MAX_WHOLE}")
        return number

    def text(self, name: str, default: str) -> str:
        """Return a text."""
        value = self._values.get(name, default)
        if not isinstance(value, str):
            self._refuse(name, "a text")
        return value

    def texts(self, name: str) -> list[str]:
        """Return a list of texts."""
        value = self._values.get(name)
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            self._refuse(name, "a list of texts")
        return value

    def _refuse(self, name: str, takes: str) -> NoReturn:
        text = f"{name}: {self._values.get(name)!r:.100} is not {takes}"
        raise ConfigurationError(text)
