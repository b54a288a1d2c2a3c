"""What docs/ says of the code is the code as it stands: its pictures, its public names."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
from conftest import Driven

import pushover_logging
from pushover_logging import exceptions

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PACKAGE = Path(pushover_logging.__file__).parent


@pytest.fixture
def drawings():
    script = DOCS / "drawings.py"
    if not script.exists():
        pytest.skip("the documentation is not part of the package")
    spec = importlib.util.spec_from_file_location("drawings", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["layers.svg", "problem.svg", "trip.svg"])
def test_picture_is_not_stale(drawings, name):
    """Drawn again from the code of today, it is the same; `python docs/drawings.py` renews it."""
    assert drawings.PICTURES[name]() == (DOCS / name).read_text(encoding="utf-8")


def test_trip_is_the_one_that_a_record_takes(drawings, inbox):
    """Each call of the picture happens, in that order."""
    steps = [drawings.function(name).__code__ for *_, name in drawings.TRIP]
    calls = []

    def watch(frame, event, _):
        if event == "call" and frame.f_code in steps and frame.f_code not in calls:
            calls.append(frame.f_code)

    driven, before = Driven(inbox), sys.getprofile()
    sys.setprofile(watch)
    driven.log.error("No database")
    driven.settle()
    sys.setprofile(before)
    driven.end()
    assert steps == calls


def test_arrow_that_a_longer_way_says_is_left_out(drawings):
    """From the attic to the cellar through the hall: two arrows, not three."""
    graph = {"attic": {"hall", "cellar"}, "hall": {"cellar"}, "cellar": set()}
    assert [("attic", "hall"), ("hall", "cellar")] == list(drawings.reduced(graph))


def test_page_names_files_and_names_that_there_are():
    """Each path of the package and of the tests exists, and each class with its method."""
    page = DOCS / "architecture.md"
    if not page.exists():
        pytest.skip("the documentation is not part of the package")
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:\w+/)+\w+\.py)`", text):
        assert any((folder / path).exists() for folder in (ROOT, PACKAGE)), path
    source = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    for name, method in re.findall(r"`([A-Z][a-z]\w+)\.(\w+)`", text):
        assert re.search(rf"class {name}\b", source), name
        assert re.search(rf"def {method}\b|\b{method}\b", source), method


def test_reference_has_every_public_name():
    """What may be imported stands on the reference's page; the errors are there as a module."""
    page = DOCS / "api.md"
    if not page.exists():
        pytest.skip("the documentation is not part of the package")
    text = page.read_text(encoding="utf-8")
    names = [name for name in pushover_logging.__all__ if not hasattr(exceptions, name)]
    assert [] == [name for name in names if f" pushover_logging.{name}\n" not in text]
    assert ".. automodule:: pushover_logging.exceptions" in text
