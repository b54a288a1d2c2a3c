"""Templates of title and body, in any of logging's three styles."""

from __future__ import annotations

import re
from collections.abc import Callable
from string import Template as _Dollar
from typing import Any, Protocol

from pushover_logging.exceptions import ConfigurationError
from pushover_logging.rendering.redaction import redacted
from pushover_logging.rendering.text import ENTITIES

_POSITIONAL = re.compile(r"%(?!\(|%)")
# What html reads as its own, as characters that no text has: a record's text goes through a
# template as it is, whatever the template does with it, and only then becomes entities.
_SHIELDS = {char: chr(0xFDD0 + number) for number, char in enumerate(ENTITIES)}
_SHIELD = str.maketrans({**dict.fromkeys(_SHIELDS.values(), "\ufffd"), **_SHIELDS})
_UNSHIELD = str.maketrans({_SHIELDS[char]: entity for char, entity in ENTITIES.items()})


class _Any(int):
    """Fits every place of a template that some value of a record may fit."""

    def __getattr__(self, name: str) -> _Any:
        return self

    def __getitem__(self, key: object) -> _Any:
        return self

    def __format__(self, spec: str) -> str:
        return ""


class Values(Protocol):
    """Gives the value of each field of a template: a text or a number."""

    def __getitem__(self, name: str, /) -> Any: ...  # noqa: ANN401


_STYLES: dict[str, Callable[[str, Any], str]] = {
    "%": lambda text, values: text % values,
    "{": lambda text, values: text.format_map(values),
    "$": lambda text, values: _Dollar(text).substitute(values),
}


class _Everything:
    def __getitem__(self, name: str) -> _Any:
        return _Any()


class Template:
    """A text with fields; ``option`` is its name in errors.

    ``style`` is logging's: ``%(name)s``, ``{name}`` or ``$name``. Raises ConfigurationError for
    what can never be filled in.
    """

    def __init__(self, option: str, text: object, style: str) -> None:
        takes = f"takes a template in the style {style!r}, as logging.Formatter's fmt"
        if not isinstance(text, str) or not text.strip():
            msg = f"{option}: got {redacted(text)}, {takes}"
            raise ConfigurationError(msg, option=option)
        self._lines = text.split("\n")
        self._fill = _STYLES[style]
        try:
            if style == "%" and _POSITIONAL.search(text.replace("%%", "")):
                msg = "a % without a (name)"
                raise ValueError(msg)  # noqa: TRY301  one way for all that is wrong
            text.encode()  # a lone surrogate cannot be sent
            self.filled(_Everything())
        except Exception as error:
            msg = f"{option}: got {redacted(text)} ({error}), {takes}"
            raise ConfigurationError(msg, option=option) from error

    def filled(self, values: Values) -> str:
        """Return the text with its fields; a line whose fields are all empty is left out.

        ``values`` gives texts and numbers. Raises what a value that fits no place raises.
        """
        lines = ((line, self._fill(line, values)) for line in self._lines)
        return "\n".join(filled for line, filled in lines if filled.strip() or not line.strip())

    def filled_html(self, values: Values) -> str:
        """Return it as html of which only the template's own is markup. Raises as `filled`."""
        text = self.filled(_Shielded(values))
        return text.replace("\n", "<br>").translate(_UNSHIELD)


class _Shielded:
    def __init__(self, values: Values) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  as it is, but for text
        value = self._values[name]
        return value.translate(_SHIELD) if isinstance(value, str) else value


def checked_style(style: object) -> str:
    """Return one of logging's styles. Raises ConfigurationError."""
    if isinstance(style, str) and style in _STYLES:
        return style
    msg = f"style: got {redacted(style)}, takes one of %, {{ and $, as logging.Formatter"
    raise ConfigurationError(msg, option="style")
