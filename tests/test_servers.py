"""Each framework on its real server, with several workers that share a host's outbox."""

import re
import sys
import time

import pytest
import requests
from test_examples import EXAMPLES, needs, shown

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no gunicorn and no outbox"),
]

PYTHON = sys.executable
SECRET = "p9xK-secret-of-a-query"
SERVERS = {
    "django": (["gunicorn", "--workers=2", "--bind=127.0.0.1:{}", "shop.wsgi"], "django_project"),
    "flask": (["gunicorn", "--workers=2", "--bind=127.0.0.1:{}", "flask_app:app"], "."),
    "fastapi": (["uvicorn", "--workers=2", "--port={}", "fastapi_app:app"], "."),
}
TITLE = "ValueError: card was declined"
PUSHES = {
    "django": (
        "Internal Server Error: /checkout/\ncheckout, shop/urls.py:N\nGET /checkout/\n"
        "status_code: 500\nERROR · django.request · web-1"
    ),
    "flask": (
        "Exception on /checkout [GET]\ncheckout, examples/flask_app.py:N\n"
        "ERROR · flask_app · web-1"
    ),
    "fastapi": (
        "Exception in ASGI application\ncheckout, examples/fastapi_app.py:N\n"
        "path: GET /checkout\nERROR · uvicorn.error · web-1"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SERVERS)
def test_error_of_a_real_server_is_told_once(program, inbox, free_port, tmp_path, name):
    """20 equal 500s over two workers: one push, and the count when the last process ends."""
    arguments, folder = SERVERS[name]
    needs(name, arguments[0])
    command = [PYTHON, "-m", *(one.format(free_port) for one in arguments)]
    outbox = {"PUSHOVER_OUTBOX": str(tmp_path / "outbox.sqlite")}
    path = "/checkout/" if name == "django" else "/checkout"
    url = f"http://127.0.0.1:{free_port}{path}?token={SECRET}&q={SECRET}"
    with program.serve(command, free_port, cwd=EXAMPLES / folder, **outbox):
        assert 500 == requests.get(url, timeout=20).status_code
        inbox.wait_for(1)
        for _ in range(19):
            assert 500 == requests.get(url, timeout=20).status_code
    told = [push for push in shown(inbox) if not re.search(r"stock|^\d+ more\b", push[0])]
    assert (TITLE, PUSHES[name], "0") == told[0]
    assert 20 == sum(counted(push) for push in inbox.messages), told
    for push in inbox.messages:
        assert SECRET not in str(push)


def counted(push):
    """Return how many failed requests a push tells of."""
    lines = [push["title"], *push["message"].splitlines()]
    counts = re.findall(rf"(?m)^x?(\d+) (?:more: )?.*{re.escape(TITLE)}", "\n".join(lines))
    return int(counts[-1]) if counts else int(push["title"] == TITLE)


def test_failed_task_of_a_worker_is_told_once(program, inbox, tmp_path):
    """20 failed Celery tasks over two processes: one push, and the count at the end."""
    needs("celery")
    (tmp_path / "broker").mkdir()
    environ = {
        "BROKER_FOLDER": str(tmp_path / "broker"), "C_FORCE_ROOT": "1",
        "PUSHOVER_OUTBOX": str(tmp_path / "outbox.sqlite"),
    }  # fmt: skip
    tasks = "import celery_app\nfor _ in range(20): celery_app.charge.delay('A-1042')"
    with program.start_command([PYTHON, "-c", tasks], cwd=EXAMPLES, **environ) as caller:
        assert 0 == caller.wait(30)
    command = [PYTHON, "-m", "celery", "--app", "celery_app", "worker", "--concurrency", "2"]
    with program.serve(command, cwd=EXAMPLES, **environ):
        inbox.wait_for(1, timeout=40)
        until_empty(tmp_path / "broker")
    title = "ValueError: card of order A-1042 was declined"
    assert [title, f"19 more: {title}"] == [push["title"] for push in inbox.messages]


def until_empty(folder):
    """Wait until the worker has taken all tasks; at most 30 s."""
    end = time.monotonic() + 30
    while any(folder.glob("*.celery.msg")) and time.monotonic() < end:
        time.sleep(0.05)
