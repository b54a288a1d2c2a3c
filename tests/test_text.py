"""What the API accepts, and where a text is cut, as html as well."""

from __future__ import annotations

import unicodedata

import html5lib
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pushover_logging.rendering.text import (
    clean,
    escape_html,
    first_line,
    largest_fitting,
    shortener,
    truncate,
    truncate_html,
    truncate_middle,
    with_note,
)

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
THUMB = "\U0001f44d\U0001f3fd"
FLAG = "\U0001f1eb\U0001f1f7"
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("disk full, été \U0001f4a5\n\tend", "disk full, été \U0001f4a5\n\tend"),
        ("a\r\nb\rc\n", "a\nb\nc\n"),
        ("a\x00b\x1bc\x0bd\x1fe", "a\ufffdb\ufffdc\ufffdd\ufffde"),
        ("\x1b[1;31mred\x1b[0m and \x1b[?25lgone", "red and gone"),
        ("lone \ud83d surrogate", "lone \ufffd surrogate"),
    ],
)
def test_clean(text: str, expected: str) -> None:
    """Controls and lone surrogates are replaced, colours go, line ends are newlines."""
    assert expected == clean(text)


def test_what_is_clean_can_be_encoded() -> None:
    """No code point is left that UTF-8 cannot carry, and cleaning again changes nothing."""
    every = clean("".join(map(chr, range(0x110000))))
    assert every == clean(every.encode().decode())


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
        ("", 0, ""),
        ("abc", -1, ""),
        ("ab" + FAMILY + "c", 7, "ab…"),
        ("ab" + FAMILY + "cd", 8, "ab" + FAMILY + "…"),
        ("ab" + FAMILY, 4, "ab…"),
        ("ab" + THUMB + "c", 4, "ab…"),
        ("ab\u2764\ufe0fc", 4, "ab…"),
        ("ab" + SCOTLAND, 6, "ab…"),
        ("ab\u200cc", 3, "a…"),
        ("ab\U0001f3fbc", 3, "a…"),
        ("ab\U0001f3ffc", 3, "a…"),
        ("ab\U0001f3fac", 3, "ab…"),
        ("ab\U0001f400c", 3, "ab…"),
        ("ab\U000e0020c", 3, "a…"),
        ("ab\U000e007fc", 3, "a…"),
        ("ab\U000e0080c", 3, "ab…"),
        ("a" + FLAG[0] + "bc", 3, "a" + FLAG[0] + "…"),
        ("a\U0001f1e6\U0001f1ffbc", 3, "a…"),
        ("a\U0001f200\U0001f200bc", 3, "a\U0001f200…"),
        ("ab" + "\u0301" * 99, 34, "a…"),
        ("ab" + "\u0301" * 99, 35, "ab" + "\u0301" * 32 + "…"),
        (FLAG * 3, 4, FLAG + "…"),
        ("a" + FLAG * 3, 5, "a" + FLAG + "…"),
        ("a" + FLAG * 3, 6, "a" + FLAG * 2 + "…"),
        ("abe\u0301c", 4, "ab…"),
        ("ab\u0915\u093fc", 4, "ab…"),
        ("ab\r\nc", 4, "ab…"),
        ("ab\u1112\u1161\u11abc", 4, "ab…"),
        ("ab\u1112\u1161\u11abc", 5, "ab…"),
        ("ab\ud558\u11abc", 4, "ab…"),
        ("ab\ud55c\u11a8c", 4, "ab…"),
        ("ab\ud55c\ud55cc", 4, "ab\ud55c…"),
        (FAMILY, 3, "…"),
    ],
)
def test_cut(text: str, limit: int, expected: str) -> None:
    """A text over its limit ends in "…" within it, after a whole user-perceived character."""
    assert expected == truncate(text, limit)


# Unicode Standard Annex #29, rules GB6 to GB8: what goes on with a syllable that it follows.
SYLLABLES = {
    "L": {"L", "V", "LV", "LVT"},
    "V": {"V", "T"},
    "LV": {"V", "T"},
    "T": {"T"},
    "LVT": {"T"},
}
PARTS = {"CHOSEONG": "L", "JUNGSEONG": "V", "JONGSEONG": "T"}


def hangul(character: str) -> str:
    """Return the part of a syllable that a character is, by its name in the standard."""
    script, part, *_ = [*unicodedata.name(character, "").split(), "", ""]
    if (script, part) == ("HANGUL", "SYLLABLE"):
        return "LV" if len(unicodedata.normalize("NFD", character)) == 2 else "LVT"
    return PARTS.get(part, "") if script == "HANGUL" else ""


def test_cut_keeps_hangul_syllables_whole() -> None:
    """Each letter and syllable, and their neighbours, before and after one of each kind."""
    blocks = (0x10FF, 0x1201), (0xA95F, 0xA97E), (0xABFF, 0xAC40), (0xD780, 0xD7FD)
    every = [chr(code) for low, high in blocks for code in range(low, high)]
    for one in every:
        for other in "\u1112\u1161\u11ab\ud558\ud55ca":
            for before, after in ((one, other), (other, one)):
                joined = hangul(after) in SYLLABLES.get(hangul(before), ())
                end = "ab" if joined else f"ab{before}"
                assert f"{end}…" == truncate(f"ab{before}{after}c", 4), (before, after)


@pytest.mark.parametrize("unit", ["a", "\u0301", FLAG, FAMILY, "\u200d", "\u1100", "\r\n"])
@pytest.mark.parametrize("limit", [1, 2, 50, 250, 1024])
def test_cut_is_bounded(unit: str, limit: int) -> None:
    """A text that never offers a boundary still fills all but 32 code points, and is cut once."""
    once = truncate("e" + unit * 1_000_000, limit)
    assert (True, once) == (limit - 33 <= len(once) <= limit, truncate(once, limit))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \n\t\r\n", ""),
        ("\n  disk full \nmore", "disk full"),
        ("disk\rfull", "disk"),
        ("disk full", "disk full"),
    ],
)
def test_first_line(text: str, expected: str) -> None:
    """The first line that is not blank comes back stripped."""
    assert expected == first_line(text)


@given(st.integers(0, 2000), st.integers(0, 2000))
def test_largest(limit: int, bound: int) -> None:
    """What fits up to some number is found, 0 where nothing does."""
    assert min(limit, bound) == largest_fitting(limit, lambda number: number <= bound)


TAGS = ["<b>", "</b>", "<i>", "</i>", "<u>", "</u>", "<br>", '<a href="https://x.example/?a=1">',
        "</a>", '<font color="red">', "</font>"]  # fmt: skip
MARKUP = st.lists(st.one_of(st.text().map(clean).map(escape_html), st.sampled_from(TAGS))).map(
    "".join
)
NAMES = {"b", "i", "u", "br", "a", "font", "html", "head", "body"}


def read(source):
    """Return the text and the tags that a browser's rules find."""
    tree = html5lib.parse(source, namespaceHTMLElements=False)
    return "".join(tree.itertext()), {node.tag for node in tree.iter()}


def plain(text):
    """Take out what html itself does not keep, or reads otherwise."""
    return "".join(char for char in text if char.isprintable())


@given(st.text())
def test_escaped_text_is_shown_as_it_is(text):
    """Whatever a record says: no tag of its own, and each character there."""
    text = plain(text)
    shown, tags = read(f"<p>x{escape_html(text)}</p>")
    assert f"a<br>{escape_html(text)}<br>" == escape_html(f"a\n{text}\n")
    assert (f"x{text}", {"html", "head", "body", "p"}) == (shown, tags)


@given(MARKUP, st.integers(-1, 80))
def test_cut_html_is_whole(source, limit):
    """Within its limit, its tags balanced and its own, cut once; nothing is torn."""
    short = truncate_html(source, limit)
    assert len(short) <= max(limit, 0)
    assert short == truncate_html(short, limit)
    assert read(short)[1] <= NAMES
    for name in ("b", "i", "u", "a", "font"):
        opened = short.count(f"<{name}>") + short.count(f"<{name} ")
        assert opened == short.count(f"</{name}>")


@given(st.text().map(plain), st.integers(2, 80))
@example('0"', 2)
def test_cut_html_ends_where_text_ends(text, limit):
    """What is left reads as the text cut somewhere, after a whole character."""
    shown = read(f"<p>{truncate_html(escape_html(text), limit)}</p>")[0]
    longer = f"{text} "  # escaped it may be over the limit by its last character alone
    assert shown in {truncate(longer, size) for size in range(1, len(longer))} | {text, "", "…"}


@pytest.mark.parametrize(("source", "limit", "expected"), [
    ("<b>abcdef</b>", 12, "<b>abcd…</b>"), ("a&amp;b", 6, "a…"), ("a&amp;b", 7, "a&amp;b"),
    ("<b>x", 99, "<b>x</b>"), ("x</b>", 99, "x"), ("<b><i>x</b>y", 99, "<b><i>x</i></b>y"),
    ("a<br>b<br>c", 8, "a<br>b…"), ("<b><i>x</i></b>", 3, "…"), ("&bogusss;x", 99, "&bogusss;x"),
    ("<b></b>", 3, ""), ('<a href="x">b', 99, '<a href="x">b</a>'),
    ("ab", 1, "…"), ("a", 1, "a"), ("ab", 0, ""),
    ("abe\u0301cd", 4, "ab…"), ("a\u200d\u200dbc", 3, "…"), ("a<br>be\u0301cd", 8, "a<br>b…"),
    ("&amp;be\u0301cd", 8, "&amp;b…"), ("e&#769;bc", 7, "…"), ("e&#769;bcd", 8, "e&#769;…"),
    ("&fjlig;e\u0301bc", 9, "&fjlig;…"), ("&#1;e\u0301bc", 6, "&#1;…"),
])  # fmt: skip
def test_cut_html(source, limit, expected):
    """The sign of a cut stands inside the tags, which are closed, after a whole character."""
    assert expected == truncate_html(source, limit)


@pytest.mark.parametrize(("text", "limit", "markup", "expected"), [
    ("abcdef", 10, False, "abcdef\n(n)"), ("abcdef", 9, False, "abcd…\n(n)"),
    ("<b>c</b>", 15, True, "<b>c</b><br>(n)"), ("<b>cdef</b>", 17, True, "<b>cd…</b><br>(n)"),
])  # fmt: skip
def test_note_is_the_last_line(text, limit, markup, expected):
    """The text is cut to leave room for it, each in its own mode."""
    assert expected == with_note(text, "n", limit, markup=markup)


def test_shortener_knows_the_mode():
    """Html is cut as html, other text as it is."""
    assert ["<b…", "…"] == [shortener(markup=mode)("<b>x</b>", 3) for mode in (False, True)]


def test_middle_is_cut_between_characters():
    """Start and end stay, each whole; a short room keeps the start alone."""
    text = "Command failed: " + "e\u0301" * 300 + " returned 1"
    cut = truncate_middle(text, 100)
    assert len(cut) <= 100
    start, end = cut.split("…")
    assert text.startswith(start)
    assert text.endswith(end)
    assert not end.startswith("\u0301")
    assert not start.endswith("e")
    for limit in range(60, 64):
        assert not truncate_middle(text, limit).partition("…")[2].startswith("\u0301")
    assert truncate(text, 59) == truncate_middle(text, 59)
    assert "short" == truncate_middle("short", 60)
