"""Any order of what may happen to a handler, held against what a person is promised."""

import contextlib
import os
import warnings

import pytest
from conftest import Driven, adds_up
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from stores import Stores

DAY = 86_400
WINDOW = 300  # seconds: the first of the throttle's windows
SPACING = 5  # seconds between two tries: https://pushover.net/api#friendly
PROBLEMS = ["disk", "database", "queue", "payment"]
REFUSED = {"status": 0, "errors": ["message cannot be read"], "request": "r"}
PASSING = [{"status": 500}, {"status": 502, "body": "<html>"}, {"reset": True}]


class Watched(Driven):
    """A driven handler that notes each try: its second, what was sent, the answer's status."""

    def __init__(self, inbox, **options):
        super().__init__(inbox, close_timeout=0, **options)
        self.tries = []

    def settle(self):
        wait = super().settle()
        for one in self.inbox.attempts[len(self.tries) :]:
            sent = tuple(one.fields.get(name) for name in ("title", "message", "timestamp"))
            self.tries.append((self.clock.now, sent, one.status))
        return wait


class Handler(RuleBasedStateMachine):
    """The model: how many records there were, and which tries may follow which."""

    inbox = options = None  # set for each run

    def __init__(self):
        super().__init__()
        self.inbox.reset()
        self.given = self.options()
        self.driven = Watched(self.inbox, **self.given)
        self.records = self.children = self.jumps = 0

    def teardown(self):
        """Once the service is well and ten minutes are over, nothing waits any more."""
        self.inbox.clear_faults()
        self.driven.advance(600)
        self.counters_add_up()
        assert 0 == self.driven.handler.stats().pending
        self.tries_keep_their_distance()
        self.problem_is_told_once_in_its_window()
        self.driven.end()

    @rule(problem=st.sampled_from(PROBLEMS), times=st.sampled_from([1, 2, 30]))
    def log(self, problem, times):
        own = {"fingerprint": problem}
        for number in range(self.records, self.records + times):
            self.driven.log.error("No %s, %d", problem, number, extra={"pushover": own})
        self.records += times

    @rule(problem=st.sampled_from(PROBLEMS), times=st.sampled_from([1, 2, 30]))
    def log_after_a_quiet_day(self, problem, times):
        """The problem is reported at once, however many records come before the sender looks."""
        self.inbox.clear_faults()
        for days in (0, 1, 1):
            self.driven.clock.now += days * DAY
            self.driven.advance(20)
        known = len(self.driven.tries)
        title = f"No {problem}, {self.records}"
        self.log(problem, times)
        self.driven.settle()
        assert title in {
            sent[0].removeprefix("Again: ") for _, sent, _ in self.driven.tries[known:]
        }

    @rule(seconds=st.sampled_from([0, 1, 7, 60, 301]))
    def let_time_pass(self, seconds):
        self.driven.advance(seconds)

    @rule(seconds=st.sampled_from([-3600, 3600]))
    def wall_clock_jumps(self, seconds):
        self.driven.clock.wall += seconds
        self.jumps += 1

    @rule(fault=st.sampled_from(PASSING))
    def service_fails(self, fault):
        self.inbox.fail_with(**fault)

    @rule()
    def service_refuses(self):
        self.inbox.fail_with(400, REFUSED)

    @rule()
    def flush(self):
        """Its word is true: nothing waits. A closed handler also waits for its last counts."""
        flushed = self.driven.handler.flush(timeout=0)
        assert not flushed or self.driven.handler.stats().pending == 0

    @rule()
    def close(self):
        """A late record is taken all the same."""
        self.driven.handler.close()

    @rule(problem=st.sampled_from(PROBLEMS))
    def fork(self, problem):
        """A real child: it begins at nought, and what it logs is its own."""
        with warnings.catch_warnings():
            # CPython 3.12 warns of any fork beside threads; a fork beside threads is the test.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(BaseException):
                before = self.driven.handler.stats().records
                self.driven.log.error("No %s in the child", problem)
                after = self.driven.handler.stats()
                code = int((before, after.records) != (0, 1) or not adds_up(after))
            os._exit(code)
        assert (child, 0) == os.waitpid(child, 0)
        self.children += 1

    @invariant()
    def counters_add_up(self):
        stats = self.driven.handler.stats()
        assert adds_up(stats), stats
        # What a child that is gone left in the file is counted by whoever takes it over.
        assert 0 <= stats.records - self.records <= self.children * ("outbox" in self.given)

    @invariant()
    def tries_keep_their_distance(self):
        """After a failure 5 s or more; what was refused never goes out again."""
        refused = set()
        last, failed = 0.0, False
        for now, sent, status in self.driven.tries:
            assert sent not in refused
            assert not failed or now - last >= SPACING
            last, failed = now, status not in {200, 400}
            # A count that was refused is told again by the next summary: it is never lost.
            refused |= {sent} if status == 400 and " more" not in sent[0] else set()

    @invariant()
    def problem_is_told_once_in_its_window(self):
        """What is no summary comes once in a window, whether it was accepted or refused.

        A clock that processes share is the wall's: each jump of it may cost one push.
        """
        told, again = {}, 0
        for now, (title, *_), status in self.driven.tries:
            if title.startswith(("No ", "Again: No ")) and status in {200, 400}:
                name = title.removeprefix("Again: ").partition(",")[0]
                again += now - told.get(name, -WINDOW) < WINDOW
                told[name] = now
        assert again <= self.jumps * bool(self.given)


@pytest.mark.parametrize("kind", ["memory", "file", "redis"])
def test_any_order(pushover_inbox, tmp_path, kind, request, monkeypatch):
    """Log, flush, fork, close, clocks that jump, a service that fails: six promises hold."""
    files = iter(range(10**6))

    server = request.getfixturevalue("common_redis") if kind == "redis" else None
    stores = Stores(kind, tmp_path, server, monkeypatch)

    def options():
        if kind == "redis":
            stores.empty()
            return {"clock": stores.clock, **stores.options()}
        return {"outbox": tmp_path / f"{next(files)}.sqlite"} if kind == "file" else {}

    machine = type(kind, (Handler,), {"inbox": pushover_inbox, "options": staticmethod(options)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples={"memory": 100, "file": 5, "redis": 5}[kind],
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[*HealthCheck],
        ),
    )
