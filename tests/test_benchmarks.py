"""What the benchmarks compute from what they time, and how they say it."""

import importlib
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def timing(monkeypatch):
    return module("timing", monkeypatch)


@pytest.fixture
def report(monkeypatch):
    return module("report", monkeypatch)


@pytest.fixture
def trip(monkeypatch):
    return module("trip", monkeypatch)


def module(name, monkeypatch):
    if not (ROOT / "benchmarks").exists():
        pytest.skip("the benchmarks are not part of the package")
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module(f"benchmarks.{name}")


def test_turns_are_taken_in_turn(timing, capsys):
    """A B A B, each as often as it takes to be timed, and the seconds are those of one call."""
    order = []

    def turn_of(name, seconds):
        def turn(times):
            order.append(name)
            return seconds * times

        return turn

    effort = timing.Effort(quick=True)
    timed = timing.interleaved({"a": turn_of("a", 0.5), "b": turn_of("b", 1e-5)}, effort)
    assert ["a", "b"] * effort.rounds == order[-2 * effort.rounds :]
    assert (0.5, 1e-5) == (timed["a"].median, pytest.approx(timed["b"].median))
    assert "round" in capsys.readouterr().err


def test_ratio_is_of_each_round(timing):
    """Both over the base, round by round: what disturbs a whole round disturbs no ratio."""
    ours, theirs = timing.Series((2.0, 20.0, 3.0)), timing.Series((3.0, 30.0, 1.0))
    base = timing.Series((1.0, 10.0, 1.0))
    assert (0.5, 0.5) == timing.ratio(ours, theirs, base).values
    assert 2 / 3 == timing.ratio(ours, theirs).median
    assert (math.inf,) == timing.ratio(ours, base, base).values


@pytest.mark.parametrize("power", [-0.5, 0, 1, 2])
def test_exponent_is_the_curves(timing, power):
    """Of a curve that is one, exactly."""
    points = {x: 3 * x**power for x in (10, 100, 1000)}
    assert pytest.approx(power) == timing.exponent(points)


def test_percentile_is_one_of_the_values(timing):
    """The 99.9th of a thousand is the last but one."""
    assert (999, 500, 1) == tuple(timing.percentile(range(1, 1001), at) for at in (99.9, 50, 0))


def test_threads_do_the_work_together(timing):
    """Each does its part."""
    done = []
    assert timing.threaded(lambda times: done.append(times) or 0.0, 4)(100) > 0
    assert [25] * 4 == done


def test_profile_names_what_takes_the_time(timing):
    """The functions that take most of it themselves."""
    text = timing.profiled(timing.loop(lambda: sorted(range(100))), seconds=0.001)
    assert text.startswith("ncalls")
    assert "sorted" in text


def test_target_and_figure_stand_together(report):
    """Met or missed, in a terminal and on a page, with the plots beside it."""
    result = report.Result("1. A thing")
    result.checks = [
        report.Check("added", 0.25, 0.4, spread=(0.2, 0.3)),
        report.Check("rate", 0.5, 0.9, at_least=True),
    ]
    result.tables = [report.Table(["a record", "median"], [["ours", "1 us"]])]
    result.plots = [report.Plot("rate", "x", "y", {"a": {1: 2}})]
    result.profile = "1 sorted"
    text, page = report.as_text(result), report.as_markdown(result, "About it.", "plots")
    assert not result.is_met
    assert "added 0.25 x 0.2 to 0.3 at most 0.4 x met" in " ".join(text.split())
    assert "| rate | 0.5 x |  | at least 0.9 x | MISSED |" in page
    assert "![y by x](plots/rate.svg)" in page
    assert [True, False] == [one["met"] for one in result.data()["checks"]]


def frame(path, caller=None):
    """Return what a profile function reads of a frame."""
    return SimpleNamespace(f_code=SimpleNamespace(co_filename=path), f_back=caller)


def test_move_is_a_call_between_two_files_of_the_package(trip):
    """Also through a foreign function; not from outside, and not within a file."""
    package = Path(trip.PACKAGE)
    handler, sender = str(package / "handler.py"), str(package / "delivery" / "sender.py")
    outside = frame("logging.py")
    entry = frame(handler, outside)
    within = frame(handler, entry)
    foreign = frame("contextlib.py", within)
    moved = frame(sender, foreign)
    probe = trip.Probe()
    for called in (outside, entry, within, foreign, moved):
        probe.on_event(called, "call", None)
        probe.on_event(called, "return", None)
    expected = trip.Steps(calls=3, moves=1, files={"handler.py", "delivery/sender.py"})
    assert {"logging thread": expected} == probe.end()


@pytest.mark.process
@pytest.mark.parametrize(("outbox", "files"), [("memory", (18, 16)), ("SQLite", (20, 16))])
def test_new_problem_enters_few_files(trip, tmp_path, outbox, files):
    """On the logging thread and on the sender's, as docs/architecture.md says."""
    options = {"outbox": str(tmp_path / "outbox.sqlite")} if outbox == "SQLite" else {}
    with trip.service() as inbox:
        found = trip.lowest(trip.apart(trip.trips, inbox.url, 2, options))
    entered = tuple(len(found[name].files) for name in ("logging thread", "pushover-logging"))
    assert entered[0] <= files[0], found
    assert entered[1] <= files[1], found


def test_statements_count_only_in_a_watched_thread(trip):
    """BEGIN, COMMIT and ROLLBACK apart from the others."""
    probe, before = trip.Probe(), sys.getprofile()
    sys.setprofile(None)
    probe.on_statement("SELECT 1")
    assert {} == probe.end()
    sys.setprofile(lambda *_: None)
    for statement in ("BEGIN EXCLUSIVE", "INSERT INTO message", "pragma x", "commit", "ROLLBACK"):
        probe.on_statement(statement)
    sys.setprofile(before)
    assert {"logging thread": trip.Steps(transactions=3, statements=2)} == probe.end()


def test_each_figure_of_a_trip_is_the_lowest(trip):
    """Of a thread's own records, and of all threads' sums; a thread that rested did nothing."""
    ab, b, c = {"a", "b"}, {"b"}, {"c"}
    found = trip.lowest(
        [
            {"logging thread": trip.Steps(9, 1, 2, 5, ab), "sender": trip.Steps(1, 1, 0, 0, c)},
            {"logging thread": trip.Steps(7, 3, 2, 4, b), "sender": trip.Steps(5, 0, 0, 0, c)},
            {"logging thread": trip.Steps(8, 8, 8, 8, ab), "writer": trip.Steps(9, 9, 9, 9, b)},
        ]
    )
    expected = {
        "logging thread": trip.Steps(7, 1, 2, 4, b),
        "sender": trip.Steps(),
        "writer": trip.Steps(),
        "all threads": trip.Steps(10, 2, 2, 4, b | c),
    }
    assert list(expected.items()) == list(found.items())
