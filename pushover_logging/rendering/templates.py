"""Templates of title and body, in any of logging's three styles, checked at construction."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from operator import mod
from string import Template as _Dollar
from typing import Any, Protocol

from pushover_logging.exceptions import invalid
from pushover_logging.rendering.redaction import redacted
from pushover_logging.rendering.text import ENTITIES

_POSITIONAL = re.compile(r"%(?!\(|%)")
# A record's markup characters pass through a template as noncharacters, whatever the template does
# with them (a width, a slice), and only then become entities.
_SHIELDS = {char: chr(0xFDD0 + number) for number, char in enumerate(ENTITIES)}
_SHIELD = str.maketrans({**dict.fromkeys(_SHIELDS.values(), "\ufffd"), **_SHIELDS})
_UNSHIELD = str.maketrans({_SHIELDS[char]: entity for char, entity in ENTITIES.items()})
_STYLES: dict[str, Callable[[str, Any], str]] = {
    "%": mod, "{": str.format_map, "$": lambda text, values: _Dollar(text).substitute(values),
}  # fmt: skip


class Values(Protocol):
    """Gives the value of each field of a template: a text or a number."""

    def __getitem__(self, name: str, /) -> Any: ...  # noqa: ANN401


class Template:
    """A text with fields.

    ``style`` is logging's: ``%(name)s``, ``{name}`` or ``$name``. ``option`` is the template's name
    in errors. Raises ConfigurationError if no value could ever fill it.
    """

    def __init__(self, option: str, text: object, style: str) -> None:
        takes = f"a template in the style {style!r}, as logging.Formatter's fmt"
        if not isinstance(text, str) or not text.strip():
            raise invalid(redacted(text), option, takes)
        self.option = option
        self._lines = text.split("\n")
        self._format = _STYLES[style]
        try:
            if style == "%" and _POSITIONAL.search(text.replace("%%", "")):
                msg = "a % without a (name)"
                raise ValueError(msg)  # noqa: TRY301  all faults take the same way
            text.encode()  # a lone surrogate cannot be sent
            self.fill(defaultdict(_AnyValue))
        except Exception as error:
            given = f"{redacted(text)} ({error})"
            raise invalid(given, option, takes) from error

    def fill(self, values: Values) -> str:
        """Return the text without the lines whose fields are all empty; raises as `format`."""
        lines = ((line, self._format(line, values)) for line in self._lines)
        return "\n".join(filled for line, filled in lines if filled.strip() or not line.strip())

    def fill_html(self, values: Values) -> str:
        """Return the text as html in which only the template's own text is markup."""
        text = self.fill(_ShieldedValues(values))
        return text.replace("\n", "<br>").translate(_UNSHIELD)


@dataclass
class _ShieldedValues:
    _values: Values

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  a text or a number
        value = self._values[name]
        return value.translate(_SHIELD) if isinstance(value, str) else value


class _AnyValue(int):
    """Fits every place of a template that some value of a record can fit."""

    def __getattr__(self, name: str) -> _AnyValue:
        return self

    def __getitem__(self, key: object) -> _AnyValue:
        return self

    def __format__(self, spec: str) -> str:
        return ""


def checked_style(style: object) -> str:
    """Return one of logging's styles. Raises ConfigurationError for anything else."""
    if isinstance(style, str) and style in _STYLES:
        return style
    raise invalid(redacted(style), "style", "one of %, { and $, as logging.Formatter")
