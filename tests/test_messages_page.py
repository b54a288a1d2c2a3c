"""docs/messages.md shows what a phone shows."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "messages.md"
SHOWN = re.compile(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"[\w-]+/\w+\.py:|\d\d:\d\d:\d\d")


@pytest.mark.process
@pytest.mark.parametrize("number", range(9))
def test_phone_shows_what_stands_under_the_program(program, inbox, number):
    """The last push's title and text, but for the program's file and the time."""
    source, text = SHOWN.findall(PAGE.read_text(encoding="utf-8"))[number]
    code, _, err = program.run(source)
    assert 0 == code, err
    push = inbox.messages[-1]
    assert FILE.sub("F:", text) == FILE.sub("F:", f"{push['title']}\n{push['message']}\n")


def test_every_program_has_its_push():
    """None is shown without what comes of it."""
    page = PAGE.read_text(encoding="utf-8")
    assert 9 == len(SHOWN.findall(page)) == page.count("```python")
