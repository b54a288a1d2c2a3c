"""The simulator plays a fleet against the real rules."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "simulate.py"
DAY = 86_400


@pytest.fixture
def simulate(monkeypatch):
    if not SCRIPT.exists():
        pytest.skip("the benchmarks are not part of the package")
    spec = importlib.util.spec_from_file_location("simulate", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "simulate", module)
    spec.loader.exec_module(module)
    return module


def test_fleet_tells_one_incident_once(simulate, monkeypatch, capsys, tmp_path):
    """20: 1,000 hosts x 8 processes for 30 days: one FIRST, at most 40 pushes."""
    drawing = tmp_path / "incident.svg"
    monkeypatch.setattr(sys, "argv", ["simulate", "--plot", str(drawing)])
    simulate.main()
    out = capsys.readouterr().out
    figures = {line[:18].strip(): line[18:].strip() for line in out.splitlines()}
    assert 1 == out.count("  first ")
    assert int(figures["pushes"]) <= 40
    assert "0" == figures["problems untold"]
    assert "a second in the mean" in figures["Redis operations"]
    assert drawing.read_text(encoding="utf-8").startswith("<svg")


def test_incident_file_is_played(simulate, monkeypatch, capsys, tmp_path):
    """Each line is an event; a new problem is told at its own second."""
    file = tmp_path / "incident.jsonl"
    file.write_text(
        '{"at": 0, "problem": "A", "number": 5}\n{"at": 12, "problem": "B", "process": 3}\n',
        encoding="utf-8",
    )
    monkeypatch.setattr(sys, "argv", ["simulate", str(file), "--days", "1"])
    simulate.main()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [["first", "A"], ["first", "B"], ["summary", "A"]] == [
        [line[2], line[-1]] for line in lines[:3]
    ]
