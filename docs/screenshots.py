"""Take the pictures of docs/images: `python docs/screenshots.py`.

It builds the documentation, runs `pushover-logging demo` and an empty inbox, and lets a headless
Chromium take each page at 390 and 1,440 px, light and dark. ``phone.png`` is a lock screen with
pushes of the demo. It needs the extras ``docs``, ``inbox`` and ``test``, and Debian's chromium.
"""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Browser, sync_playwright

DOCS = Path(__file__).parent
IMAGES = DOCS / "images"
WIDTHS = {390: 844, 1440: 900}  # and heights, in pixels
SCHEMES = ("light", "dark")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
ON_PHONE = 4  # pushes
LOCK_SCREEN = """<!doctype html><meta charset="utf-8"><style>
* { box-sizing: border-box; margin: 0 }
body { font: 15px/1.3 system-ui, sans-serif; background: transparent; padding: 6px }
main { width: 378px; border-radius: 44px; border: 6px solid #1b2430; padding: 26px 14px 30px;
  background: linear-gradient(160deg, #24405e, #6b4a73 60%, #c0715e); color: #fff }
h1 { font-size: 68px; font-weight: 300; text-align: center; line-height: 1 }
h2 { font-size: 16px; font-weight: 500; text-align: center; margin-bottom: 6px }
article { background: rgb(245 246 248 / .92); color: #14181d; border-radius: 18px;
  padding: 10px 14px; margin-top: 10px }
header { display: flex; justify-content: space-between; font-size: 12px; color: #5a6470 }
b { display: block; margin: 2px 0 } p { font-size: 14px; white-space: pre-line;
  display: -webkit-box; -webkit-line-clamp: 3; -webkit-box-orient: vertical; overflow: hidden }
</style><main><h2>Tuesday 3 March</h2><h1>14:02</h1>PUSHES</main>"""

CLOCK = re.compile(r"\d\d:\d\d:\d\d")
AGES = [
    ("now", "14:01:58"), ("5 min ago", "13:57:04"), ("5 min ago", "13:56:40"),
    ("9 min ago", "13:53:12"),
]  # fmt: skip


@contextmanager
def serving(*command: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a command that serves pages; yield the address that it prints, and the process."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "pushover_logging", *command],
        stdout=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    try:
        assert process.stdout is not None  # noqa: S101  as asked for
        found = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in process.stdout)
        yield next(match.group() for match in found if match), process
    finally:
        process.terminate()
        process.wait(10)


def take(browser: Browser, url: str, name: str) -> None:
    """Take a page at each width, light and dark."""
    for (width, height), scheme in product(WIDTHS.items(), SCHEMES):
        page = browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
        )
        page.goto(url)
        page.wait_for_timeout(500)
        page.screenshot(path=IMAGES / f"{name}-{width}-{scheme}.png")
        page.close()


def lock_screen(pushes: list[dict[str, Any]]) -> str:
    """Return the page of a phone that shows pushes, the newest first, at the times of its story."""
    shown = (
        f"<article><header><span>shop</span><span>{age}</span></header><b>"
        f"{html.escape(push['title'])}</b><p>{CLOCK.sub(clock, html.escape(push['message']))}</p>"
        "</article>"
        for push, (age, clock) in zip(pushes, AGES, strict=False)
    )
    return LOCK_SCREEN.replace("PUSHES", "".join(shown))


def main() -> None:
    """Take all pictures."""
    IMAGES.mkdir(exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        sphinx = [sys.executable, "-m", "sphinx", "-q", "-W", str(DOCS), site]
        subprocess.run(sphinx, check=True)
        take(browser, f"file://{site}/index.html", "landing")
        take(browser, f"file://{site}/tutorial.html", "tutorial")
        with serving("inbox", "--port", "0") as (url, _):
            take(browser, url, "inbox-empty")
        with serving("demo") as (url, demo):
            assert demo.stdout is not None  # noqa: S101  as asked for
            next(line for line in demo.stdout if "Ctrl-C" in line)
            take(browser, url, "inbox")
            pushes = requests.get(f"{url}/inbox/messages", timeout=10).json()
            pushes = pushes["messages"] if isinstance(pushes, dict) else pushes
        page = browser.new_page(viewport={"width": 390, "height": 760}, device_scale_factor=2)
        page.set_content(lock_screen(pushes[::-1][:ON_PHONE]))
        page.locator("main").screenshot(path=IMAGES / "phone.png", omit_background=True)
        browser.close()


if __name__ == "__main__":
    main()
