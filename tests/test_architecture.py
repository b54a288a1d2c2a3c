"""The drawing in docs/architecture.md is the house as it stands."""

import importlib.util
from pathlib import Path

import pytest

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
