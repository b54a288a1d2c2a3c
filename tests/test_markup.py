"""Html that is cut, as a real parser reads it."""

import html5lib
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pushover_logging.rendering.text import (
    clean,
    escaped,
    shortener,
    truncate,
    truncate_html,
    with_note,
)

TAGS = ["<b>", "</b>", "<i>", "</i>", "<u>", "</u>", "<br>", '<a href="https://x.example/?a=1">',
        "</a>", '<font color="red">', "</font>"]  # fmt: skip
MARKUP = st.lists(st.one_of(st.text().map(clean).map(escaped), st.sampled_from(TAGS))).map("".join)
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
    shown, tags = read(f"<p>x{escaped(text)}</p>")
    assert f"a<br>{escaped(text)}<br>" == escaped(f"a\n{text}\n")
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
    shown = read(f"<p>{truncate_html(escaped(text), limit)}</p>")[0]
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
