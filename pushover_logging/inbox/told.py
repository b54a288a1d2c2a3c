"""What the control API is told, as JSON or in a query: read by kind, and what is wrong is named."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from pushover_logging.exceptions import ConfigurationError
from pushover_logging.inbox import rules
from pushover_logging.inbox.faults import Fault, Match

MAX_WHOLE = 10**12
_WHOLE = re.compile(r"-?[0-9]{1,13}")
_KINDS: dict[str, tuple[type, ...]] = {
    "status": (int,),
    "body": (str, dict),
    "headers": (dict,),
    "delay": (int, float),
    "hang": (bool,),
    "drip": (int, float),
    "reset": (bool,),
    "lost": (bool,),
    "times": (int,),
    "match": (dict,),
    "path": (str,),
}


class Told:
    """A mapping of what was asked; each reader raises ConfigurationError for what it cannot be."""

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
        """Return a whole number from ``low`` on."""
        value = self._values.get(name, default)
        is_one = isinstance(value, int | str) and not isinstance(value, bool)
        number = int(str(value)) if is_one and _WHOLE.fullmatch(str(value)) else None
        if number is None or not low <= number <= MAX_WHOLE:
            return self._refuse(name, f"a whole number from {low} to {MAX_WHOLE}")
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


def fault_from(options: Mapping[str, Any]) -> Fault:
    """Return the fault that a JSON object describes, its keys as ``Inbox.fail_with`` names them.

    ``match`` is a mapping of field to a text that the field contains.
    Raises ConfigurationError that names what cannot be.
    """
    for name, value in options.items():
        kinds = _KINDS.get(name)
        if kinds is None:
            text = f"{name!r:.100}: a fault has {', '.join(_KINDS)}"
            raise ConfigurationError(text)
        wrong = not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
        if wrong and not (value is None and name in {"status", "times"}):
            text = f"{name}: {value!r:.100} is no {' or '.join(kind.__name__ for kind in kinds)}"
            raise ConfigurationError(text)
    return made_fault(**{**options, "match": _contains(options.get("match"))})


def made_fault(
    *,
    body: str | Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
    **traits: Any,  # noqa: ANN401 - the other fields of a Fault
) -> Fault:
    """Return a fault whose ``body`` may also be a mapping, which becomes JSON."""
    answered = {name: str(value) for name, value in (headers or {}).items()}
    if body is not None and not isinstance(body, str):
        answered = {"Content-Type": "application/json", **answered}
        body = rules.compact(body)
    if body is not None and traits.get("status") is None:
        traits["status"] = 200
    return Fault(body=body or "", headers=answered, **traits)


def _contains(wanted: Any) -> Match | None:  # noqa: ANN401 - a mapping of text, if it is there
    if not wanted:
        return None
    return lambda fields: all(str(text) in fields.get(name, "") for name, text in wanted.items())
