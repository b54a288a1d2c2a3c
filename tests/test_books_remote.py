"""A handler's part in a throttle that many hosts share, over a real Redis that comes and goes."""

import logging

import pytest
from conftest import Driven

from pushover_logging.books import remote
from pushover_logging.throttle import lending

E = logging.ERROR


@pytest.fixture
def server(redis):
    return redis


@pytest.fixture
def process(server, inbox):
    """Make handlers as on several hosts, each with its own memory, on a clock that stands still."""
    made = []

    def make(**options):
        made.append(Driven(inbox, throttle={"windows": [60], "store": server.url}, **options))
        return made[-1]

    yield make
    for one in made:
        one.end()


def items(one):
    return one.handler._ledger._sharing.throttle.items


def due(one):
    """Have every count be due, and asked for: Redis's own clock is not moved."""
    one.handler._ledger._sharing._due_at = 0.0
    table = items(one)
    names = table._redis.zrange(table._prefix + "due", 0, -1)
    for name in names:
        table._redis.zadd(table._prefix + "due", {name: 1})
        table.atomically(lambda name=name: ended(table, name))


def ended(table, name):
    problem = table.get(name)
    if problem is not None:
        problem.until = table.now()
        table.put(name, problem)


def test_end_of_a_problem_that_nobody_knows_is_not_told(process):
    """It is counted as suppressed; a known one's is a push."""
    one = process()
    one.handler.resolve("unknown")
    one.settle()
    assert [] == one.titles
    assert 1 == one.handler.stats().suppressed


def test_first_that_the_service_refused_for_now_is_decided_again(process):
    """Its lease is held; when it is tried again it is the same first, told once."""
    one, other = process(), process()
    one.inbox.fail_with(500, 500)
    one.log.error("A is down")
    one.settle()
    other.log.error("A is down")
    other.settle()
    assert [] == other.titles
    one.advance(60)
    assert ["A is down"] == one.titles
    assert (1, 1) == (one.handler.stats().sent, other.handler.stats().suppressed)


def test_redis_that_goes_away_while_a_message_waits_is_noted_in_it(process, server, caplog):
    """The push says that duplicates are possible, once; what counts alone says nothing."""
    one = process()
    one.settle()
    server.stop()
    one.inbox.fail_with(500)
    one.log.error("A is down")
    one.settle()
    one.advance(65)
    (push,) = one.inbox.messages
    assert remote.NOTE == push["message"].splitlines()[-1]
    assert 1 == push["message"].count(remote.NOTE)
    assert 1 == caplog.text.count("this process decides alone")


def test_count_that_was_on_its_way_when_redis_went_away_is_told_once(process, server):
    """It may have arrived: it is owed, and reported when Redis is back."""
    one = process()
    one.log.error("A is down")
    one.settle()
    one.log.error("A is down")
    server.stop()
    one.advance(2)
    server.start()
    one.advance(70)
    due(one)
    one.advance(2)
    assert ["A is down", "x1 more: A is down"] == one.titles


def test_end_of_a_push_reaches_redis_when_it_is_back(process, server, monkeypatch):
    """The window begins then; until then the process goes on alone."""
    one = process()
    client = one.handler._sender._client
    send = client.send

    def send_while_redis_stops(message):
        server.stop()
        return send(message)

    monkeypatch.setattr(client, "send", send_while_redis_stops)
    one.log.error("A is down")
    one.settle()
    assert ["A is down"] == one.titles
    sharing = one.handler._ledger._sharing
    assert 1 == len(sharing._ends)
    server.start()
    one.advance(70)
    assert [] == sharing._ends


def lent_and_not_sent(one):
    """Have a summary lent to a process, and the service fail."""
    for _ in range(3):
        one.log.error("A is down")
    one.advance(3)
    due(one)
    one.inbox.fail_with(500)
    one.advance(2)
    assert ["A is down"] == one.titles


def test_summary_whose_loan_ran_out_is_left_to_another(process, monkeypatch):
    """The service was away for longer than the lease: another process tells the count, once."""
    one, other = process(), process()
    with monkeypatch.context() as patch:
        patch.setattr(lending, "LEASE", 0.0)
        lent_and_not_sent(one)
    for _ in range(2):
        due(other)
        other.advance(2)
    assert ["A is down", "x2 more: A is down"] == one.titles
    one.advance(100)
    assert ["A is down", "x2 more: A is down"] == one.titles


def test_summary_is_sent_without_a_note_when_redis_goes_away(process, server):
    """What it counts was taken for all: it is no duplicate."""
    one = process()
    lent_and_not_sent(one)
    server.stop()
    one.advance(70)
    assert ["A is down", "x2 more: A is down"] == one.titles
    assert remote.NOTE not in one.inbox.messages[-1]["message"]


def test_escalation_brings_the_count_of_all_along(process):
    """It is told at once, with what was counted at the lower level; nothing is told twice."""
    one = process()
    for level in (E, E, E, logging.CRITICAL):
        one.log.log(level, "Disk", extra={"pushover": {"fingerprint": "disk"}})
        one.advance(2)
    assert "2 more at a lower level" in one.inbox.messages[1]["message"]
    due(one)
    one.advance(2)
    assert 2 == len(one.titles)


def test_count_that_is_due_while_a_process_ends_is_left_to_the_others(process):
    """It must not keep the program from ending: neither its last report nor the next look asks."""
    one, other = process(), process()
    for _ in range(3):
        one.log.error("A is down")
    one.advance(3)
    due(one)
    one.handler._sender.request_close()
    one.advance(5)
    assert ["A is down"] == one.titles
    due(other)
    other.advance(2)
    assert ["A is down", "x2 more: A is down"] == one.titles
