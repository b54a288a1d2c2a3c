"""Texts that the API accepts: cleaned, escaped, and truncated between whole characters.

The API refuses a text that is too long or is not valid UTF-8; neither must cost a notification.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

UNSENDABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Every text that `clean` changes has such a character."""
# ECMA-48: control sequences, control strings (of titles and links, for example), other escapes.
_TERMINAL = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"
    "|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\\\|\x9c)"
    "|\x1b[ -/]+[0-~]"
)
_LINE = re.compile("\\S[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]*")
# https://pushover.net/api#html, with the attribute's value in quotes.
_HTML_TOKEN = re.compile(
    r"""(?P<tag></?(?:b|i|u)>|<br>|<font\ color=(?:"[^"<>]*"|'[^'<>]*')>|</font>
        |<a\ href=(?:"[^"<>]*"|'[^'<>]*')>|</a>)
    |(?P<entity>&(?:[A-Za-z]{2,8}|\#[0-9]{1,7}|\#[xX][0-9A-Fa-f]{1,6});)
    |.""",
    re.VERBOSE | re.DOTALL,
)
ENTITIES = {
    "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;", "\n": "<br>",
}  # fmt: skip
"""The characters that are markup in html, and their escapes."""
_ESCAPES = str.maketrans(ENTITIES)

_ELLIPSIS = "…"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_ZERO_WIDTH_JOINER = "\u200d"
_JOINERS = f"\u200c{_ZERO_WIDTH_JOINER}"
_REGIONAL_INDICATORS = "".join(map(chr, range(0x1F1E6, 0x1F200)))
_L, _V = "\u1100-\u115f\ua960-\ua97c", "\u1160-\u11a7\ud7b0-\ud7c6"
_T = "\u11a8-\u11ff\ud7cb-\ud7fb"
_HANGUL = re.compile(f"[{_L}][{_L}{_V}]|[{_V}][{_V}{_T}]|[{_T}][{_T}]")
"""Two letters of one syllable: the rules GB6 to GB8 of Annex #29, after decomposition."""
_MAX_BACKING_UP = 32
"""Code points given up for a whole character; the longest emoji sequences in use have about ten."""
_SHORTEST_MIDDLE = 60
"""Code points below which a truncated text keeps its start alone."""
_SHORT = 256
"""Characters of a text that mostly is one line."""
_FLAG_WINDOW = 4096
"""Code points searched for the start of a run of flags: even, and above all limits of the API."""


def clean(text: str) -> str:
    r"""Return ``text`` in a form that the API accepts; a clean text comes back unchanged.

    Lone surrogates (not encodable as UTF-8), NUL and the other C0 and C1 control characters except
    newline and tab become U+FFFD, ``\r\n`` and ``\r`` become ``\n``, and the sequences that a
    terminal obeys are removed, for example colours.
    """
    if UNSENDABLE.search(text) is None:
        return text
    text = _TERMINAL.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return UNSENDABLE.sub(_REPLACEMENT, text)


def first_line(text: str) -> str:
    """Return the first line of ``text`` that is not blank, stripped; "" if there is none."""
    if len(text) < _SHORT and (line := text.strip()).isprintable():  # a third of a search's cost
        return line
    found = _LINE.search(text)
    return found.group().rstrip() if found else ""


def escape_html(text: str) -> str:
    """Return html that shows ``text`` as it is."""
    return text.translate(_ESCAPES)


def largest_fitting(limit: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number up to ``limit`` that ``fits``, as all below it do; 0 if none."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def shortener(*, markup: bool) -> Callable[[str, int], str]:
    """Return `truncate_html` if the text is html, else `truncate`."""
    return truncate_html if markup else truncate


def with_note(text: str, note: str, limit: int, *, markup: bool) -> str:
    """Return ``text``, truncated if necessary, with ``(note)`` as its last line."""
    line = f"{'<br>' if markup else chr(10)}({note})"
    return shortener(markup=markup)(text, limit - len(line)) + line


def truncate(text: str, limit: int) -> str:
    """Return at most ``limit`` code points of ``text``, which is how the API counts.

    A truncated text ends in "…", inside the limit, after a whole user-perceived character in the
    sense of Unicode Standard Annex #29: emoji sequences, flags, combining marks, Hangul syllables
    and CRLF stay whole, unless that would give up more than 32 code points. A limit below 1 gives
    "".
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


def truncate_middle(text: str, limit: int) -> str:
    """Return at most ``limit`` code points of ``text``, as `truncate`, but with its end.

    The last third of the room is for the end: an error often names its reason there.
    """
    if len(text) <= limit or limit < _SHORTEST_MIDDLE:
        return truncate(text, limit)
    start = len(text) - limit // 3
    while start < len(text) and not _is_boundary(text, start):
        start += 1
    return truncate(text[:start], limit - (len(text) - start)) + text[start:]


def truncate_html(text: str, limit: int) -> str:
    """Return html of at most ``limit`` characters, without a torn tag, entity or character.

    A truncated text ends in "…" inside the limit. Open tags are closed, and closing tags that
    close nothing are removed. A limit below 1 gives "".
    """
    if limit < 1:
        return ""
    tokens = [(found.group(), found.lastgroup) for found in _HTML_TOKEN.finditer(text)]
    visible = "".join(_visible(token, kind) for token, kind in tokens)
    whole = _join_tokens(tokens, len(visible), "")
    if len(whole) <= limit:
        return whole

    def truncated(size: int) -> str:
        size = max(len(truncate(f"{visible} ", size)) - 1, 0)
        return _join_tokens(tokens, size, _ELLIPSIS)

    longest = min(limit, len(visible))
    return truncated(largest_fitting(longest, lambda size: len(truncated(size)) <= limit))


def _visible(part: str, kind: str | None) -> str:
    """Return the character that a token shows, "" for most tags."""
    if kind == "tag":
        return "\n" if part == "<br>" else ""
    if kind == "entity":
        import html  # noqa: PLC0415  2,231 names that only html with entities needs

        return html.unescape(part)[:1] or _REPLACEMENT
    return part


def _join_tokens(tokens: list[tuple[str, str | None]], size: int, end: str) -> str:
    """Return the tokens of the first ``size`` visible characters and ``end``, open tags closed."""
    parts: list[str] = []
    open_tags: list[str] = []
    for part, kind in tokens:
        is_closing = part.startswith("</") and kind == "tag"
        if not is_closing and not size:
            break
        if kind != "tag" or part == "<br>":
            size -= 1
        elif not is_closing:
            open_tags.append(part[1:-1].partition(" ")[0])
        elif part[2:-1] not in open_tags:
            continue
        else:
            while (name := open_tags.pop()) != part[2:-1]:
                parts.append(f"</{name}>")
        parts.append(part)
    return "".join([*parts, end, *(f"</{name}>" for name in reversed(open_tags))])


def _is_boundary(text: str, position: int) -> bool:
    """Return True if a user-perceived character ends before ``position``, inside the text."""
    if position == 0:
        return True
    before, after = text[position - 1], text[position]
    if before == "\r" and after == "\n":
        return False
    if before == _ZERO_WIDTH_JOINER or _extends(after):
        return False
    if before in _REGIONAL_INDICATORS and after in _REGIONAL_INDICATORS:
        window = text[max(position - _FLAG_WINDOW, 0) : position]
        return (len(window) - len(window.rstrip(_REGIONAL_INDICATORS))) % 2 == 0  # two for a flag
    last, first = unicodedata.normalize("NFD", before)[-1], unicodedata.normalize("NFD", after)[0]
    return not _HANGUL.fullmatch(last + first)


def _extends(character: str) -> bool:
    """Return True if ``character`` belongs to the character before it."""
    return (
        character in _JOINERS
        or "\U0001f3fb" <= character <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= character <= "\U000e007f"  # tags, as in the flag of Scotland
        or unicodedata.category(character).startswith("M")
    )
