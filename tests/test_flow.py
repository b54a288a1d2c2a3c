"""A record's way to the inbox and back: answers, retries, windows, counters."""

import logging
import re
import time

import pytest
from conftest import Mute

from pushover_logging.inbox import Inbox

USER = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"

RECORDED = [
    ("message", '{"message":"cannot be blank","errors":["message cannot be blank"],"status":0}'),
    ("html", '{"html":"cannot be set with monospace","monospace":"cannot be set with html",'
             '"errors":["html and monospace are mutually exclusive"],"status":0}'),
    ("priority", '{"priority":"is invalid","errors":["priority is invalid"],"status":0}'),
    ("expire", '{"expire":"must be supplied with priority=2","errors":["expire"],"status":0}'),
    ("retry", '{"retry":"is too small","errors":["retry is invalid"],"status":0}'),
]  # fmt: skip


def test_error_arrives_once_with_its_second_and_its_exception(drive):
    """The exception's line is the title, the priority 0, the timestamp the record's own second."""
    driven = drive()
    try:
        raise ValueError("bad thing")
    except ValueError:
        driven.log.exception("Cannot charge %s", "A-1")
    driven.settle()
    (push,) = driven.inbox.messages
    assert "ValueError: bad thing" == push["title"]
    assert "0" == push["priority"]
    assert "Cannot charge A-1" == push["message"].splitlines()[0]
    assert 1 == driven.handler.stats().sent


def test_timestamp_is_the_records_own_second(drive):
    """However late it is sent."""
    driven = drive()
    record = logging.makeLogRecord({"msg": "boom happened", "levelno": 40})
    record.created = 1_700_000_000.9
    driven.handler.handle(record)
    driven.settle()
    assert "1700000000" == driven.inbox.messages[0]["timestamp"]


@pytest.mark.parametrize("created", [float("nan"), float("inf"), 1e300, 1.8e18, -5.0, "now", None])
def test_record_without_a_time_is_of_this_moment(drive, created):
    """Made by hand, or in nanoseconds: it is told and counted as any other, and stays as it is."""
    driven = drive(throttle=600)
    record = logging.makeLogRecord({"msg": "boom happened", "levelno": 40, "created": created})
    for _ in range(3):
        driven.handler.handle(record)
    driven.advance(600)
    assert ["boom happened", "2 more: boom happened"] == driven.titles
    assert str(int(driven.clock.time()) - 600) == driven.inbox.messages[0]["timestamp"]
    assert str(created) == str(record.created)


@pytest.mark.parametrize(("level", "priority"), [
    (5, "-2"), (10, "-2"), (20, "-1"), (25, "-1"), (30, "-1"), (40, "0"), (45, "0"), (50, "1"),
    (60, "1"),
])  # fmt: skip
def test_levels_take_the_nearest_threshold_below(drive, level, priority):
    """Each level has the design's priority; one between takes the nearest below."""
    driven = drive()
    driven.log.log(level, "something of level %s happened", level)
    driven.settle()
    assert [priority] == [push["priority"] for push in driven.inbox.messages]


def test_emergency_is_opted_in_with_retry_and_expire(drive):
    """A level that is given the emergency priority repeats every 60 s for an hour."""
    driven = drive(levels={"CRITICAL": "emergency"})
    driven.log.critical("down")
    driven.settle()
    (push,) = driven.inbox.messages
    assert ("2", "60", "3600") == (push["priority"], push["retry"], push["expire"])


def test_ten_thousand_equal_errors_are_two_pushes(drive):
    """One at once, and a summary of 9,999 when the window ends, with no further record."""
    driven = drive()
    for _ in range(10_000):
        driven.log.error("Cannot connect to %s", "db-7")
    driven.advance(299)
    assert ["Cannot connect to db-7"] == driven.titles
    driven.advance(1)
    assert ["Cannot connect to db-7", "9999 more: Cannot connect to db-7"] == driven.titles
    driven.advance(8 * 3600)
    assert 2 == len(driven.titles)


def test_summary_comes_by_the_real_timer(handler_for, inbox):
    """The same on the real clock, with a window of half a second."""
    handler = handler_for(throttle=0.5)
    log = logging.Logger("shop")
    log.addHandler(handler)
    for _ in range(1_000):
        log.error("Cannot connect to %s", "db-7")
    titles = [push["title"] for push in inbox.wait_for(2)]
    assert ["Cannot connect to db-7", "999 more: Cannot connect to db-7"] == titles


@pytest.mark.parametrize(("status", "body"), [
    (500, "oops"), (502, "<html>Bad gateway</html>"), (200, "{broken"), (200, "[]"), (302, ""),
    (503, '{"status":0,"errors":["no"]}'),
])  # fmt: skip
def test_passing_fault_is_tried_again_after_five_seconds(drive, status, body):
    """5xx, a page, broken JSON, a redirect: the same again, no sooner than 5 s, then growing."""
    driven = drive()
    driven.inbox.fail_with(status, body, times=3)
    driven.log.error("boom happened")
    driven.advance(4.9)
    assert 1 == len(driven.inbox.attempts)
    driven.advance(2.7)  # 5 + uniform(0, 10 - 5), which is 7.5 on this clock
    assert 2 == len(driven.inbox.attempts)
    driven.advance(12.3)  # 5 + uniform(0, 20 - 5), which is 12.5: 20.0 in all
    assert 2 == len(driven.inbox.attempts)
    driven.advance(1000)
    assert (4, 1, 0) == (
        len(driven.inbox.attempts), driven.handler.stats().sent, driven.handler.stats().pending,
    )  # fmt: skip


@pytest.mark.parametrize(("status", "body"), [
    *((400, body) for _, body in RECORDED), (200, '{"status":0,"errors":["no"]}'),
    (413, '{"status":0,"errors":["no"]}'),
])  # fmt: skip
def test_refused_message_is_never_sent_again(drive, caplog, status, body):
    """The service's own refusal is reported once and never repeated."""
    driven = drive()
    driven.inbox.fail_with(status, body, times=None)
    driven.log.error("boom happened")
    driven.advance(1000)
    assert 1 == len(driven.inbox.attempts)
    assert 1 == driven.handler.stats().rejected
    assert 1 == caplog.text.count("rejected")


@pytest.mark.parametrize("blamed", ["token", "user"])
def test_refused_credential_opens_the_circuit(drive, caplog, blamed):
    """One warning, a probe after 10 min, then doubling; put right, everything goes out."""
    driven = drive()
    body = f'{{"{blamed}":"invalid","errors":["{blamed} is invalid"],"status":0}}'
    driven.inbox.fail_with(400, body, times=2)
    driven.log.error("first trouble")
    driven.log.critical("second trouble")
    driven.advance(599)
    assert 1 == len(driven.inbox.attempts)
    driven.advance(1)
    assert 2 == len(driven.inbox.attempts)
    driven.advance(1199)
    assert 2 == len(driven.inbox.attempts)
    driven.advance(1)
    assert ["second trouble", "first trouble"] == driven.titles
    assert f"{blamed} refused" in caplog.text


@pytest.mark.parametrize(("headers", "wait"), [
    ({}, 60), ({"Retry-After": "30"}, 30), ({"Retry-After": "-4"}, 60),
    ({"Retry-After": "1000000000"}, 3600), ({"Retry-After": "soon"}, 60),
    ({"Retry-After": "nan"}, 60), ({"Retry-After": "1"}, 5),
    ({"Retry-After": "Tue, 24 Nov 2015 00:00:00 GMT"}, 60),
])  # fmt: skip
def test_too_many_requests_without_limits_waits_as_told(drive, headers, wait):
    """429: nothing before Retry-After (at most an hour), or 60 s; the Message is kept."""
    driven = drive()
    limits = {f"X-Limit-App-{name}": "?" for name in ("Limit", "Remaining", "Reset")}
    driven.inbox.fail_with(429, "{}", {**limits, **headers}, times=1)
    driven.log.error("boom happened")
    driven.advance(wait - 0.5)
    assert 1 == len(driven.inbox.attempts)
    driven.advance(0.6)
    assert 1 == driven.handler.stats().sent


@pytest.mark.parametrize("status", [200, 429])
def test_limits_without_measure_are_none(drive, status):
    """A proxy that answers nonsense ends no sender: the next Message is sent as ever."""
    driven = drive()
    limits = {f"X-Limit-App-{name}": "1" + "0" * 400 for name in ("Limit", "Remaining", "Reset")}
    driven.inbox.fail_with(status, '{"status":1,"request":"r"}', limits)
    driven.log.error("boom happened")
    driven.advance(60)
    driven.log.error("another thing")
    driven.advance(60)
    assert (2, 10_000) == (driven.handler.stats().sent, driven.handler.stats().quota.limit)


def test_quota_waits_for_its_reset(drive):
    """429 with the limit headers: nothing until the reset."""
    driven = drive()
    driven.inbox.set_quota(remaining=0, reset=time.time() + 7200)
    driven.log.error("boom happened")
    driven.advance(7190)
    assert 1 == len(driven.inbox.attempts)
    quota = driven.handler.stats().quota
    assert (10_000, 0) == (quota.limit, quota.remaining)
    driven.inbox.set_quota(remaining=10)
    driven.advance(11)
    assert 1 == driven.handler.stats().sent


def test_refused_connection_is_tried_again(drive, free_port):
    """Nobody listens: the Message waits, and arrives when somebody does."""
    driven = drive(api_url=f"http://127.0.0.1:{free_port}")
    driven.log.error("boom happened")
    driven.advance(5)
    assert 1 == driven.handler.stats().pending
    assert "no answer" in driven.handler.stats().last_error
    with Inbox(port=free_port) as late:
        driven.advance(10)
        assert 1 == len(late.messages)


def test_read_timeout_is_tried_again(drive):
    """An answer that does not come in time is a passing fault."""
    driven = drive(timeout=(1, 0.2))
    driven.inbox.fail_with(500, delay=0.6)
    driven.log.error("boom happened")
    driven.advance(5)
    assert 1 == driven.handler.stats().pending
    driven.advance(20)
    assert 1 == driven.handler.stats().sent


def test_named_user_that_is_refused_falls_back_to_the_default(drive, caplog):
    """The alert reaches the default user, and says why."""
    other = "o" * 30
    driven = drive(levels={"ERROR": {"user": other}})
    driven.inbox.refused.add(other)
    driven.log.error("boom happened")
    driven.settle()
    (push,) = driven.inbox.messages
    assert push["message"].endswith("(its own user was refused; sent to the default user)")
    assert 1 == caplog.text.count("user of a level or a record refused")


def test_named_user_that_is_refused_is_asked_again_ever_more_rarely(drive, caplog):
    """One probe after 10 min, then after 20: the others go to the default user without a try."""
    other = "o" * 30
    driven = drive(levels={"ERROR": {"user": other}}, throttle=False)
    driven.inbox.refused.add(other)
    for _ in range(40):
        driven.log.error("boom happened")
        driven.advance(60)
    refused = [one for one in driven.inbox.attempts if one.status == 400]
    assert (3, 40) == (len(refused), len(driven.inbox.messages))
    driven.inbox.refused.clear()
    driven.advance(3600)
    for _ in range(2):
        driven.log.error("boom happened")
    driven.settle()
    assert [other] * 2 == [push["user"] for push in driven.inbox.messages[40:]]
    assert 1 == caplog.text.count("record refused")


def test_refused_default_user_leaves_the_others_alone(drive):
    """While the default user's circuit is open, what names another user goes on."""
    other = "o" * 30
    driven = drive(levels={"CRITICAL": {"user": other}})
    driven.inbox.refused.add(USER)
    driven.log.error("first trouble")
    driven.settle()
    driven.log.critical("second trouble")
    driven.log.error("third trouble")
    driven.advance(590)
    assert ["second trouble"] == driven.titles
    driven.inbox.refused.clear()
    driven.advance(10)
    assert ["second trouble", "first trouble", "third trouble"] == driven.titles


@pytest.mark.parametrize(("status", "body"), [
    (400, '{"attachment":"is invalid","errors":["no"],"status":0}'), (413, "too large"),
])  # fmt: skip
def test_refused_attachment_costs_the_picture_alone(drive, status, body):
    """The text arrives without it, and says so; a proxy's 413 names no parameter."""
    driven = drive()
    driven.inbox.fail_with(status, body)
    driven.log.error("boom", extra={"pushover": {"attachment": b"no image"}})
    driven.settle()
    (push,) = driven.inbox.messages
    assert push["message"].endswith("(the attachment was refused)")


def test_attachment_that_times_out_twice_is_left_out(drive):
    """A slow link costs the picture, not the alert."""
    driven = drive(timeout=(1, 0.2))
    driven.inbox.fail_with(500, delay=0.6, times=2)
    driven.log.error("boom", extra={"pushover": {"attachment": b"picture"}})
    driven.advance(100)
    (push,) = driven.inbox.messages
    assert push["message"].endswith("(the attachment could not be sent)")


def test_root_at_debug_never_loops(handler_for, inbox, root):
    """With requests and urllib3 logging at DEBUG through two handlers, one error is one POST."""
    root.setLevel(logging.DEBUG)
    first = handler_for(throttle=False)
    root.addHandler(first)
    logging.getLogger("shop").error("boom happened")
    assert first.flush(10)
    first.close()
    root.removeHandler(first)
    assert ["boom happened"] == [push["title"] for push in inbox.messages]
    assert 1 == len(inbox.attempts)


def test_record_is_never_changed(drive):
    """What another handler of the logger sees before and after is the same."""
    driven = drive()
    seen = []

    class Watch(logging.Handler):
        def emit(self, record):
            seen.append(dict(record.__dict__))

    driven.log.handlers.insert(0, Watch())
    driven.log.addHandler(Watch())
    try:
        raise KeyError("x")
    except KeyError:
        driven.log.exception("with %s", "args", extra={"order": 1, "pushover": {"sound": "bike"}})
    assert seen[0] == seen[1]


def test_record_that_cannot_be_formatted_goes_to_handle_error(drive, capsys):
    """The program goes on, the fault is shown as logging shows it, and is counted."""
    driven = drive()
    driven.log.error("%s", Mute())
    driven.log.error("count %s of them", Mute())
    assert (2, 2) == (driven.handler.stats().records, driven.handler.stats().failed)
    assert "--- Logging error ---" in capsys.readouterr().err


@pytest.mark.parametrize("drive", ["memory"], indirect=True)
def test_full_outbox_drops_the_least_urgent_and_says_so_once(drive, caplog):
    """The CRITICAL of a storm arrives, what had to go is counted exactly, with one warning."""
    driven = drive(throttle=False, capacity=5)
    for number in range(20):
        driven.log.info("news %d", number)
    driven.log.critical("down")
    driven.settle()
    stats = driven.handler.stats()
    assert {"full": 16} == stats.dropped_by
    assert "down" == driven.titles[0]
    assert 1 == caplog.text.count("outbox is full")


@pytest.mark.parametrize("drive", ["memory"], indirect=True)
def test_full_outbox_tells_what_it_dropped_in_the_next_summary(drive):
    """A first that had to go is a problem untold: its next record tells it."""
    driven = drive(capacity=1)
    driven.log.error("Cannot find %s", "it")
    driven.log.critical("Cannot connect to %s", "db-7")
    driven.settle()
    driven.log.error("Cannot find %s", "it")
    driven.settle()
    assert ["Cannot connect to db-7", "Cannot find it"] == driven.titles
    assert {"full": 1} == driven.handler.stats().dropped_by


def test_summary_that_is_dropped_is_counted_again(drive):
    """A count is never lost: the next summary has it, no record is counted as dropped."""
    driven = drive(throttle={"windows": [60, 600]}, max_age=100)
    for _ in range(5):
        driven.log.error("Cannot connect to %s", "db-7")
    driven.settle()
    driven.inbox.fail_with(500, times=None)
    driven.advance(500)
    assert {} == driven.handler.stats().dropped_by
    driven.inbox.clear_faults()
    driven.advance(1000)
    assert "4 more: Cannot connect to db-7" == driven.titles[-1]


def test_rejected_summary_is_counted_again(drive):
    """The service refuses a summary: its count comes with the next one."""
    driven = drive(throttle={"windows": [60, 600]})
    for _ in range(5):
        driven.log.error("Cannot connect to %s", "db-7")
    driven.settle()
    driven.inbox.fail_with(400, '{"message":"is bad","errors":["is bad"],"status":0}')
    driven.advance(1000)
    assert ["Cannot connect to db-7", "4 more: Cannot connect to db-7"] == driven.titles


@pytest.mark.parametrize("drive", ["memory"], indirect=True)
def test_outbox_bounds_its_bytes_too(drive):
    """Eight MiB of pictures, however few Messages."""
    driven = drive(throttle=False)
    for number in range(10):
        picture = {"attachment": b"x" * 2**20, "attachment_type": "image/png"}
        driven.log.error("trouble %d", number, extra={"pushover": picture})
    stats = driven.handler.stats()
    assert (7, {"full": 3}) == (stats.pending, stats.dropped_by)


@pytest.mark.parametrize("drive", ["memory"], indirect=True)
def test_outbox_that_holds_nothing_but_what_is_sent_keeps_it(drive):
    """What is being sent is not dropped for a newcomer: the newcomer goes."""
    driven = drive(throttle=False, capacity=1)
    driven.log.error("first trouble")
    outbox = driven.handler._pipeline.outbox
    claimed = outbox.claim((), ())
    driven.log.critical("second trouble")
    assert {"full": 1} == driven.handler.stats().dropped_by
    outbox.retry(claimed)
    driven.settle()
    assert ["first trouble"] == driven.titles


def test_429_is_told_once(drive, caplog):
    """However often it comes, until something was sent."""
    driven = drive()
    limits = {f"X-Limit-App-{name}": "?" for name in ("Limit", "Remaining", "Reset")}
    driven.inbox.fail_with(429, "{}", limits, times=3)
    driven.log.error("boom happened")
    driven.advance(600)
    assert 1 == driven.handler.stats().sent
    assert 1 == caplog.text.count("429")


def test_what_was_too_old_to_send_is_named_when_the_service_is_back(drive):
    """After thirty hours, or a quota that was used up for days: nothing is lost in silence."""
    driven = drive()
    for _ in range(10):
        driven.log.error("No database %s", 7)
    driven.settle()
    driven.inbox.fail_with(500, times=None)
    driven.log.error("No disk %s", 1)
    driven.log.critical("No power %s", 1)
    driven.advance(30 * 3600)
    driven.inbox.clear_faults()
    driven.advance(3600)
    said = " ".join(f"{push['title']} {push['message']}" for push in driven.inbox.messages[1:])
    assert ["x1 No power 1", "x1 No disk 1"] == re.findall(r"x1 No \w+ 1", said)
    assert 1 == len(re.findall(r"\bx?9 (?:more: )?No database", said)), said
    assert {"too old": 2} == driven.handler.stats().dropped_by


@pytest.mark.parametrize("throttle", [None, False])
def test_too_old_a_message_is_dropped(drive, throttle):
    """What could not be sent within max_age is dropped, and counted by its reason."""
    driven = drive(max_age=60, throttle=throttle)
    driven.inbox.fail_with(500, "", times=None)
    driven.log.error("boom happened")
    driven.advance(3600)
    assert {"too old": 1} == driven.handler.stats().dropped_by


def test_last_counts_are_told_at_close(drive):
    """At close one digest at -2 tells what no summary has told yet."""
    driven = drive()
    for _ in range(3):
        driven.log.error("Cannot connect to %s", "db-7")
        driven.log.error("Cannot find %s", "it")
    driven.settle()
    driven.handler._pipeline.thread.request_close()
    driven.advance(1)
    digest = driven.inbox.messages[-1]
    assert ("4 more of 2 problems", "-2") == (digest["title"], digest["priority"])


def test_last_counts_that_do_not_get_through_are_not_said_again(drive):
    """A digest that the service refuses at exit ends there: the exit ends as well."""
    driven = drive()
    for _ in range(3):
        driven.log.error("Cannot connect to %s", "db-7")
    driven.settle()
    driven.inbox.fail_with(400, '{"message":"is bad","errors":["is bad"],"status":0}', times=None)
    driven.handler._pipeline.thread.request_close()
    driven.advance(1)
    assert 2 == len(driven.inbox.attempts)
    assert driven.handler._pipeline.thread.is_drained()


def test_again_and_escalated_say_so(drive):
    """A problem that is back says Again; one that got worse tells what was counted before."""
    driven = drive()
    log = driven.log
    key = {"pushover": {"fingerprint": "disk"}}
    log.warning("Disk is filling", extra=key)
    driven.settle()
    log.warning("Disk is filling", extra=key)
    driven.advance(1)
    log.error("Disk is full", extra=key)
    driven.settle()
    assert "1 more at a lower level" in driven.inbox.messages[-1]["message"]
    driven.advance(400)
    log.error("Disk is full", extra=key)
    driven.settle()
    assert ["Disk is filling", "Disk is full", "Again: Disk is full"] == driven.titles


@pytest.mark.parametrize("text", ["\0\ud800 nasty", "x" * 1_000_000, "<b>&" * 500, "", " \n "])
@pytest.mark.parametrize("html", [True, False])
def test_any_text_is_sent_as_something_the_service_takes(drive, text, html):
    """NUL, lone surrogates, a megabyte, tags and nothing at all: each arrives."""
    driven = drive(html=html)
    driven.log.error(text)
    driven.settle()
    (push,) = driven.inbox.messages
    assert len(push["message"]) <= 1024
    assert len(push["title"]) <= 250
    assert text.strip() or push["title"] == "(no message)"


def test_another_formatter_gives_the_body(drive):
    """Any logging.Formatter set on the handler makes the text; a blank one is said."""
    driven = drive()
    driven.handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    driven.log.error("boom happened")
    driven.handler.setFormatter(logging.Formatter("%(blank)s", defaults={"blank": " "}))
    driven.log.error("other things")
    driven.settle()
    assert ["ERROR: boom happened", "(no message)"] == [p["message"] for p in driven.inbox.messages]


def test_wrong_field_of_a_record_costs_the_field_alone(drive, caplog):
    """The alert arrives without it, and the library's logger tells."""
    driven = drive()
    driven.log.error("boom", extra={"pushover": {"ttl": -1, "sound": "bike", "priority": "high"}})
    driven.settle()
    (push,) = driven.inbox.messages
    assert ("bike", "1", None) == (push["sound"], push["priority"], push.get("ttl"))
    assert "ttl" in caplog.text


def test_summary_names_what_differed(drive):
    """Up to five texts of one problem, the most frequent first, redacted; the same text is not."""
    driven = drive(throttle={"windows": [60]})
    for card in ("visa", "amex", "paypal", "amex"):
        driven.log.error("Card %s failed", card)
    driven.advance(60)
    first = driven.inbox.messages[-1]
    assert '3 more like "Card visa failed"' == first["title"]
    assert "x2 Card amex failed, x1 Card paypal failed" == first["message"].splitlines()[1]
    for number in range(6):
        driven.log.error("Card %s failed", f"{'abcdef'[number]} password=hunter{number}")
    driven.advance(60)
    said = ", ".join(f"x1 Card {letter} password=*** failed" for letter in "abcde") + " and others"
    assert said == driven.inbox.messages[-1]["message"].splitlines()[1]
    for number in range(150):
        driven.log.error("Card %s failed", "amex" if number else "visa")
    driven.advance(60)
    said = "Among them: Card amex failed, Card visa failed"
    assert said == driven.inbox.messages[-1]["message"].splitlines()[1]
    driven.log.error("Card %s failed", "visa")
    driven.advance(60)
    assert "1 more: Card visa failed" == driven.titles[-1]


def test_summary_names_what_differed_of_free_texts(drive):
    """Texts that a mask makes one problem, and structured ones; not those of exceptions."""
    driven = drive(throttle={"windows": [60]})
    for number in (7, 8, 9, 8):
        driven.log.error(" ".join(("Order", str(number), "failed")))  # no template in the source
        driven.log.error({"event": f"Cart {number} is gone", "cart": number})
        try:
            raise ValueError(f"no price for {number}")
        except ValueError:
            driven.log.exception(f"Invoice {number} failed")
    driven.advance(60)
    texts = "\n".join(push["message"] for push in driven.inbox.messages[3:])
    assert "x3 Order 7 failed" in texts  # one digest of all three
    driven.log.error("Order 8 failed")
    driven.advance(60)
    push = driven.inbox.messages[-1]
    assert "1 more: Order 7 failed" == push["title"]
    assert "x1 Order 8 failed" == push["message"].splitlines()[1]


def test_record_without_a_text_is_counted(drive):
    """There is nothing to name of it."""
    driven = drive(throttle={"windows": [60]})
    for _ in range(4):
        driven.log.error("")
    driven.advance(60)
    assert 3 == driven.handler.stats().suppressed
    assert 1 == len(driven.inbox.messages[-1]["message"].splitlines()) - 1


def test_repetition_whose_arguments_have_no_text_is_counted(drive):
    """Its template says which problem it is; a summary names what it can."""
    driven = drive()
    driven.log.error("Cannot connect to %s", "db-7")
    driven.settle()
    driven.log.error("Cannot connect to %s", Mute())
    driven.settle()
    assert (1, 0) == (driven.handler.stats().suppressed, driven.handler.stats().failed)
