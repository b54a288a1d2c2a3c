"""What docs/ says of the house is the house as it stands: its drawing, its public names."""

import importlib.util
from pathlib import Path

import pytest

import pushover_logging
from pushover_logging import exceptions

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture
def floors():
    script = DOCS / "floors.py"
    if not script.exists():
        pytest.skip("the documentation is not part of the package")
    spec = importlib.util.spec_from_file_location("floors", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_drawing_is_not_stale(floors):
    """Drawn again from the imports of today, it is the same; `python docs/floors.py` renews it."""
    assert (DOCS / "floors.svg").read_text(encoding="utf-8") == floors.drawing(*floors.house())


def test_arrow_that_a_longer_way_says_is_left_out(floors):
    """From the attic to the cellar through the hall: two arrows, not three."""
    graph = {"attic": {"hall", "cellar"}, "hall": {"cellar"}, "cellar": set()}
    assert [("attic", "hall"), ("hall", "cellar")] == floors.reduced(graph)


def test_reference_has_every_public_name():
    """What may be imported stands on the reference's page; the errors are there as a module."""
    page = DOCS / "api.md"
    if not page.exists():
        pytest.skip("the documentation is not part of the package")
    text = page.read_text(encoding="utf-8")
    names = [name for name in pushover_logging.__all__ if not hasattr(exceptions, name)]
    assert [] == [name for name in names if f" pushover_logging.{name}\n" not in text]
    assert ".. automodule:: pushover_logging.exceptions" in text
