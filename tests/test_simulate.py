"""The simulator plays a fleet against the real rules."""

import importlib.util
import sys
from pathlib import Path

import pytest

from pushover_logging.exceptions import RejectedError

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


def test_fleet_reports_one_incident_once(simulate, monkeypatch, capsys, tmp_path):
    """20: 1,000 hosts x 8 processes for 30 days: one FIRST, at most 40 pushes."""
    drawing = tmp_path / "incident.svg"
    monkeypatch.setattr(sys, "argv", ["simulate", "--plot", str(drawing)])
    simulate.main()
    out = capsys.readouterr().out
    figures = {line[:18].strip(): line[18:].strip() for line in out.splitlines()}
    assert 1 == out.count("  first ")
    assert int(figures["pushes"]) <= 40
    assert "0" == figures["never reported"]
    assert "a second in the mean" in figures["Redis operations"]
    assert drawing.read_text(encoding="utf-8").startswith("<svg")


def test_incident_file_is_played(simulate, monkeypatch, capsys, tmp_path):
    """Each line is an event; a new problem is reported at its own second."""
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


KINDS = {
    "no answer": {},
    "refused": {"error": RejectedError("refused", status=400)},
    "too old": {"max_age": 600},
    "a full outbox": {"capacity": 3},
}


@pytest.mark.parametrize("problems", [1, 4, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_outage_silences_no_problem_and_ends_in_no_flood(simulate, kind, problems):
    """Nothing can be sent for two hours: then all is reported, in few pushes, and goes on so."""
    outage = simulate.Outage(**KINDS[kind])
    stats = outage.play(problems, every=20.0, away=(0.0, 7200.0), end=14_400.0)
    assert 0 == stats.pending
    # Each that goes on is named again once the service is back, in a push of its own or a digest.
    outage.pass_until(DAY + 14_400)
    assert outage.records == outage.reported + outage.handler.stats().dropped_by.get("full", 0)
    back = [at for at, _ in outage.pushes]
    assert min(back) <= 7200 + (14_400 if kind == "refused" else 600)  # its windows have grown
    assert len(outage.pushes) <= 12 + 4 * problems
    assert max(sum(at <= other < at + 60 for other in back) for at in back) <= 15
    gaps = [later - at for at, later in zip(outage.attempts, outage.attempts[1:], strict=False)]
    failed = [gap for at, gap in zip(outage.attempts, gaps, strict=False) if at < 7200]
    assert kind == "refused" or min(failed, default=5.0) >= 5.0


@pytest.mark.process
@pytest.mark.parametrize("seed", range(5))
def test_emptied_redis_costs_no_count(simulate, common_redis, seed):
    """What nobody reported is handed over again; twice comes at most what no process heard of."""
    counted, reported, twice = simulate.emptied(common_redis.url, 6, 120, seed)
    assert counted <= reported <= counted + twice
