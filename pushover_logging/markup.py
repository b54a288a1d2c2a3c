"""Text as the API's html: escaped whole, cut between whole tags, entities and characters.

A push that ends in half a tag shows it, or is refused; text of a record that brings a tag of its
own could bring a link as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pushover_logging.text import cut, largest

# https://pushover.net/api#html, with the attribute's value in quotes.
_TOKEN = re.compile(
    r"""(?P<tag></?(?:b|i|u)>|<br>|<font\ color=(?:"[^"<>]*"|'[^'<>]*')>|</font>
        |<a\ href=(?:"[^"<>]*"|'[^'<>]*')>|</a>)
    |(?P<entity>&(?:[A-Za-z]{2,8}|\#[0-9]{1,7}|\#[xX][0-9A-Fa-f]{1,6});)
    |.""",
    re.VERBOSE | re.DOTALL,
)

ENTITIES = {
    "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;", "\n": "<br>",
}  # fmt: skip
"""How html writes what it would read as its own."""
_ESCAPED = str.maketrans(ENTITIES)


def escaped(text: str) -> str:
    """Return ``text`` as html that shows it as it is."""
    return text.translate(_ESCAPED)


def cut_html(text: str, limit: int) -> str:
    """Return html of at most ``limit`` characters, with no tag, entity or character torn.

    What is over ends in "…" inside the limit. A tag that is left open is closed, a closing one
    that closes nothing goes. A limit below 1 gives "".
    """
    if limit < 1:
        return ""
    whole = [(found.group(), found.lastgroup) for found in _TOKEN.finditer(text)]
    visible = "".join(_character(part, kind) for part, kind in whole)
    joined = _joined(whole, len(visible), "")
    if len(joined) <= limit:
        return joined

    def first(size: int) -> str:
        return _joined(whole, max(len(cut(visible + " ", size)) - 1, 0), "…")

    top = min(limit, len(visible))
    return first(largest(top, lambda size: len(first(size)) <= limit))


def shortener(*, markup: bool) -> Callable[[str, int], str]:
    """Return what cuts a Message's text: as html, or as it is."""
    return cut_html if markup else cut


def with_note(text: str, note: str, limit: int, *, markup: bool) -> str:
    """Return ``text``, cut to leave room, with ``(note)`` as its last line."""
    line = f"{'<br>' if markup else chr(10)}({note})"
    return shortener(markup=markup)(text, limit - len(line)) + line


def _character(part: str, kind: str | None) -> str:
    """Return the one character that a token shows, "" for a tag that shows none."""
    if kind == "tag":
        return "\n" if part == "<br>" else ""
    if kind == "entity":
        import html  # noqa: PLC0415  its 2,231 names are read by who cuts html, and nobody else

        return html.unescape(part)[:1] or "\ufffd"
    return part


def _joined(tokens: list[tuple[str, str | None]], size: int, end: str) -> str:
    """Return the tokens of the first ``size`` characters and ``end``, its open tags closed."""
    parts: list[str] = []
    opened: list[str] = []
    for part, kind in tokens:
        if kind != "tag" or part == "<br>":
            if not size:
                break
            size -= 1
            parts.append(part)
        elif not part.startswith("</"):
            if not size:
                break
            opened.append(part[1:-1].partition(" ")[0])
            parts.append(part)
        elif part[2:-1] in opened:
            while (name := opened.pop()) != part[2:-1]:
                parts.append(f"</{name}>")
            parts.append(part)
    return "".join([*parts, end, *(f"</{name}>" for name in reversed(opened))])
