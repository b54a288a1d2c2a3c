"""The lines that came before a problem, of the same task, thread or request, and of no other."""

import asyncio
import logging
import logging.handlers
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from conftest import Mute
from test_examples import needs

from pushover_logging import PushoverHandler
from pushover_logging.delivery import trail as module

LINE = re.compile(r"\d\d:\d\d:\d\d (.+)")


def trail(push):
    """Return the lines of a push's trail, without their times."""
    return [found[1] for found in map(LINE.fullmatch, push["message"].split("\n")) if found]


@pytest.fixture
def driven(drive):
    made = drive(level="ERROR")
    made.log.setLevel(logging.DEBUG)
    return made


@pytest.fixture(autouse=True)
def _own_context():
    """Begin without a context: tests share their thread."""
    module._CONTEXT.set(None)


def test_last_lines_are_at_the_end(driven, monkeypatch):
    """Three from INFO on, in their order, below the level's line, with their local time."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    for number in range(4):
        driven.log.info("charging order %d", number)
    driven.log.debug("not remembered")
    driven.log.warning("the card\nis slow")
    driven.log.error("Card declined")
    driven.settle()
    (push,) = driven.inbox.messages
    *_, level, _, _, third = push["message"].split("\n")
    assert "ERROR · shop · web-1" == level
    assert ["INFO shop: charging order 2", "INFO shop: charging order 3"] == trail(push)[:2]
    assert "WARNING shop: the card is slow" == third[9:]
    at = time.strptime(third[:8], "%H:%M:%S")
    now = time.localtime()
    behind = (now.tm_hour - at.tm_hour) * 3600 + (now.tm_min - at.tm_min) * 60
    assert 0 <= (behind + now.tm_sec - at.tm_sec) % 86_400 < 60
    monkeypatch.undo()
    time.tzset()


def test_only_what_is_sent_is_shown_by_level_and_stats(driven):
    """For whoever asks: what the trail lets in is no record, and makes no push."""
    handler = driven.handler
    driven.log.info("charging order 17")
    driven.settle()
    assert (logging.ERROR, "ERROR") == (handler.level, logging.getLevelName(handler.level))
    assert (0, []) == (handler.stats().records, driven.inbox.messages)
    handler.setLevel("WARNING")
    assert logging.WARNING == handler.level
    driven.log.warning("Disk fills")
    driven.settle()
    assert ["INFO shop: charging order 17"] == trail(driven.inbox.messages[0])


@pytest.mark.parametrize("options", [
    {"trail": 0}, {"trail_level": "ERROR"}, {"body": "%(message)s"},
])  # fmt: skip
def test_no_trail(drive, options):
    """Switched off, with nothing below the level, and in a text of the program's own."""
    made = drive(level="ERROR", **options)
    made.log.info("charging order 17")
    made.log.error("Card declined")
    made.settle()
    assert [] == trail(made.inbox.messages[0])


def test_nothing_where_it_is_off(handler_for):
    """`logging` itself keeps the lines away after the first: no code of the handler's runs then."""
    handler = handler_for(level="ERROR", trail=0)
    log = logging.Logger("shop")
    log.addHandler(handler)
    log.warning("The first record shows that the handler is in use")
    assert int is type(handler.level)
    assert 0 == handler.stats().records


def test_first_escalated_and_again_pushes_have_one(drive):
    """A summary, which is of many records, has none."""
    made = drive(level="ERROR", throttle={"windows": [60], "forget_after": 3600})
    made.log.setLevel(logging.INFO)
    for text, level, seconds in (("one", 40, 0), ("two", 50, 160), ("three", 50, 61)):
        made.log.info(text)
        made.log.log(level, "Card declined")
        made.log.log(level, "Card declined")
        made.advance(seconds)
    pushes = [(push["title"], trail(push)[-1:]) for push in made.inbox.messages]
    summaries = [lines for title, lines in pushes if " more: " in title]
    assert summaries
    assert not any(summaries)
    assert [
        ("Card declined", ["INFO shop: one"]), ("Card declined", ["INFO shop: two"]),
        ("Again: Card declined", ["INFO shop: three"]),
    ] == [(title, lines) for title, lines in pushes if " more: " not in title]  # fmt: skip


def test_text_is_made_at_once(driven):
    """What an argument says later is not what was logged."""
    orders = [17]
    driven.log.info("charging %s", orders)
    orders.append(18)
    driven.log.error("Card declined")
    driven.settle()
    assert ["INFO shop: charging [17]"] == trail(driven.inbox.messages[0])


def test_secrets_stay_secret(driven):
    """In a line too; a line is cut like a field."""
    driven.log.info("login with password=hunter2")
    driven.log.info("x" * 900)
    driven.log.error("Card declined")
    driven.settle()
    secret, long = trail(driven.inbox.messages[0])
    assert "INFO shop: login with password=***" == secret
    assert 200 == len(long) + len("14:01:58 ")
    assert long.endswith("x…")


def test_only_where_room_is_left(driven):
    """The oldest lines give way; neither message nor traceback does."""
    for number in range(3):
        driven.log.info("%d %s", number, "y" * 150)
    driven.log.error("z" * 700)
    driven.settle()
    (push,) = driven.inbox.messages
    assert "z" * 700 in push["message"]
    assert ["2"] == [line.split()[2] for line in trail(push)]


def test_old_lines_are_left_out(driven):
    """Older than five minutes."""
    for number, age in ((1, 301), (2, 299)):
        line = logging.LogRecord("shop", 20, "", 0, f"line {number}", (), None)
        line.created -= age
        driven.log.handle(line)
    driven.log.error("Card declined")
    driven.settle()
    assert ["INFO shop: line 2"] == trail(driven.inbox.messages[0])


def test_memory_is_bounded(handler_for):
    """64 lines of a context, 256 contexts, of which those that were silent for longest go."""
    handler = handler_for(level="ERROR")
    log = logging.Logger("shop")
    log.addHandler(handler)
    for number in range(70):
        log.info("main %d", number)

    def work(number):
        log.info("thread %d", number)
        log.info("last")

    for number in range(300):
        thread = threading.Thread(target=work, args=(number,))
        thread.start()
        thread.join()
        log.info("main again")
    rings = handler._trail.rings
    assert len(rings) <= 256
    texts = [ring[0][3] for ring in rings.values()]
    assert {"main again", "thread 299"} <= set(texts)
    assert "thread 0" not in texts
    assert 64 == max(map(len, rings.values()))


def test_line_whose_text_fails_costs_nothing(driven):
    """It is left out."""
    driven.log.info("charging %s", Mute())
    driven.log.info("charging order 17")
    driven.log.handle(logging.makeLogRecord({"levelno": 20, "msg": Mute(), "name": "shop"}))
    driven.log.error("Card declined")
    driven.settle()
    assert ["INFO shop: charging order 17"] == trail(driven.inbox.messages[0])


def test_level_holds_for_records_that_are_handed_over(driven):
    """By a MemoryHandler or a QueueListener, which ask no handler for its level."""
    memory = logging.handlers.MemoryHandler(10, flushLevel=50, target=driven.handler)
    log = logging.Logger("shop")
    log.addHandler(memory)
    log.info("Buffered")
    memory.flush()
    driven.handler.handle(logging.makeLogRecord({"levelno": 20, "msg": "Handed over"}))
    log.error("Card declined")
    memory.close()
    driven.settle()
    assert ["Card declined"] == driven.titles
    lines = trail(driven.inbox.messages[0])
    assert ["INFO shop: Buffered", "Level None None: Handed over"] == lines


def test_subclass_may_handle(inbox):
    """And call the method of its parent: lines are remembered, not sent."""

    class Handler(PushoverHandler):
        def handle(self, record):
            return super().handle(record)

    handler = Handler(token="a" * 30, user="u" * 30, api_url=inbox.url)
    log = logging.Logger("shop")
    log.addHandler(handler)
    log.info("charging order 17")
    assert 0 == handler.stats().records
    handler.close()


def test_record_of_a_queue_has_no_trail(driven):
    """Its thread is gone, and the listener's lines are not its own."""
    driven.log.info("a line of the listener's thread")
    record = logging.makeLogRecord({"levelno": 40, "msg": "Card declined", "name": "shop"})
    record.thread += 1
    driven.handler.handle(record)
    driven.settle()
    assert [] == trail(driven.inbox.messages[0])


def test_threads_do_not_mix(driven):
    """Each has its own lines."""

    def work(number):
        driven.log.info("charging order %d", number)
        both.wait()
        driven.log.error(f"Card of {customers[number]} declined", extra={"n": number})

    both, customers = threading.Barrier(2), ["ACME", "Initech"]
    driven.log.info("a line of the main thread")
    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    driven.settle()
    check_own_lines(driven.inbox.messages, "n", 1)


def check_own_lines(pushes, field, count):
    """Check that each push has the line of its own order, and no other's."""
    assert count <= len(pushes)
    for push in pushes:
        number = re.search(rf"^{field}: (\w+)$", push["message"], re.MULTILINE)[1]
        lines = [line for line in trail(push) if "order" in line]
        assert [f"charging order {number}"] == [line.rpartition(": ")[2] for line in lines], push


def test_tasks_do_not_mix(drive):
    """Nor do those that one inherits its context from, nor what asyncio reports for another."""
    made = drive(level="ERROR", throttle=False)
    made.log.setLevel(logging.INFO)

    async def work(number):
        made.log.info("charging order %d", number)
        await asyncio.sleep(0)
        await asyncio.to_thread(made.log.info, "a line of a thread, order 0")
        made.log.error("Card declined", extra={"n": number})

    async def main():
        made.log.info("main begins, order 0")
        await asyncio.gather(*(work(number) for number in range(1, 6)))
        other = logging.Logger("asyncio")
        other.addHandler(made.handler)
        other.error("Task exception was never retrieved", extra={"n": 9})

    asyncio.run(main())
    made.settle()
    pushes = made.inbox.messages
    *tasks, last = pushes
    assert "Task exception was never retrieved" == last["title"]
    assert [] == trail(last)
    check_own_lines(tasks, "n", 5)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="records name their task since 3.12")
def test_record_that_another_task_hands_over_has_no_trail(drive):
    """As when a MemoryHandler is flushed."""
    made = drive(level="ERROR")
    made.log.setLevel(logging.INFO)

    async def main():
        made.log.info("a line of this task's")
        record = logging.makeLogRecord({"levelno": 40, "msg": "Card declined", "name": "shop"})
        record.taskName = "Another"
        made.handler.handle(record)

    asyncio.run(main())
    made.settle()
    assert [] == trail(made.inbox.messages[0])


def test_thread_of_a_pool_goes_from_task_to_task(drive):
    """What it logs for one is not of the next, nor of the task that began them all."""
    made = drive(level="ERROR", throttle=False)
    made.log.setLevel(logging.INFO)

    def work(number):
        made.log.info("charging order %d", number)
        made.log.error("Card declined", extra={"n": number})

    async def main():
        made.log.info("main begins, order 0")
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        for number in range(3):
            await asyncio.create_task(asyncio.to_thread(work, number))

    asyncio.run(main())
    made.settle()
    check_own_lines(made.inbox.messages, "n", 3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_child_of_a_fork_begins_anew(driven):
    """The parent's lines are not its own."""
    driven.log.info("a line of the parent's")
    driven.handler.after_fork()
    driven.log.error("Card declined")
    driven.settle()
    assert [] == trail(driven.inbox.messages[0])


APPS = {
    "flask": """
        from flask import Flask
        app = Flask(__name__)

        @app.get("/<int:number>")
        def charge(number):
            app.logger.info("charging order %d", number)
            if number % 2:
                raise ValueError("card was declined")
            return "paid"
        """,
    "fastapi": """
        import asyncio
        from fastapi import FastAPI
        app = FastAPI()
        logging.getLogger("uvicorn.error").addHandler(phone)

        @app.get("/{number}")
        async def charge(number: int):
            log.info("charging order %d", number)
            await asyncio.sleep(0.2)
            if number % 2:
                raise ValueError("card was declined")
            return "paid"

        @app.get("/thread/{number}")
        def charge_in_a_thread(number: int):
            log.info("charging order %d", number)
            if number % 2:
                log.error("Card of a thread was declined")
            return "paid"
        """,
    "django": """
        from django.conf import settings
        settings.configure(ROOT_URLCONF=__name__, LOGGING_CONFIG=None, SECRET_KEY="x" * 50,
                           ALLOWED_HOSTS=["*"])
        from django.core.wsgi import get_wsgi_application
        from django.http import HttpResponse
        from django.urls import path

        def charge(request, number):
            log.info("charging order %d", number)
            if number % 2:
                raise ValueError("card was declined")
            return HttpResponse("paid")

        urlpatterns = [path("<int:number>", charge)]
        app = get_wsgi_application()
        """,
}
HEAD = """
import logging
from pushover_logging import PushoverHandler
phone = PushoverHandler(throttle=False)
logging.basicConfig(level="INFO")
log = logging.getLogger("shop")
logging.getLogger().addHandler(phone)
"""
SERVERS = {
    "flask": ["gunicorn", "-k=gthread", "--threads=1", "--bind=127.0.0.1:{}", "app:app"],
    "fastapi": ["uvicorn", "--port={}", "app:app"],
    "django": ["gunicorn", "--bind=127.0.0.1:{}", "app:app"],
}


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no gunicorn")
@pytest.mark.parametrize("name", APPS)
def test_requests_do_not_mix(program, inbox, tmp_path, free_port, name):
    """On their real servers, whose threads go from one request to the next."""
    needs(name, SERVERS[name][0])
    (tmp_path / "app.py").write_text(HEAD + textwrap.dedent(APPS[name]))
    command = [sys.executable, "-m", *(one.format(free_port) for one in SERVERS[name])]
    kinds = ["", "thread/"] if name == "fastapi" else [""]

    def fetch(path):
        return requests.get(f"http://127.0.0.1:{free_port}/{path}", timeout=20).status_code

    with program.serve(command, free_port, cwd=tmp_path):
        with ThreadPoolExecutor(4) as pool:
            codes = list(pool.map(fetch, [f"{kind}{n}" for kind in kinds for n in range(8)]))
        pushes = inbox.wait_for(4 * len(kinds))
    assert [200, 500] * 4 == codes[:8]
    seen = []
    for push in pushes:
        lines = [line for line in trail(push) if "charging order" in line]
        assert 1 == len(lines), push
        seen.append(int(lines[0].rpartition(" ")[2]))
    assert sorted([1, 3, 5, 7] * len(kinds)) == sorted(seen)


CELERY = """
import os
from celery import Celery
from celery.signals import setup_logging
app = Celery("app", broker="filesystem://")
app.conf.broker_transport_options = {
    name: os.environ["BROKER_FOLDER"]
    for name in ("data_folder_in", "data_folder_out", "control_folder")
}

@setup_logging.connect
def configure(**_):
    pass

@app.task(name="charge")
def charge(number):
    log.info("charging order %d", number)
    if number % 2:
        raise ValueError("card was declined")

if __name__ == "__main__":
    for number in range(8):
        charge.delay(number)
"""


@pytest.mark.process
@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_tasks_of_celery_do_not_mix(program, inbox, tmp_path, pool):
    """In a worker's thread and process, which take one task after the other."""
    needs("celery")
    (tmp_path / "app.py").write_text(HEAD + CELERY)
    environ = {"BROKER_FOLDER": str(tmp_path), "C_FORCE_ROOT": "1"}
    subprocess.run([sys.executable, "app.py"], cwd=tmp_path, check=True,
                   env={**program.environ, **environ})  # fmt: skip
    command = [sys.executable, "-m", "celery", "--app=app", "worker", "--concurrency=1",
               f"--pool={pool}"]  # fmt: skip
    with program.serve(command, cwd=tmp_path, **environ):
        pushes = inbox.wait_for(4, timeout=40)
    orders = [[line for line in trail(push) if "charging" in line] for push in pushes]
    assert [[f"INFO shop: charging order {n}"] for n in (1, 3, 5, 7)] == sorted(orders)


def test_job_of_celery_begins_and_ends_a_trail(drive):
    """In the thread that runs it; a task that is called as a function belongs to its caller."""
    needs("celery")
    from celery import Celery

    made = drive(level="ERROR", throttle=False)
    made.log.setLevel(logging.INFO)

    @Celery("app", set_as_current=False).task
    def charge(number):
        made.log.info("charging order %d", number)
        made.log.error("Card declined", extra={"n": number})

    made.log.info("no order")
    for number in (1, 2):
        charge.apply([number])
    made.log.info("paying order 3")
    charge(3)
    made.settle()
    *jobs, called = made.inbox.messages
    check_own_lines(jobs, "n", 2)
    assert ["INFO shop: paying order 3", "INFO shop: charging order 3"] == trail(called)


def test_line_asks_celery_nothing(driven):
    """It is slow to answer, and most programs that import it only start jobs."""
    needs("celery")
    import celery.app.trace

    driven.log.info("The first line finds the framework")
    called = []
    sys.setprofile(lambda frame, *_: called.append(frame.f_globals.get("__name__", "")))
    driven.log.info("charging order 17")
    sys.setprofile(None)
    assert "pushover_logging.delivery.trail" in called
    assert [] == [name for name in called if name.startswith(celery.__name__)]


def test_trail_never_raises():
    """Not even for a record whose time is no number, made by hand."""
    remembered = module.Trail(3)
    remembered.take(logging.makeLogRecord({"msg": "charging order 17", "levelno": 20}))
    assert 1 == len(remembered.lines(logging.makeLogRecord({})))
    assert [] == remembered.lines(logging.makeLogRecord({"created": "soon"}))
