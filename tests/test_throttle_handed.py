"""What a process remembers of its counts in a store that may be emptied: told by its views."""

import logging

from pushover_logging.throttle.handed import Handed
from pushover_logging.throttle.store import MEMORY_CAPACITY as CAPACITY
from pushover_logging.throttle.problem import OTHERS, Count, Problem, Report, View
from pushover_logging.throttle.table import REMAINDER

E = logging.ERROR


def count_of(key, **changes):
    given = {"number": 1, "total": 1, "since": 1.0, "last": 1.0, "level": E, "following": 1.0}
    return Count(key=key, **{**given, **changes})


def view_at(at, remaining=60.0, **changes):
    return View(E, remaining, at=at, **changes)


def lost(kept, now=3.0):
    """Return what another life of the store is to get."""
    return kept.lost(now, "another life")


def test_counts_of_one_problem_are_handed_over_as_one():
    """All that it counted since it was told: from the first to the last, at its highest level."""
    kept = Handed()
    one = count_of("a", number=2, total=2, since=5.0, last=6.0, places=("x",), sources=("1",))
    more = count_of("a", number=3, total=9, since=4.0, last=8.0, level=E + 10, places=("y", "x"),
                    sources=("2",), title="T", loan="loan")  # fmt: skip
    less = count_of("a", total=1, since=7.0, last=7.0, title="T", places=("y",))
    for at, count in enumerate((one, more, less), 1):
        kept.keep(count, view_at(float(at)), "life")
    whole = less._replace(number=6, total=9, since=4.0, last=8.0, level=E + 10,
                          places=("x", "y"), sources=("1", "2"))  # fmt: skip
    assert [Report(whole, E, 60.0)] == lost(kept)


def test_sum_names_as_many_as_a_problem_remembers():
    """20 places and 100 processes, as the problem itself."""
    kept = Handed()
    for names in (range(15), range(15, 120)):
        places = tuple(map(str, names))
        kept.keep(count_of("a", places=places, sources=places), view_at(1.0), "life")
    (one,) = lost(kept)
    assert (20, 100) == (len(one.count.places), len(one.count.sources))


def test_what_was_told_is_no_part_of_the_sum():
    """A problem told without a count begins with the next one; a count taken since is gone."""
    kept = Handed()
    kept.keep(count_of("a", number=0, since=1.0), view_at(1.0), "life")
    kept.keep(count_of("a", number=2, since=7.0), view_at(2.0, taken=1.0), "life")
    (one,) = lost(kept)
    assert (2, 7.0) == (one.count.number, one.count.since)
    kept.keep(count_of("a", number=5), view_at(1.0), "life")
    kept.keep(count_of("a", number=2), view_at(3.0, taken=1.5), "life")
    assert [2] == [one.count.number for one in lost(kept)]


def test_count_is_handed_over_as_the_store_saw_it():
    """A newcomer as such, without a loan, in its own time; what came after an end as the others."""
    kept = Handed()
    kept.keep(count_of("a", loan="x"), view_at(1.0, 10.0, newcomer=True), "life")
    kept.keep(count_of("pending", newcomer=True), view_at(1.0, None), "life")
    kept.keep(count_of("over", number=4, group="site"), view_at(1.0, 0.0, resolved=True), "life")
    assert [
        Report(count_of("a", newcomer=True), E, 8.0),
        Report(count_of("pending"), E, None),
        Report(count_of(REMAINDER, number=4, title=OTHERS), E, 0.0),
    ] == lost(kept)


def test_what_is_remembered_is_bounded():
    """The longest unchanged go first; those that were lost twice are none of it."""
    kept = Handed()
    for number in range(CAPACITY + 1):
        kept.keep(count_of(f"problem {number}"), View(E, 60.0, at=1.0), "first life")
    kept.keep(count_of("problem 1"), View(E, 60.0, at=2.0), "second life")
    names = [one.count.key for one in kept.lost(3.0, "third life")]
    assert CAPACITY + 1 == len(names)
    assert "problem 0" not in names
    assert 2 == names.count("problem 1")
    assert [] == kept.lost(3.0, "third life")


def test_problem_that_the_store_does_not_know_is_told():
    """It was told and is over; a name that is not remembered, or of another life, is passed by."""
    kept = Handed()
    kept.keep(count_of("elsewhere"), view_at(1.0, 2.0), "other")
    kept.keep(count_of("gone"), view_at(1.0, 2.0), "life")
    kept.keep(count_of("waits"), view_at(1.0, 2.0), "life")
    known = {"waits": Problem(told=E, number=1, taken=1.0), None: Problem(told=E, number=1)}
    kept.look(["unknown", "elsewhere", "gone", "waits"], "life", known.get)
    assert ["waits"] == kept.over(3.0, "life")
    assert [] == kept.over(2.9, "life")
    assert ["elsewhere", "waits"] == sorted(one.count.key for one in lost(kept))


def test_nobody_is_asked_of_a_window_that_goes_on():
    """Only of what is over in this life of the store, with its group."""
    kept = Handed()
    kept.keep(count_of("goes on"), View(E, 60.0, at=1.0), "life")
    kept.keep(count_of("pending"), View(E, None, at=1.0), "life")
    kept.keep(count_of("over", group="site"), View(E, 2.0, at=1.0), "life")
    kept.keep(count_of("of another life"), View(E, 2.0, at=1.0), "other")
    assert ["over", "site"] == kept.over(10.0, "life")
    assert ["pending", "over", "site"] == kept.over(40.0, "life")
    whole = Problem(told=E, number=3, taken=0.0)
    kept.look(["over", "site"], "life", {"site": whole}.get)
    assert ["over", "site"] == kept.over(10.0, "life")
    whole.taken = 5.0
    kept.look(["over", "site"], "life", {"site": whole}.get)
    assert [] == kept.over(10.0, "life")
