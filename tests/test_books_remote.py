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


def test_first_that_had_to_go_is_told_by_the_next(process):
    """Where the outbox is full; nobody waits for a push that will never come."""
    one, other = process(capacity=1), process()
    one.inbox.fail_with(500)
    one.log.error("A is down")
    one.settle()
    one.log.critical("B is down")
    one.advance(60)
    assert ["B is down"] == one.titles
    other.log.error("A is down")
    other.settle()
    assert ["B is down", "A is down"] == one.titles


def test_first_that_grew_too_old_waits_for_a_digest(process):
    """The store hears that it was never sent, and another host's record is told with it."""
    one, other = process(max_age=100), process()
    one.inbox.fail_with(500)
    one.log.error("A is down")
    one.settle()
    one.clock.now += 200
    one.settle()
    one.advance(1)
    assert 1 == one.handler.stats().dropped_by["too old"]
    other.log.error("A is down")
    other.settle()
    other.advance(2)
    table = items(one)
    name = next(name for name, _ in table.atomically(table.waiting))
    problem = table.atomically(lambda: table.get(name))
    assert (False, True, 2) == (problem.pending, problem.newcomer, problem.number)


def test_fault_while_it_is_decided_costs_a_pause(process, monkeypatch):
    """What was claimed is put back, and told when that has passed."""
    one = process()
    sharing = one.handler._ledger._sharing
    real, failures = sharing.decide, iter([True])

    def fail(envelope):
        if next(failures, False):
            raise ArithmeticError("injected")
        return real(envelope)

    monkeypatch.setattr(sharing, "decide", fail)
    one.log.error("A is down")
    one.settle()
    assert [] == one.titles
    one.advance(100)
    assert ["A is down"] == one.titles


def test_redis_that_goes_away_again_is_said_again(process, server, caplog):
    """Once each time; how each push ended is not kept for it."""
    one = process()
    one.settle()
    for times in (1, 2):
        server.stop()
        one.log.error("A is down")
        one.advance(40)
        assert times == caplog.text.count("this process decides alone")
        assert [] == one.handler._ledger._sharing._ends
        server.start()
        one.advance(40)


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
    client = one.handler._pipeline._client
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
    one.handler._pipeline.thread.request_close()
    one.advance(5)
    assert ["A is down"] == one.titles
    due(other)
    other.advance(2)
    assert ["A is down", "x2 more: A is down"] == one.titles


def again(one, number):
    for _ in range(number):
        one.log.error("A is down")
    one.advance(2)


def test_count_outlives_the_store_that_held_it(process, server):
    """Emptied between two reports: each process hands over once more what nobody has told."""
    one, other = process(), process()
    again(one, 4)
    again(other, 3)  # its first is decided by all: it is counted there
    items(one)._redis.flushall()
    again(one, 1)
    again(other, 1)
    due(one)
    one.advance(2)
    assert ["A is down", "x8 more: A is down"] == one.titles


def test_process_at_rest_hands_over_what_the_store_has_lost(process, server):
    """It looks at what is due all the same; the problem itself is not told anew."""
    one, other = process(), process()
    again(one, 4)
    items(one)._redis.flushall()
    one.advance(15)
    again(other, 1)
    due(other)
    other.advance(2)
    assert ["A is down", "x4 more: A is down"] == one.titles


def test_problem_without_a_count_is_known_to_the_store_again(process, server):
    """Others do not tell it as a first, where whoever told it has been there before."""
    one, other = process(), process()
    again(one, 1)
    items(one)._redis.flushall()
    one.advance(15)
    again(other, 2)
    due(other)
    other.advance(2)
    assert ["A is down", "x2 more: A is down"] == one.titles


@pytest.mark.parametrize("teller", ["one", "other"])
def test_count_that_was_told_is_not_handed_over_again(process, teller):
    """Whoever told it: the others hear of it, at the latest when they ask what is due."""
    one, other = process(), process()
    again(one, 4)
    again(other, 2)
    chosen = {"one": one, "other": other}[teller]
    due(chosen)
    chosen.advance(2)
    for each in (one, other):
        each.handler._ledger._sharing.throttle.items.seen_at += 100  # the window is over
        asks(each)
    items(one)._redis.flushall()
    again(one, 1)
    again(other, 1)
    due(one)
    one.advance(2)
    assert ["A is down", "x5 more: A is down", "x2 more: A is down"] == one.titles


def asks(one):
    one.handler._ledger._sharing._due_at = 0.0
    one.advance(2)


def test_count_told_before_the_next_report_is_not_handed_over_again(process):
    """The report that comes after a summary brings the word of it along."""
    one, other = process(), process()
    again(one, 4)
    due(other)
    asks(other)
    again(one, 1)
    items(one)._redis.flushall()
    again(one, 1)
    due(one)
    one.advance(2)
    assert ["A is down", "x3 more: A is down", "x2 more: A is down"] == one.titles


@pytest.mark.parametrize("refused", [False, True])
def test_summary_under_way_while_the_store_is_emptied_is_told(process, refused):
    """Its loan vanished, and nobody else can have it: it is sent, or its count comes back."""
    one = process()
    lent_and_not_sent(one)
    items(one)._redis.flushall()
    if refused:
        one.inbox.fail_with(400)
    one.advance(70)
    due(one)
    one.advance(70)
    assert ["A is down", "x2 more: A is down"] == one.titles
    assert refused is ("The push before was refused." in one.inbox.messages[-1]["message"])


def test_store_that_was_emptied_before_the_end_gets_all_back(process):
    """A process that closes leaves its count to others, in the store that there is now."""
    one, other = process(), process()
    again(one, 3)
    items(one)._redis.flushall()
    one.handler._pipeline.thread.request_close()
    one.settle()
    due(other)
    other.advance(2)
    assert ["A is down", "x2 more: A is down"] == other.titles


def test_count_that_an_escalation_told_is_not_handed_over_again(process):
    """It went out with the push, of which the store knows nothing any more."""
    one = process()
    for level in (E, E, E, logging.CRITICAL):
        one.log.log(level, "Disk", extra={"pushover": {"fingerprint": "disk"}})
        one.advance(2)
    items(one)._redis.flushall()
    one.log.error("Disk", extra={"pushover": {"fingerprint": "disk"}})
    one.advance(2)
    due(one)
    one.advance(2)
    assert ["Disk", "Disk", "x1 more: Disk"] == one.titles


def test_end_that_the_store_knows_is_not_undone(process):
    """What was counted before a resolution, and came after it, is told under other problems."""
    one, other = process(), process()
    disk = {"levelno": E, "msg": "Disk", "created": 1.0, "pushover": {"fingerprint": "disk"}}
    one.log.handle(logging.makeLogRecord(disk))
    one.settle()
    one.log.handle(logging.makeLogRecord(disk))
    for _ in range(2):
        other.handler.resolve("disk")
        other.settle()
    one.advance(2)
    items(one)._redis.flushall()
    for each in (one, other):
        each.advance(15)
    due(one)
    one.advance(2)
    assert ["Disk", "Resolved: disk", "x1 more: other problems"] == one.titles


@pytest.mark.parametrize("known", [True, False])
def test_count_whose_answer_was_lost_is_taken_once(process, monkeypatch, known):
    """Also where it took a decision: the receipt is written with it, and outlives the problem."""
    one = process()
    again(one, 1)
    items(one)._redis.flushall()
    table, write = items(one), items(one)._commit

    def lost(*given, **named):
        monkeypatch.undo()
        write(*given, **named)
        if not known:
            due = table._prefix + "due"
            table._redis.delete(*(table._prefix + name for name in table._redis.zrange(due, 0, -1)))
            table._redis.delete(due)
        raise ConnectionError

    monkeypatch.setattr(table, "_commit", lost)
    again(one, 1)
    assert 1 == len(one.handler._ledger._sharing._owed)
    one.advance(40)
    due(one)
    one.advance(2)
    assert ["A is down", *(["x1 more: A is down"] if known else [])] == one.titles
