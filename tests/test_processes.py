"""Fork, multiprocessing, pools, servers and green threads: each process reports its own, once."""

import os
import re
import signal
import sys
from collections import Counter

import pytest
from conftest import UNMEASURED, await_listener

REMEDY = "set PUSHOVER_OUTBOX=auto to keep it for the next run"
pytestmark = [
    pytest.mark.process,
    pytest.mark.xdist_group("crowd"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork"),
]

OUTBOXES = pytest.mark.parametrize("kept", ["memory", "file"])


@pytest.fixture
def outbox(kept, tmp_path):
    """The environment that says where Messages wait."""
    return {} if kept == "memory" else {"PUSHOVER_OUTBOX": str(tmp_path / "outbox.sqlite")}


def titles(inbox):
    return Counter(push["title"] for push in inbox.messages)


def once(*expected):
    return Counter(expected)


@OUTBOXES
def test_fork_storm(program, inbox, outbox):
    """60 children, forked from a storm's middle, 10 at a time: each reports its own within 5 s."""
    code, out, err = program.run(
        """
        import logging, os, threading, time
        from pushover_logging import PushoverHandler
        handler = PushoverHandler(throttle=False, capacity=100_000, close_timeout=30)
        logging.getLogger().addHandler(handler)
        going, logged = True, 0
        def storm():
            global logged
            while going:
                logging.error("parent %d", logged)
                logged += 1
                time.sleep(0.05)  # no faster than one connection can carry
        thread = threading.Thread(target=storm)
        thread.start()
        children = []
        for number in range(60):
            child = os.fork()
            if child == 0:
                logging.error("child %d", number)
                began = time.monotonic()
                sent = handler.flush(30)
                print(f"child {number} {sent} {time.monotonic() - began:.2f} s", flush=True)
                os._exit(0)
            children.append(child)
            while len(children) == 10 or (number == 59 and children):
                assert os.waitpid(children.pop(0), 0)[1] == 0
        going = False
        thread.join()
        assert handler.flush(30)
        print("parent", logged, "duplicates", handler.stats().possible_duplicates)
        """,
        timeout=120,
        **UNMEASURED,
        **outbox,
    )
    assert 0 == code
    assert "Traceback" not in err
    assert 60 == out.count(" True ")
    slowest = max(float(took) for took in re.findall(r"([\d.]+) s$", out, re.MULTILINE))
    assert slowest < 5
    logged = int(re.search(r"parent (\d+)", out)[1])
    expected = [f"child {n}" for n in range(60)] + [f"parent {n}" for n in range(logged)]
    arrived = titles(inbox)
    assert set(expected) == set(arrived)
    counted = int(re.search(r"duplicates (\d+)", out)[1])  # a request whose answer was lost
    assert sum(arrived.values()) - len(arrived) <= counted


@OUTBOXES
def test_first_send_imports_nothing(program, outbox):
    """A fork in the middle of an import leaves its child a lock that nobody frees."""
    code, out, err = program.run(
        """
        import logging, sys
        from pushover_logging import PushoverHandler
        handler = PushoverHandler()
        before = set(sys.modules)
        logging.getLogger().addHandler(handler)
        logging.error("boom happened")
        assert handler.flush(30)
        print(sorted(set(sys.modules) - before))
        """,
        **UNMEASURED,
        **outbox,
    )
    assert (0, "[]\n", "") == (code, out, err)


@OUTBOXES
def test_fork_during_a_send(program, inbox, outbox):
    """The parent's request goes on, the child has a connection of its own; a fork in a fork too."""
    inbox.fail_with(delay=0.5, times=1)
    code, _, err = program.run(
        """
        import logging, os, time
        from pushover_logging import PushoverHandler
        logging.getLogger().addHandler(PushoverHandler(throttle=False))
        logging.error("parent's first")
        logging.error("parent's second")
        time.sleep(0.2)
        child = os.fork()
        if child == 0:
            logging.error("child's")
            grandchild = os.fork()
            if grandchild == 0:
                logging.error("grandchild's")
            else:
                assert os.waitpid(grandchild, 0)[1] == 0
        else:
            assert os.waitpid(child, 0)[1] == 0
        """,
        **outbox,
    )
    assert (0, "") == (code, err)
    assert once("parent's first", "parent's second", "child's", "grandchild's") == titles(inbox)


@OUTBOXES
def test_fork_during_a_flush(program, inbox, outbox):
    """The thread that waits in the parent goes on waiting there; the child flushes its own."""
    inbox.fail_with(delay=0.5, times=1)
    code, out, err = program.run(
        """
        import logging, os, threading, time
        from pushover_logging import PushoverHandler
        handler = PushoverHandler()
        logging.getLogger().addHandler(handler)
        logging.error("parent problem")
        def flush():
            print("flushed", handler.flush(30), flush=True)
        flushing = threading.Thread(target=flush)
        flushing.start()
        time.sleep(0.1)
        child = os.fork()
        if child == 0:
            logging.error("child problem")
            flush()
        else:
            assert os.waitpid(child, 0)[1] == 0
            flushing.join()
        """,
        **outbox,
    )
    assert (0, "") == (code, err)
    assert 2 == out.count("flushed True")
    assert once("parent problem", "child problem") == titles(inbox)


@OUTBOXES
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing_child_that_logs_as_its_last_statement(program, inbox, method, outbox):
    """Such a child runs no atexit functions: it is waited for all the same."""
    code, _, err = program.run(
        f"""
        import logging, logging.config, multiprocessing
        CONFIG = {{
            "version": 1,
            "handlers": {{"phone": {{"class": "pushover_logging.PushoverHandler"}}}},
            "root": {{"handlers": ["phone"]}},
        }}
        def work(number):
            logging.config.dictConfig(CONFIG)
            logging.error("of child %s", "abc"[number], extra={{"pushover": {{"throttle": False}}}})
        if __name__ == "__main__":
            logging.config.dictConfig(CONFIG)
            logging.error("of the parent")
            context = multiprocessing.get_context({method!r})
            children = [context.Process(target=work, args=(n,)) for n in range(3)]
            for child in children:
                child.start()
            for child in children:
                child.join()
        """,
        **outbox,
    )
    assert (0, "") == (code, err)
    assert once("of the parent", "of child a", "of child b", "of child c") == titles(inbox)


@OUTBOXES
def test_pool_of_processes(program, inbox, outbox):
    """What a worker of a ProcessPoolExecutor logs is delivered, the last one's too."""
    code, _, err = program.run(
        """
        import logging, multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        from pushover_logging import PushoverHandler
        def work(number):
            logging.error("task %d", number)
        if __name__ == "__main__":
            logging.getLogger().addHandler(PushoverHandler(throttle=False))
            fork = multiprocessing.get_context("fork")
            with ProcessPoolExecutor(2, mp_context=fork) as pool:
                list(pool.map(work, range(10)))
        """,
        **outbox,
    )
    assert (0, "") == (code, err)
    assert once(*(f"task {n}" for n in range(10))) == titles(inbox)


@pytest.mark.parametrize("kind", ["fork", "forkserver", "spawn", "interpreters"])
def test_workers_of_each_kind_of_executor(program, inbox, kind):
    """With `install_in_worker` as the initializer, each delivers what its workers log."""
    executor = "ProcessPoolExecutor"
    options = f"mp_context=multiprocessing.get_context({kind!r}), "
    if kind == "interpreters":
        if sys.version_info < (3, 14):
            pytest.skip("InterpreterPoolExecutor came with Python 3.14")
        executor, options = "InterpreterPoolExecutor", ""
    code, _, err = program.run(
        f"""
        import logging, multiprocessing
        from concurrent.futures import {executor}
        from functools import partial
        from pushover_logging import install_in_worker
        def work(number):
            logging.error("task %d", number)
        if __name__ == "__main__":
            configure = partial(install_in_worker, throttle=False)
            with {executor}(2, {options}initializer=configure) as pool:
                list(pool.map(work, range(10)))
        """,
    )
    assert 0 == code, err
    assert once(*(f"task {n}" for n in range(10))) == titles(inbox)


def test_multiprocessing_child_with_a_hanging_endpoint_ends_in_time(program, inbox):
    """Its wait has the same end as a program's, and the loss is said on stderr."""
    inbox.fail_with(hang=True, times=None)
    code, out, err = program.run(
        """
        import logging, multiprocessing, time
        from pushover_logging import PushoverHandler
        def work():
            logging.getLogger().addHandler(PushoverHandler(close_timeout=1))
            logging.error("boom happened")
            print(time.monotonic(), flush=True)
        if __name__ == "__main__":
            child = multiprocessing.get_context("fork").Process(target=work)
            child.start()
            child.join()
            print(time.monotonic())
        """
    )
    assert 0 == code
    began, ended = map(float, out.split())
    assert 1 <= ended - began < 2
    assert f"pushover_logging: 1 message was not sent within 1 s; {REMEDY}\n" == err


@OUTBOXES
def test_thread_that_cannot_start(program, inbox, outbox):
    """`Thread.start` raising RuntimeError, as where the system refuses: one warning, sent."""
    code, _, err = program.run(
        """
        import logging, threading
        from pushover_logging import PushoverHandler
        def refuse(self):
            raise RuntimeError("can't start new thread")
        threading.Thread.start = refuse
        logging.getLogger().addHandler(PushoverHandler())
        logging.error("boom happened")
        """,
        **outbox,
    )
    warning = (
        "no thread can start: logging calls wait for the service; allow the process more threads\n"
    )
    assert (0, warning) == (code, err)
    assert once("boom happened") == titles(inbox)


@OUTBOXES
def test_record_after_close(program, inbox, outbox):
    """Also what comes after `close` and `logging.shutdown` is delivered."""
    code, _, err = program.run(
        """
        import atexit, logging
        from pushover_logging import PushoverHandler
        handler = PushoverHandler()
        log = logging.Logger("shop")
        log.addHandler(handler)
        handler.close()
        log.error("first problem")
        logging.shutdown()
        log.error("second problem")
        atexit.register(log.error, "third problem")
        """,
        **outbox,
    )
    assert (0, "") == (code, err)
    assert once("first problem", "second problem", "third problem") == titles(inbox)


APP = """
import logging
from pushover_logging import PushoverHandler

logging.getLogger("shop").addHandler(PushoverHandler(throttle=False, close_timeout=20))

def app(environ, start_response):
    logging.getLogger("shop").error("request %s", environ["QUERY_STRING"])
    start_response("500 Internal Server Error", [("Content-Length", "0")])
    return [b""]
"""


@OUTBOXES
def test_gunicorn_with_preload(program, inbox, outbox, tmp_path, free_port):
    """Four workers of a preloaded application, an error a request, then SIGTERM: all delivered."""
    pytest.importorskip("gunicorn", reason="gunicorn comes with the extra test")
    requests = pytest.importorskip("requests")
    (tmp_path / "shop.py").write_text(APP, encoding="utf-8")
    inbox.fail_with(delay=0.02, times=None)
    bind = f"--bind=127.0.0.1:{free_port}"
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers=4", bind, "shop:app"]
    with program.start_command(command, cwd=tmp_path, **outbox) as server:
        try:
            await_listener(free_port)
            for number in range(40):
                requests.get(f"http://127.0.0.1:{free_port}/?{number}", timeout=10)
        finally:
            server.send_signal(signal.SIGTERM)
            _, err = server.communicate(timeout=60)
    assert "Traceback" not in err
    assert once(*(f"request {n}" for n in range(40))) == titles(inbox)
    if outbox:  # one process at a time sends for the whole host
        assert 1 == inbox.most_open


def test_green_threads_that_leave_no_time(program, inbox):
    """gevent's patch_all with a greenlet that never yields, then exit: delivered."""
    pytest.importorskip("gevent", reason="gevent comes with the extra test")
    code, _, err = program.run(
        """
        from gevent import monkey
        monkey.patch_all()
        import gevent, logging, time
        from pushover_logging import PushoverHandler
        logging.getLogger().addHandler(PushoverHandler(throttle=False))
        def busy():
            for number in range(5):
                logging.error("busy %d", number)
                end = time.perf_counter() + 0.2
                while time.perf_counter() < end:
                    pass
        gevent.spawn(busy).join()
        """
    )
    assert (0, "") == (code, err)
    assert once(*(f"busy {n}" for n in range(5))) == titles(inbox)


def test_fork_in_the_middle_of_formatting(program, inbox):
    """Another thread makes its text at that moment: no lock of that goes along into the child."""
    code, _, err = program.run("""
        import logging, os, threading
        from pushover_logging import PushoverHandler

        handler = PushoverHandler()
        logging.getLogger().addHandler(handler)
        inside, go_on = threading.Event(), threading.Event()

        class Slow:
            def __str__(self):
                inside.set()
                go_on.wait()
                return "slow"

        thread = threading.Thread(target=logging.error, args=("%s text", Slow()))
        thread.start()
        inside.wait()
        child = os.fork()
        if child == 0:
            logging.error("of the child")
            os._exit(0 if handler.flush(20) else 1)
        go_on.set()
        assert os.waitpid(child, 0)[1] == 0
        thread.join()
    """)
    assert 0 == code, err
    assert {"of the child", "slow text"} == {push["title"] for push in inbox.messages}
