"""What a phone shows of many kinds of record, as the inbox took it: the files in tests/golden.

A change of the wording shows as a change of these files: ``PUSHOVER_GOLDEN=write pytest
tests/test_golden.py`` writes them anew, and each is then to be read.
"""

import os
from pathlib import Path

import pytest
from conftest import Driven, drop
from golden_records import table
from html5lib import parse

GOLDEN = Path(__file__).parent / "golden"
MODES = {"plain": {}, "html": {"html": True}, "monospace": {"monospace": True}}
SECRETS = ("hunter2", "hunter3", "s3cr3t", "4242 4242", "'4242'", "abc'", "xyz")


@pytest.fixture(scope="module")
def records():
    return table()


@pytest.fixture
def shown(inbox, records):
    """Send each record in each mode; give what the inbox took, by name and mode."""
    found = {name: {} for name in records}
    for mode, options in MODES.items():
        driven = Driven(inbox, throttle=False, **options)
        for name, made in records.items():
            driven.handler.handle(made)
            driven.settle()
            found[name][mode] = inbox.messages[-1]
        assert len(records) == driven.handler.stats().sent
        drop(driven.handler)
    return found


def read(html):
    """Return what a browser shows of html, and its elements."""
    tree = parse(f"<p>{html}", namespaceHTMLElements=False)
    for line_break in tree.iter("br"):
        line_break.text = "\n"
    return "".join(tree.itertext()).replace("\u00a0", " "), {node.tag for node in tree.iter()}


def test_table_is_long_enough(records):
    """At least sixty records."""
    assert len(records) >= 60


def test_what_a_phone_shows(shown):
    """Title and text as they stand in the golden files, all accepted in each mode."""
    wanted = {}
    for name, pushes in shown.items():
        plain = pushes["plain"]
        text = f"{plain['title']}\n{'-' * 40}\n{plain['message']}\n"
        if read(pushes["html"]["message"])[0] != plain["message"]:
            text += f"{'-' * 14} html {'-' * 14}\n{pushes['html']['message']}\n"
        wanted[f"{name}.txt"] = text
        assert plain["title"] == pushes["html"]["title"] == pushes["monospace"]["title"]
        assert plain["message"] == pushes["monospace"]["message"]
    if os.environ.get("PUSHOVER_GOLDEN") == "write":
        GOLDEN.mkdir(exist_ok=True)
        for file, text in wanted.items():
            (GOLDEN / file).write_text(text, encoding="utf-8")
    golden = {file: (GOLDEN / file).read_text(encoding="utf-8") for file in wanted}
    assert golden == wanted


def test_no_file_is_left_over(records):
    """Each golden file is of a record in the table."""
    if "extra-wsgi-request" not in records:
        pytest.skip("some records cannot be made here")
    assert {f"{name}.txt" for name in records} == {path.name for path in GOLDEN.iterdir()}


def test_no_secret_and_no_markup_of_a_record_arrives(shown):
    """In no mode does a record's text bring a secret, a tag, a link or an attribute."""
    for pushes in shown.values():
        for mode, push in pushes.items():
            told = push["title"] + push["message"]
            assert [] == [secret for secret in SECRETS if secret in told]
            if mode == "html":
                assert {"html", "head", "body", "p", "br"} >= read(push["message"])[1]


def test_where_and_what_survive_every_cut(shown, records):
    """The root exception's line is in the title or the text, the place and the level's line too."""
    for name, pushes in shown.items():
        for push in pushes.values():
            last = push["message"].replace("<br>", "\n").splitlines()[-1]
            assert last == f"{records[name].levelname} · payments · web-1"
            assert "payments/api.py:" in push["message"] or "config/prod.py:3" in push["message"]
