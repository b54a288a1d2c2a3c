"""The pages of docs/howto/: what the phone shows of each program, where it really runs."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from test_examples import needs

PAGES = Path(__file__).parent.parent / "docs" / "howto"
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:.*?)^```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CHANGES = [
    (re.compile(r"\S+/\w+\.py:"), "shop.py:"),
    (re.compile(r"\d\d:\d\d:\d\d"), "TIME"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "ID"),
]

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform == "win32", reason="these servers do not run on Windows"),
]


@pytest.fixture
def write(tmp_path):
    """Write a page's program as shop.py; return what the phone shall show of it."""

    def put(page, number=0):
        source, text = BLOCK.findall((PAGES / f"{page}.md").read_text(encoding="utf-8"))[number]
        (tmp_path / "shop.py").write_text(source, encoding="utf-8")
        return masked(text)

    return put


def masked(text):
    for pattern, mask in CHANGES:
        text = pattern.sub(mask, text)
    return text


def shown(inbox):
    """Return the first push without its frames: libraries' differ with their versions."""
    push = next(push for push in inbox.messages if not re.match(r"\d+ more: ", push["title"]))
    lines = [line for line in push["message"].split("\n") if not line.startswith((" ", "…"))]
    return masked("\n".join([push["title"], *lines, ""]))


def test_each_program_is_run():
    """Here: a new program of these pages needs a test."""
    pages = {"workers": 2, "pools": 3, "celery": 1, "docker": 1, "jupyter": 1}
    texts = {name: (PAGES / f"{name}.md").read_text(encoding="utf-8") for name in pages}
    assert pages == {name: text.count("```python") for name, text in texts.items()}


@pytest.mark.parametrize("number", [0, 1])
def test_workers(program, inbox, tmp_path, free_port, write, number):
    """Two workers, ten requests: one push, and a count."""
    server = ("gunicorn", "uvicorn")[number]
    needs("flask", "fastapi", server)
    text = write("workers", number)
    where = [f"--bind=127.0.0.1:{free_port}"] if number == 0 else [f"--port={free_port}"]
    command = [sys.executable, "-m", server, "--workers=2", *where, "shop:app"]
    outbox = {"PUSHOVER_OUTBOX": str(tmp_path / "outbox.sqlite")}

    def fetch(_):
        return requests.get(f"http://127.0.0.1:{free_port}/checkout", timeout=20).status_code

    with program.serve(command, free_port, **outbox):
        with ThreadPoolExecutor(4) as pool:
            assert {500} == set(pool.map(fetch, range(10)))
        inbox.wait_for(1)
    assert text == shown(inbox)
    assert 1 == sum("more" not in push["title"] for push in inbox.messages)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_pools(program, inbox, tmp_path, write, number):
    """A pool, a process and a task."""
    text = write("pools", number)
    environ = {"PUSHOVER_OUTBOX": str(tmp_path / "outbox.sqlite"), "HOME": str(tmp_path)}
    with program.start_command([sys.executable, "shop.py"], **environ) as process:
        _, err = process.communicate(timeout=60)
    assert 0 == process.returncode, err
    assert 1 == len(inbox.messages)
    assert text == shown(inbox)


def test_celery_workers(program, inbox, tmp_path, write):
    """A worker with two children."""
    needs("celery")
    text = write("celery")
    folders = dict.fromkeys(("data_folder_in", "data_folder_out", "control_folder"), str(tmp_path))
    path = tmp_path / "shop.py"
    path.write_text(f"{path.read_text()}\napp.conf.broker_transport_options = {folders}\n")
    environ = {"PUSHOVER_OUTBOX": str(tmp_path / "outbox.sqlite"), "C_FORCE_ROOT": "1"}
    subprocess.run([sys.executable, "-c", "import shop; shop.charge.delay(17)"], cwd=tmp_path,
                   check=True, env={**program.environ, **environ})  # fmt: skip
    command = [sys.executable, "-m", "celery", "--app=shop", "worker", "--concurrency=2"]
    with program.serve(command, **environ):
        inbox.wait_for(1, timeout=40)
    assert text == shown(inbox)


def test_docker(program, inbox, tmp_path, write):
    """As the first process of a namespace, which SIGTERM ends before SIGKILL could."""
    text = write("docker")
    path = tmp_path / "shop.py"
    path.write_text(path.read_text().replace("(0.1, 0.2)", "(0, 0, 60)"))
    with program.as_first_process(path, patience=8):
        inbox.wait_for(1)
    assert text == shown(inbox)
    assert {"No rate for USD", "2 more: No rate for USD"} == {
        push["title"] for push in inbox.messages
    }


def test_jupyter(program, inbox, tmp_path, write):
    """Its cell, and one that fails."""
    needs("jupyter_client", "ipykernel")
    from jupyter_client.manager import start_new_kernel

    text = write("jupyter")
    fails = 'rate("USD")'
    assert fails in (PAGES / "jupyter.md").read_text(encoding="utf-8")
    environ = {**program.environ, "PYTHONWARNINGS": "", "IPYTHONDIR": str(tmp_path)}
    manager, client = start_new_kernel(env=environ, cwd=str(tmp_path))
    try:
        for cell in ((tmp_path / "shop.py").read_text(), fails):
            client.execute_interactive(cell, timeout=60, output_hook=lambda _: None)
        inbox.wait_for(1)
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
    assert text == shown(inbox)
