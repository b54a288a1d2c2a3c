"""Text that the API can take, cut where a reader would cut it.

The API refuses what is too long and what is not valid UTF-8; a notification must never be lost, or
torn inside a character, for either reason.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

_UNSENDABLE = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff]")
_COLOURS = re.compile("\x1b\\[[0-9;:?]*[ -/]*[@-~]")  # ECMA-48's control sequences
_LINE = re.compile("\\S[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]*")

_ELLIPSIS = "…"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_JOINERS = "\u200c\u200d"
_ZERO_WIDTH_JOINER = "\u200d"
_REGIONAL_INDICATORS = "".join(map(chr, range(0x1F1E6, 0x1F200)))

_MAX_BACKING_UP = 32
"""Code points given up for a whole character; the longest emoji sequences in use have about ten."""

_FLAG_WINDOW = 4096
"""Code points searched for the start of a run of flags; even, and above all of the API's limits."""


def clean(text: str) -> str:
    r"""Return ``text`` as the API can take it.

    Lone surrogates (not encodable as UTF-8), NUL and the other C0 control characters except newline
    and tab become U+FFFD; ``\r\n`` and ``\r`` become ``\n``; a terminal's colours go. A clean text
    comes back unchanged.
    """
    if "\x1b" in text:
        text = _COLOURS.sub("", text)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNSENDABLE.sub(_REPLACEMENT, text)


def truncate(text: str, limit: int) -> str:
    """Return at most ``limit`` code points of ``text``, which is how the API counts.

    What is over ends in "…", inside the limit, after a whole user-perceived character in the sense
    of Unicode Standard Annex #29: emoji sequences, flags, combining marks, Hangul syllables and
    CRLF stay whole. Where that would give up more than 32 code points, the cut is a hard one. A
    limit below 1 gives "".
    """
    if limit < 1:
        return ""
    if len(text) <= limit:
        return text
    end = limit - 1
    for position in range(end, max(end - _MAX_BACKING_UP, 0) - 1, -1):
        if _is_boundary(text, position):
            end = position
            break
    return text[:end] + _ELLIPSIS


def first_line(text: str) -> str:
    """Return the first line of ``text`` that is not blank, stripped; "" where there is none."""
    found = _LINE.search(text)
    return found.group().rstrip() if found else ""


def largest_fitting(limit: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number from 1 to ``limit`` that ``fits``, 0 where none does.

    ``fits`` is taken for a rule that holds up to some number and not beyond it.
    """
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _is_boundary(text: str, position: int) -> bool:
    """Tell whether a user-perceived character ends before ``position``, inside the text."""
    if position == 0:
        return True
    before, after = text[position - 1], text[position]
    if before == "\r" and after == "\n":
        return False
    if before == _ZERO_WIDTH_JOINER or _extends(after):
        return False
    if before in _REGIONAL_INDICATORS and after in _REGIONAL_INDICATORS:
        return _flags_are_whole(text, position)
    return not _hangul_joins(_hangul_type(before), _hangul_type(after))


def _extends(character: str) -> bool:
    """Tell whether ``character`` belongs to the one before it."""
    return (
        character in _JOINERS
        or "\U0001f3fb" <= character <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= character <= "\U000e007f"  # tags, as in the flag of Scotland
        or unicodedata.category(character).startswith("M")
    )


def _flags_are_whole(text: str, position: int) -> bool:
    """Tell whether an even number of regional indicators, two to a flag, ends at ``position``."""
    window = text[max(position - _FLAG_WINDOW, 0) : position]
    return (len(window) - len(window.rstrip(_REGIONAL_INDICATORS))) % 2 == 0


def _hangul_type(character: str) -> str:
    """Return the Hangul_Syllable_Type (L, V, T, LV or LVT), "" for all else."""
    if "\uac00" <= character <= "\ud7a3":
        return "LVT" if (ord(character) - 0xAC00) % 28 else "LV"
    if "\u1100" <= character <= "\u115f" or "\ua960" <= character <= "\ua97c":
        return "L"
    if "\u1160" <= character <= "\u11a7" or "\ud7b0" <= character <= "\ud7c6":
        return "V"
    if "\u11a8" <= character <= "\u11ff" or "\ud7cb" <= character <= "\ud7fb":
        return "T"
    return ""


def _hangul_joins(before: str, after: str) -> bool:
    """Tell whether two Hangul types form one syllable (rules GB6 to GB8 of Annex #29)."""
    if before == "L":
        return after in {"L", "V", "LV", "LVT"}
    if before in {"V", "LV"}:
        return after in {"V", "T"}
    return before in {"T", "LVT"} and after == "T"


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


def truncate_html(text: str, limit: int) -> str:
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
        return _joined(whole, max(len(truncate(visible + " ", size)) - 1, 0), "…")

    top = min(limit, len(visible))
    return first(largest_fitting(top, lambda size: len(first(size)) <= limit))


def shortener(*, markup: bool) -> Callable[[str, int], str]:
    """Return what cuts a Message's text: as html, or as it is."""
    return truncate_html if markup else truncate


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
