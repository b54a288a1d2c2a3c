"""How fast messages are delivered over loopback, beside a bare requests.Session."""

from __future__ import annotations

import time
from typing import Any

import requests

from benchmarks import handlers
from benchmarks.apart import apart
from benchmarks.blocking import WORDS
from benchmarks.progress import say
from benchmarks.report import Result, Table, check, number
from benchmarks.service import TOKEN, USER, service
from benchmarks.timing import Effort, Series, profiled, ratio

TARGET = 0.9
OURS, BARE = "pushover_logging", "a bare requests.Session"
NOT_SENT = {"received", "request", "attachment", "receipt", "decrypted"}


def delivered(url: str, count: int) -> float:
    """Return the seconds from the first logging call to the last answer."""
    with handlers.ours(url, throttle=False, capacity=2 * count) as log:
        (handler,) = log.handlers
        start = time.perf_counter()
        for n in range(count):
            log.error(f"Cannot reach {WORDS[n % 8]} for customer {n}")  # noqa: G004
        if not handler.flush(60):  # type: ignore[call-arg]
            raise TimeoutError
        return time.perf_counter() - start


def posted(url: str, bodies: list[dict[str, str]]) -> float:
    """Return the seconds that the same bodies take, posted one after the other."""
    with requests.Session() as session:
        start = time.perf_counter()
        for body in bodies:
            session.post(f"{url}/1/messages.json", data=body, timeout=10).raise_for_status()
        return time.perf_counter() - start


def by_peer(name: str, url: str, budget: float) -> float:
    """Return how many calls a second a peer makes that sends in the call."""
    with handlers.SENDING[name](url) as log:
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < budget:
            log.error(f"Cannot reach {WORDS[count % 8]} for customer {count}")  # noqa: G004
            count += 1
        return count / (time.perf_counter() - start)


def bodies_of(messages: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return what was posted for these messages."""
    return [
        {
            "token": TOKEN,
            "user": USER,
            **{name: value for name, value in one.items() if name not in NOT_SENT and value},
        }
        for one in messages
    ]


def run(effort: Effort) -> Result:
    """Measure in turns, each in a new process; then the peers."""
    result = Result("5. Delivery over loopback")
    count, rounds = effort.of(1000, 200), effort.of(9, 2)
    ours, bare = [], []
    with service() as inbox:
        delivered(inbox.url, count)
        bodies = bodies_of(inbox.messages(count))
        for round_ in range(rounds):
            say(f"round {round_ + 1} of {rounds}")
            for took, work, given in ((ours, delivered, count), (bare, posted, bodies)):
                inbox.reset()
                took.append(apart(work, inbox.url, given) or 60.0)
        rows = [
            (name, f"{number(count / Series(tuple(took)).median)} a second", spread(took, count))
            for name, took in ((BARE, bare), (OURS, ours))
        ]
        for name in ("notifiers", "apprise", "Logbook"):
            say(name)
            inbox.reset()
            rate = apart(by_peer, name, inbox.url, float(effort.of(3, 1)))
            rows.append((name, f"{number(rate or 0.0)} a second", ""))
        rates = ratio(Series(tuple(bare)), Series(tuple(ours)))
        what = f"{count} messages: rate, of a bare Session's"
        result.checks.append(check(what, rates, TARGET, at_least=True))
        result.tables.append(Table(["messages", "median", "spread"], rows))
        result.notes.append("Logbook opens a connection a message, and does not read the answer.")
        if not result.is_met:
            inbox.reset()
            result.profile = profiled(lambda _: delivered(inbox.url, count))
    return result


def spread(took: list[float], count: int) -> str:
    """Return the slowest and the fastest rate."""
    return f"{number(count / max(took))} to {number(count / min(took))}"
