"""Each example as a person runs it, as a program of its own; the phone shows what its page says."""

import configparser
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

EXAMPLES = Path(__file__).parent.parent / "examples"
PYTHON = sys.executable
CHANGES = [  # what differs from run to run, and from one version of a framework to the next
    (re.compile(r"(\.py:)\d+"), r"\1N"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"\d\d:\d\d:\d\d(-\d\d:\d\d:\d\d)?"), "TIME"),
    (re.compile(r"lasted \d+ s"), "lasted N s"),
    (re.compile(r"\(pid:\d+\)"), "(pid:N)"),
]

LEFT_OUT = re.compile(r"[ …]|\d\d:\d\d:\d\d [A-Z]+ ")

pytestmark = pytest.mark.process


def shown(inbox):
    """Return title, message and priority of each push, in an order of its own.

    Frames are left out, as a framework's differ with its version, and so is the trail.
    """
    pushes = []
    for push in inbox.messages:
        lines = push["message"].splitlines()
        text = "\n".join(line for line in lines if not LEFT_OUT.match(line))
        pushes.append((masked(push["title"]), masked(text), push["priority"]))
    return sorted(pushes)


def masked(text):
    for pattern, mask in CHANGES:
        text = pattern.sub(mask, text)
    return text


def needs(*names):
    for name in names:
        pytest.importorskip(name, reason=f"{name} comes with the extra test", exc_type=ImportError)


def run(program, *command, cwd=EXAMPLES, **environ):
    """Run an example to its end; return its status and what it said on stderr."""
    with program.start_command([str(one) for one in command], cwd=cwd, **environ) as process:
        try:
            out, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, out + err


def test_every_example_has_a_test():
    """And first lines that say what it is, and what to look at."""
    here = Path(__file__).read_text(encoding="utf-8")
    names = {path.name for path in EXAMPLES.iterdir() if not path.name.startswith(("_", "."))}
    assert set() == {name for name in names if name not in here}
    for name in sorted(names - {"django_project", "systemd"}):
        head = (EXAMPLES / name).read_text(encoding="utf-8").split("\n\n\n")[0][:400]
        assert re.match(r'(# |""")(An?|The|Jobs) .+\bLook at ', head, re.DOTALL), name


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_example_warns_of_nothing(program, tmp_path, name):
    """Each one, in Python's development mode and with each warning an error."""
    environ = {"MPLCONFIGDIR": str(tmp_path), "BROKER_FOLDER": str(tmp_path)}
    _, said = run(program, PYTHON, "-W", "error", "-X", "dev", name, **environ)
    if "ModuleNotFoundError" in said:
        pytest.skip("its libraries come with the extra test")
    assert "Warning" not in said


def test_quickstart(program, inbox):
    """quickstart.py: one error, one push."""
    status, said = run(program, PYTHON, "quickstart.py")
    assert 0 == status, said
    assert [(
        "KeyError: 'price'",
        "Cannot price order A-1042\n<module>, examples/quickstart.py:N\nERROR · shop · web-1",
        "0",
    )] == shown(inbox)  # fmt: skip


@pytest.mark.parametrize("name", ["logging.yaml", "logging.ini"])
def test_configuration(program, inbox, name):
    """logging.yaml and logging.ini: an error a customer, and an emergency, from the same file."""
    needs("yaml")
    loads = {
        "logging.yaml": "c.dictConfig(yaml.safe_load(open('logging.yaml')))",
        "logging.ini": "c.fileConfig('logging.ini')",
    }[name]
    assert loads in (EXAMPLES / name).read_text(encoding="utf-8")
    source = program.path(
        f"""
        import logging, logging.config as c, yaml
        {loads}
        log = logging.getLogger("shop")
        log.warning("The disk fills")
        for customer in ("ACME", "Initech", "ACME"):
            log.error("Sync failed", extra={{"customer": customer}})
        log.critical("All is lost")
        """
    )
    status, said = run(program, PYTHON, "-X", "dev", "-W", "ignore", source)
    assert 0 == status, said
    assert "WARNING shop: The disk fills" in said
    place = f"<module>, {source.parent.name}/{source.name}:N".replace(source.name, "program1.py")
    level = "ERROR · shop · web-1"
    assert [
        ("1 more: Sync failed", shown(inbox)[0][1], "-2"),
        ("All is lost", f"{place}\nCRITICAL · shop · web-1", "2"),
        ("Sync failed", f"{place}\ncustomer: ACME\n{level}", "0"),
        ("Sync failed", f"{place}\ncustomer: Initech\n{level}", "0"),
    ] == shown(inbox)
    assert {"siren"} == {push["sound"] for push in inbox.messages if "sound" in push}


def test_trading_bot(program, inbox):
    """trading_bot.py: a push a symbol, the feed's loss and its end, fills without a sound."""
    status, said = run(program, PYTHON, "trading_bot.py")
    assert 0 == status, said
    no_answer = "TimeoutError: the exchange has no answer to {}"
    bought = "trade, examples/trading_bot.py:N\nsymbol: {}\nINFO · bot · web-1"
    failed = "Order failed\nbuy, examples/trading_bot.py:N\nsymbol: {}\nERROR · bot · web-1"
    counts = [f"x19 {no_answer.format(symbol)}, TIME" for symbol in ("BTC", "ETH")]
    assert sorted([
        (no_answer.format("BTC"), failed.format("BTC"), "0"),
        (no_answer.format("ETH"), failed.format("ETH"), "0"),
        ("No prices for 0 s", "feed, examples/trading_bot.py:N\nERROR · bot · web-1", "0"),
        ("Bought 3 BTC at 64000", bought.format("BTC"), "-1"),
        ("Bought 3 ETH at 64000", bought.format("ETH"), "-1"),
        ("Resolved: feed", "Prices are back\nIt lasted N s and came 3 times.", "-1"),
        ("38 more of 2 problems", "\n".join([*counts, "web-1"]), "-2"),
    ]) == shown(inbox)  # fmt: skip


def test_training_run(program, inbox, tmp_path):
    """training_run.py: a quiet push, with the loss curve as a picture."""
    needs("matplotlib")
    status, said = run(program, PYTHON, "training_run.py", MPLCONFIGDIR=str(tmp_path))
    assert 0 == status, said
    text = "<module>, examples/training_run.py:N\nepochs: 30\nINFO · training · web-1"
    assert [("Training is done, loss 0.027", text, "-1")] == shown(inbox)
    assert "image/png" == inbox.messages[0]["attachment"]["type"]
    assert "cosmic" == inbox.messages[0]["sound"]


def test_loguru_and_structlog(program, inbox):
    """loguru_structlog.py: what each knows, once, without a time or a traceback in the text."""
    needs("loguru", "structlog")
    status, said = run(program, PYTHON, "loguru_structlog.py")
    assert 0 == status, said
    place = "<module>, examples/loguru_structlog.py:N"
    assert [
        ("Cannot ship", f"{place}\norder: A-1043\ncarrier: north\nERROR · shop · web-1", "0"),
        (
            "KeyError: 'price'",
            f"Cannot price order A-1042\n{place}\nbasket: 7\nERROR · __main__ · web-1",
            "0",
        ),
    ] == shown(inbox)


def test_aws_lambda(program, inbox):
    """aws_lambda.py: frozen right after the call (here: killed), and the push is out."""
    status, said = run(program, PYTHON, "aws_lambda.py")
    assert 1 == status, said
    text = (
        "Cannot charge order A-1042\nhandler, examples/aws_lambda.py:N\n"
        "ERROR · charge · charge-function"
    )
    assert [("KeyError: 'amount'", text, "0")] == shown(inbox)
    status, said = run(
        program, PYTHON, "-c",
        "import aws_lambda, os, contextlib\n"
        "with contextlib.suppress(KeyError):\n"
        "    aws_lambda.handler({'order': 'A-1042'}, None)\n"
        "os._exit(0)",
    )  # fmt: skip
    assert 0 == status, said
    assert [("KeyError: 'amount'", text, "0")] * 2 == shown(inbox)


FLASK = [
    ("No stock of A-1042",
     "checkout, examples/flask_app.py:N\nwarehouse: north\nERROR · flask_app · web-1", "0"),
    ("ValueError: card was declined",
     "Exception on /checkout [GET]\ncheckout, examples/flask_app.py:N\n"
     "ERROR · flask_app · web-1", "0"),
]  # fmt: skip


def fetch(port, path):
    return requests.get(f"http://127.0.0.1:{port}{path}", timeout=20).status_code


def test_flask(program, inbox, free_port):
    """flask_app.py with Flask's own server: what is logged in a request, and the 500, once."""
    needs("flask")
    command = [PYTHON, "-m", "flask", "--app", "flask_app", "run", "--port", str(free_port)]
    with program.serve(command, free_port, cwd=EXAMPLES):
        assert [200, 404, 500] == [fetch(free_port, path) for path in ("/", "/no", "/checkout")]
        inbox.wait_for(2)
    assert FLASK == shown(inbox)


def test_gunicorn(program, inbox, free_port):
    """gunicorn_conf.py with flask_app.py: the same, and a worker that gunicorn had to kill."""
    needs("gunicorn", "flask")
    command = [
        PYTHON, "-m", "gunicorn", "--config", "gunicorn_conf.py", "--workers", "1",
        "--timeout", "2", "--bind", f"127.0.0.1:{free_port}", "flask_app:app",
    ]  # fmt: skip
    with program.serve(command, free_port, cwd=EXAMPLES) as server:
        assert [200, 404, 500] == [fetch(free_port, path) for path in ("/", "/no", "/checkout")]
        inbox.wait_for(2)
        (worker,) = children(server.pid)
        os.kill(worker, signal.SIGSTOP)
        inbox.wait_for(4, timeout=30)
    own = "{}, gunicorn/glogging.py:N\n{} · gunicorn.error · web-1"
    killed, late = (
        "Worker (pid:N) was sent SIGKILL! Perhaps out of memory?",
        "WORKER TIMEOUT (pid:N)",
    )
    assert [
        FLASK[0],
        FLASK[1],
        (late, own.format("critical", "CRITICAL"), "1"),
        (killed, own.format("error", "ERROR"), "0"),
    ] == shown(inbox)


def children(pid):
    """Return the processes that ``pid`` started."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], check=True, capture_output=True, text=True)
    pairs = [map(int, line.split()) for line in listed.stdout.splitlines()]
    return [child for child, parent in pairs if parent == pid]


def test_fastapi(program, inbox, free_port):
    """fastapi_app.py under uvicorn: the 500 once, with its path."""
    needs("fastapi", "uvicorn")
    command = [PYTHON, "-m", "uvicorn", "fastapi_app:app", "--port", str(free_port)]
    with program.serve(command, free_port, cwd=EXAMPLES):
        assert [200, 404, 500] == [fetch(free_port, path) for path in ("/", "/no", "/checkout")]
        inbox.wait_for(1)
    text = (
        "Exception in ASGI application\ncheckout, examples/fastapi_app.py:N\n"
        "path: GET /checkout\nERROR · uvicorn.error · web-1"
    )
    assert [("ValueError: card was declined", text, "0")] == shown(inbox)


def test_celery(program, inbox, tmp_path):
    """celery_app.py: a worker and a task that fails, over a folder as its broker."""
    needs("celery")
    environ = {"BROKER_FOLDER": str(tmp_path), "C_FORCE_ROOT": "1"}
    status, said = run(program, PYTHON, "celery_app.py", **environ)
    assert 0 == status, said
    command = [PYTHON, "-m", "celery", "--app", "celery_app", "worker", "--concurrency", "1"]
    with program.serve(command, cwd=EXAMPLES, **environ):
        inbox.wait_for(1, timeout=40)
    text = (
        "Task charge[ID] raised unexpected: ValueError('card of order A-1042 was declined')\n"
        "charge, examples/celery_app.py:N\nERROR · celery.app.trace · web-1"
    )
    assert [("ValueError: card of order A-1042 was declined", text, "0")] == shown(inbox)


def test_django(program, inbox, free_port):
    """django_project with Django's own server: the 500 once; no 404, and no other host's page."""
    needs("django")
    command = [PYTHON, "manage.py", "runserver", "--noreload", str(free_port)]
    with program.serve(command, free_port, cwd=EXAMPLES / "django_project"):
        assert [200, 404, 500] == [fetch(free_port, path) for path in ("/", "/no", "/checkout/")]
        url = f"http://127.0.0.1:{free_port}/"
        assert 400 == requests.get(url, headers={"Host": "evil.example"}, timeout=20).status_code
        inbox.wait_for(1)
    text = (
        "Internal Server Error: /checkout/\ncheckout, shop/urls.py:N\nGET /checkout/\n"
        "status_code: 500\nERROR · django.request · web-1"
    )
    assert [("ValueError: card was declined", text, "0")] == shown(inbox)


JOB = re.compile(r"pushover-logging run --name \w+ (.+ )?-- (\S+).*")


def test_crontab():
    """crontab: every job goes through `run`, and is named."""
    lines = (EXAMPLES / "crontab").read_text(encoding="utf-8").splitlines()
    jobs = [line for line in lines if line and not line.startswith("#") and "=" not in line]
    assert 2 == len(jobs)
    for job in jobs:
        assert re.fullmatch(r"(\S+ +){5}" + JOB.pattern, job), job


@pytest.mark.parametrize("place", ["crontab", "systemd/backup.service"])
def test_job(program, inbox, tmp_path, place):
    """Its line, as it stands, but for the job itself: told where it fails, and when it is over."""
    text = (EXAMPLES / place).read_text(encoding="utf-8")
    found = re.search(r"(\S*/)?(pushover-logging run --name backup -- )/usr/local/bin(.*)", text)
    job = tmp_path / "backup"
    job.write_text("#!/bin/sh\necho No space left\nexit $STATUS\n", encoding="utf-8")
    job.chmod(0o755)
    line = f"{Path(PYTHON).parent}/{found[2]}{tmp_path}{found[3]}"
    for status in ("3", "0"):
        given = {"HOME": str(tmp_path), "STATUS": status, "PYTHONPATH": str(EXAMPLES.parent)}
        assert int(status) == run(program, "sh", "-c", line, cwd=tmp_path, **given)[0]
    pushes = [(title, text.splitlines()[-1], priority) for title, text, priority in shown(inbox)]
    assert ("Resolved: backup", "-1") == (pushes[0][0], pushes[0][2])
    assert ("backup failed: exit status 3", "No space left", "0") == pushes[1]


def test_on_failure_of_a_unit(program, inbox, tmp_path):
    """systemd/pushover-failure@.service: the end of the unit's journal, once, without secrets."""
    text = (EXAMPLES / "systemd" / "pushover-failure@.service").read_text(encoding="utf-8")
    (line,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    journal = tmp_path / "bin" / "journalctl"
    journal.parent.mkdir()
    script = '#!/bin/sh\necho "$@" >>asked\necho password=hunter2\n'
    journal.write_text(f"{script}yes 'No route' | head -n 300\necho The end", encoding="utf-8")
    journal.chmod(0o755)
    path = f"{journal.parent}:{Path(PYTHON).parent}:{os.environ['PATH']}"
    given = {"HOME": str(tmp_path), "PATH": path, "PYTHONPATH": str(EXAMPLES.parent)}
    command = shlex.split(line.replace("%i", "nginx.service"))
    for _ in range(2):
        assert 0 == run(program, *command, cwd=tmp_path, **given)[0]
    ((title, body, priority),) = shown(inbox)
    assert ("nginx.service failed", "The end", "0") == (title, body.splitlines()[-1], priority)
    asked = "--unit=nginx.service --lines=20 --output=cat --no-pager\n"
    assert 2 * asked == (tmp_path / "asked").read_text()
    journal.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    assert 0 == run(program, *shlex.split(line.replace("%i", "a.mount")), cwd=tmp_path, **given)[0]
    assert ("a.mount failed", "Its journal is empty.") in {push[:2] for push in shown(inbox)}


def test_systemd(tmp_path):
    """systemd: units that systemd itself finds nothing wrong with."""
    units = sorted((EXAMPLES / "systemd").iterdir())
    assert ["backup.service", "backup.timer", "pushover-failure@.service", "shop.service"] == [
        unit.name for unit in units
    ]
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(EXAMPLES / "systemd" / "backup.service")
    assert JOB.search(parser["Service"]["ExecStart"])
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze here")
    for unit in units:  # with programs that are there: it looks for them
        text = unit.read_text(encoding="utf-8")
        (tmp_path / unit.name).write_text(
            re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text)
        )
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, tmp_path.iterdir())],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (0, "") == (checked.returncode, checked.stderr)
