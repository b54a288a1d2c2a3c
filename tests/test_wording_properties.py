"""What holds for any record: its length, its root's line, and that its text stays text."""

import logging
from itertools import pairwise

import html5lib
from hypothesis import given, settings
from hypothesis import strategies as st

from pushover_logging import PushoverFormatter
from pushover_logging.rendering.redaction import Redaction
from pushover_logging.rendering.text import clean, truncate, truncate_middle

CLUSTERS = [
    "a", " ", "é", "<", "&", "\n", "\r\n", "無", "e\u0301", "z\u0308\u0323", "\u2764\ufe0f",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd", "\U0001f1eb\U0001f1f7",
    "\u1112\u1161\u11ab", "\ud558\u11ab", "\ud55c", "\u0915\u093f", "1\ufe0f\u20e3",
    "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
]  # fmt: skip
TEXT = st.one_of(
    st.text(),
    st.lists(st.sampled_from(CLUSTERS)).map("".join),
    st.sampled_from(["<b>x</b>", '"><script>', "' onclick='x", "&lt;b&gt;", "javascript:x", "%s"]),
    st.text(min_size=1).map(lambda text: text * 300),
)  # fmt: skip
PRINTED = TEXT.map(
    lambda text: "".join(char for char in text if char.isprintable() or char == "\n")
)
FIELDS = st.dictionaries(st.sampled_from(["order", "page", "user"]), TEXT)
MODES = st.sampled_from([{}, {"html": True}, {"monospace": True}])
STYLES = {
    "{": '<b>{message}</b>\n<a href="https://x.example/{order}">{cause:.30}</a>\n{page!s:>9}\n{extras}',
    "%": '<b>%(message)s</b>\n<a href="https://x.example/%(order)s">%(cause).30s</a>\n%(page)9s',
    "$": '<b>$message</b>\n<a href="https://x.example/$order">$cause</a>\n${page}\n$traceback',
}


def record(msg="boom happened", exc=None, **extra):
    info = (type(exc), exc, exc.__traceback__) if exc else None
    made = logging.LogRecord("shop", logging.ERROR, "/srv/shop/pay.py", 7, msg, (), info, "charge")
    made.__dict__.update(extra)
    return made


@given(st.lists(st.sampled_from(CLUSTERS)), st.integers(-1, 60))
def test_cut_stands_between_characters(clusters, limit):
    """Never longer than its limit, never inside a sequence, the same when cut again."""
    text = "".join(clusters)
    short = truncate(text, limit)
    assert len(short) <= max(limit, 0)
    assert short == truncate(short, limit)
    ends = {"".join(clusters[:number]) for number in range(len(clusters) + 1)}
    assert short == text or not short or short.removesuffix("…") in ends


@given(TEXT, FIELDS, MODES)
def test_any_record_fits(text, fields, mode):
    """Within the API's limits, in each mode, and never blank."""
    message = PushoverFormatter(host="web-1").message(record(text, **fields), mode)
    assert 1 <= len(message.message) <= 1024
    assert 1 <= len(message.title) <= 250
    assert message.message.strip()
    assert message.message.endswith("ERROR · shop · web-1")


def read(html):
    return [
        (node.tag, dict(node.attrib))
        for node in html5lib.parse(html, namespaceHTMLElements=False).iter()
        if node.tag not in {"html", "head", "body", "br"}
    ]


@settings(deadline=None)
@given(TEXT, FIELDS, st.sampled_from(sorted(STYLES)))
def test_text_of_a_record_stays_text(text, fields, style):
    """Neither tag, link nor attribute, whatever a template does with it; and it shows as it is."""
    made = record(text, exc=ValueError(text), **fields)
    plain = PushoverFormatter().message(made, {"html": True}).message
    assert [] == read(plain)
    formatter = PushoverFormatter(style=style, body=STYLES[style])
    found = read(formatter.message(made, {"html": True}).message)
    assert {tag for tag, _ in found} <= {"b", "a"}
    for tag, attributes in found:
        assert set(attributes) == ({"href"} if tag == "a" else set())
        assert attributes.get("href", "https://x.example/").startswith("https://x.example/")


@given(st.text(alphabet=st.characters(exclude_categories=["C", "Z"]), max_size=60))
def test_template_shows_a_text_as_it_is(text):
    """What html reads as its own arrives as the character that it was."""
    formatter = PushoverFormatter(style="{", body="<b>{message}</b>")
    html = formatter.message(record(f"x{text}"), {"html": True}).message
    tree = html5lib.parse(html, namespaceHTMLElements=False)
    assert f"x{text}" == "".join(tree.itertext())


KINDS = st.sampled_from(
    [ValueError, KeyError, OSError, RuntimeError, type("Own", (Exception,), {})]
)


def says_something_first(text):
    """Another line joins a first one that is a heading or a status: tests/test_headline.py."""
    first, *rest = [line.strip() for line in clean(text).splitlines() if line.strip()] or [""]
    return not rest or (any(map(str.isalpha, first)) and not first.endswith(":"))


@st.composite
def links(draw):
    exc = draw(KINDS)(draw(PRINTED.filter(says_something_first)))
    if draw(st.booleans()):
        try:
            raise exc
        except Exception:
            pass
    return exc


@st.composite
def chains(draw):
    """An exception with its chain, and the root of it."""
    found = draw(st.lists(links(), min_size=1, max_size=12))
    for inner, outer in pairwise(found):
        if draw(st.booleans()):
            outer.__cause__ = inner
        else:
            outer.__context__ = inner
    return found[-1], found[0]


def line_of(exc):
    """The name and the first line, by other means than the library's."""
    lines = [line.strip() for line in clean(str(exc)).splitlines() if line.strip()]
    return f"{type(exc).__name__}: {lines[0]}" if lines else type(exc).__name__


@settings(deadline=None)
@given(chains(), TEXT, FIELDS, MODES)
def test_root_of_any_chain_is_told(chain, text, fields, mode):
    """In the title, or under the message where the title is another: what the room allows."""
    exc, root = chain
    made = record(text, exc=exc, **fields)
    formatter = PushoverFormatter(redaction=Redaction(False))
    assert truncate_middle(line_of(root), 250) == formatter.message(made, mode).title
    own = formatter.message(made, {"title": "Mine", **mode}).message
    if mode.get("html"):
        tree = html5lib.parse(own.replace("<br>", "\n"), namespaceHTMLElements=False)
        own = "".join(tree.itertext())
    shown = 60 if mode.get("html") else 250  # an entity takes up to six characters
    assert "".join(line_of(root)[:shown].split()) in "".join(own.split())


@settings(deadline=None)
@given(st.lists(chains(), min_size=1, max_size=5))
def test_leaves_of_any_group_are_told(members):
    """The first leaf's root is the title; each has its line while there is room."""
    group = ExceptionGroup("several", [exc for exc, _ in members])
    message = PushoverFormatter(redaction=Redaction(False)).message(record(exc=group))
    more = f" (and {len(members) - 1} more)" if len(members) > 1 else ""
    assert truncate_middle(line_of(members[0][1]) + more, 250) == message.title
    assert "ExceptionGroup: several" in message.message or "more exceptions" in message.message
