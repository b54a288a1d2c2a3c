"""What the handler costs a server's answers: their median with it and without it.

    python benchmarks/servers.py [--requests 1000] [--rounds 5]

Each framework on its real server, one process, twice at once: with the handler, which sends to an
inbox of its own, and without, else alike. Requests go to the two in turn, a page that works and one
that fails (a 500, whose traceback goes to a log that nobody reads in both). A round's figure is the
ratio of its two medians; the median of all rounds is shown with the lowest and the highest.
Needs the extra test.
"""

from __future__ import annotations

import argparse
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median

from pushover_logging.inbox import Inbox

LOGGING = """
import logging.config, os
phone = {"phone": {"class": "pushover_logging.PushoverHandler"}} if os.environ["PHONE"] else {}
logging.config.dictConfig({
    "version": 1, "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}, **phone},
    "root": {"handlers": ["console", *phone]},
    "loggers": {"uvicorn": {"handlers": [], "propagate": True, "level": "WARNING"}},
})
"""
FLASK = """
from flask import Flask
app = Flask(__name__)
@app.get("/fine")
def fine(): return "fine"
@app.get("/fails")
def fails(): raise ValueError("card was declined")
"""
DJANGO = """
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
def fine(request): return HttpResponse("fine")
def fails(request): raise ValueError("card was declined")
urlpatterns = [path("fine", fine), path("fails", fails)]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None, SECRET_KEY="-")
app = get_wsgi_application()
"""
FASTAPI = """
from fastapi import FastAPI
app = FastAPI()
@app.get("/fine")
async def fine(): return "fine"
@app.get("/fails")
async def fails(): raise ValueError("card was declined")
"""
GUNICORN = ["gunicorn", "--workers=1", "--bind=127.0.0.1:{}", "app:app"]
UVICORN = ["uvicorn", "--port={}", "--no-access-log", "app:app"]
SERVERS = {
    "Django, gunicorn": (DJANGO, GUNICORN),
    "Flask, gunicorn": (FLASK, GUNICORN),
    "FastAPI, uvicorn": (FASTAPI, UVICORN),
}
WARM_UP = 50


@contextmanager
def served(source: str, command: list[str], environ: dict[str, str]) -> Iterator[int]:
    """Start a server and give its port; stop it at the end."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        Path(folder, "app.py").write_text(LOGGING + source, encoding="utf-8")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", *(part.format(port) for part in command)],
            cwd=folder,
            env={**os.environ, **environ},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(process.wait)
        stack.callback(process.terminate)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield port


def seconds(port: int, path: str) -> float:
    """Ask once, over a connection of its own; return how long the answer took."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    began = time.perf_counter()
    connection.request("GET", path)
    connection.getresponse().read()
    took = time.perf_counter() - began
    connection.close()
    return took


def measure(ports: tuple[int, int], path: str, requests: int) -> tuple[float, float]:
    """Return the medians with and without, asked in turn, each as often first as second."""
    took: dict[int, list[float]] = {port: [] for port in ports}
    for number in range(requests):
        for port in ports if number % 2 else reversed(ports):
            took[port].append(seconds(port, path))
    return median(took[ports[0]]), median(took[ports[1]])


def main() -> None:
    """Measure each server and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=1000, help="of each kind, each round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{'server':18} {'page':6} {'without':>9} {'with':>9}  ratio (lowest, highest)")
    for name, (source, command) in SERVERS.items():
        with ExitStack() as stack:
            inbox = stack.enter_context(Inbox())
            environ = {**inbox.environ, "PHONE": "1"}
            ports = (
                stack.enter_context(served(source, command, environ)),
                stack.enter_context(served(source, command, {**environ, "PHONE": ""})),
            )
            for path in ("/fine", "/fails"):
                measure(ports, path, WARM_UP)
                rounds = [measure(ports, path, arguments.requests) for _ in range(arguments.rounds)]
                ratios = sorted(ours / theirs for ours, theirs in rounds)
                ours, theirs = (median(one) * 1e3 for one in zip(*rounds, strict=True))
                print(
                    f"{name:18} {path[1:]:6} {theirs:6.3f} ms {ours:6.3f} ms  "
                    f"{median(ratios):.3f} ({ratios[0]:.3f}, {ratios[-1]:.3f})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
