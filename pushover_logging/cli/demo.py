"""``pushover-logging demo``: plays a bad morning of a web shop, and prints the pushes."""

from __future__ import annotations

import argparse
import linecache
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pushover_logging.cli.argparse_help import add_command
from pushover_logging.cli.signals import ending_quietly, wait_for_stop
from pushover_logging.delivery.counters import Stats
from pushover_logging.handler import PushoverHandler
from pushover_logging.message import PRIORITIES

PUSH_TIMEOUT = 8.0  # seconds to wait for the pushes of a scene
_COUNTERS = (
    "records",
    "sent",
    "suppressed",
    "dropped",
    "rejected",
    "failed",
    "pending",
    "summaries",
)
_NAMES = {number: name for name, number in PRIORITIES.items()}
_OPENING = """\
A bad morning of a web shop, played through the real handler in a few seconds: a disk that fills
up, a payment that fails, an outage with 5,000 errors, and an emergency.
Each push appears below, and on a page that shows it as a phone does.
Nothing leaves this machine, and you need no account.

Open {url}"""
_END = """
09:00  The program ends. One quiet digest reports the counts since the first errors.
       While a program runs, the first counts come after 5 minutes."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What the shop does, and how many pushes that causes.

    ``play`` names a function of `SHOP`.
    """

    caption: str
    play: str
    pushes: int


# The shop's program. The pushes show its files and lines, so it is compiled under their names.
SHOP = {
    "shop/orders.py": """\
def open_shop(log, phone):
    log.info("The shop is open")


def fill_disk(log, phone):
    problem = {"fingerprint": "disk"}
    log.warning("Disk %s is %d %% full", "/srv/photos", 91, extra={"pushover": problem})


def outage(log, phone):
    for order in range(5000):
        log.error("Cannot save order: no connection to db-7")
    for parcel in range(40):
        log.error("The warehouse does not answer")


def free_disk(log, phone):
    phone.resolve("disk")


def emergency(log, phone):
    log.critical("The shop takes no payments")
""",
    "shop/payments.py": """\
def ask_bank(url):
    raise TimeoutError(f"no answer from {url} within 30 s")


def charge(order, card):
    try:
        ask_bank(f"https://bank.example/charge?order={order}&api_key=sk_live_51Hq7")
    except TimeoutError as error:
        raise RuntimeError(f"card of order {order} was not charged") from error


def pay(log, phone):
    try:
        charge("A-1043", card="visa")
    except RuntimeError:
        log.exception("Payment failed", extra={"customer": 17, "amount": "59.90 EUR"})
""",
}
SCENES = (
    Scene("08:00  The shop opens. INFO is below the handler's level: no push.", "open_shop", 0),
    Scene(
        "08:10  A disk fills up. A warning comes with low priority, without a sound.",
        "fill_disk",
        1,
    ),
    Scene(
        "08:15  A payment fails. The push shows cause and place; the bank's key is masked.",
        "pay",
        1,
    ),
    Scene(
        "08:20  The database is gone: 5,000 errors, and 40 of the warehouse. You get a push for\n"
        "       the first of each; the others are counted.",
        "outage",
        2,
    ),
    Scene("08:40  The disk has room again. A quiet push resolves the warning.", "free_disk", 1),
    Scene(
        "08:45  No payments at all: an emergency. It repeats until it is acknowledged.",
        "emergency",
        1,
    ),
)


_EXAMPLES = """\
examples:
  pushover-logging demo
  pushover-logging demo --once

exit status: 0 the counters are as expected, 1 they are not
"""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``demo``."""
    text = "Play a bad morning of a web shop; the pushes appear here and on a local web page."
    parser = add_command(subparsers, run, text, _EXAMPLES)
    parser.add_argument(
        "--once",
        action="store_true",
        help="end after the story, instead of serving the page until Ctrl-C",
    )


def run(arguments: argparse.Namespace) -> int:
    """Play the story; return 0 if the counters are as expected, else 1."""
    # Imported here because the other subcommands do not need Flask.
    from pushover_logging.inbox import Inbox  # noqa: PLC0415

    status = 0
    with ending_quietly(), Inbox() as inbox:
        _print(_OPENING.format(url=inbox.url))
        stats = _play(inbox)
        status = 0 if _is_as_expected(stats, len(inbox.messages)) else 1
        if not arguments.once:
            _print(f"\nThe pushes stay on {inbox.url} until Ctrl-C.")
            wait_for_stop()
    return status


def _play(inbox: Any) -> Stats:  # noqa: ANN401  an Inbox; its type needs Flask
    for name in ("PUSHOVER_ENCRYPTION_KEY", "PUSHOVER_ENCRYPTION_KEY_FILE"):
        os.environ.pop(name, None)  # the demo ignores the user's configuration
    handler = PushoverHandler(
        token=inbox.environ["PUSHOVER_TOKEN"],
        user=inbox.environ["PUSHOVER_USER"],
        api_url=inbox.url,
        level=logging.WARNING,
        levels={"CRITICAL": "emergency"},
        throttle=True,
        host="web-1",
        outbox="off",
    )
    shop = logging.Logger("shop")  # noqa: LOG001  stays out of logging's tree
    shop.addHandler(handler)
    story, shown = _compiled(), 0
    try:
        for scene in SCENES:
            _print(f"\n{scene.caption}")
            story[scene.play](shop, handler)
            shown = _show(inbox, shown, scene.pushes)
        _print(_END)
    finally:
        shop.removeHandler(handler)
        handler.close()
    _show(inbox, shown, 0)
    stats = handler.stats()
    _print(f"\n{stats.records:,} records made {len(inbox.messages)} pushes:")
    _print(", ".join(f"{name} {getattr(stats, name)}" for name in _COUNTERS))
    return stats


def _show(inbox: Any, shown: int, pushes: int) -> int:  # noqa: ANN401  as above
    """Wait for ``pushes`` more than ``shown``, print them, and return how many there are in all."""
    try:
        arrived = inbox.wait_for(shown + pushes, timeout=PUSH_TIMEOUT)
    except AssertionError:
        arrived = inbox.messages
        _print("  (a push is missing)")
    for push in arrived[shown:]:
        _print(_as_text(push))
        if push.get("receipt"):
            inbox.acknowledge(push["receipt"], device="phone")
            _print("  Acknowledged on the phone: it no longer repeats.")
    return len(arrived)


def _compiled() -> dict[str, Callable[[logging.Logger, PushoverHandler], None]]:
    """Return the functions of the shop, whose source lines can be read like those of a file."""
    names: dict[str, Any] = {}
    for name, source in SHOP.items():
        path = f"/srv/{name}"
        linecache.cache[path] = len(source), None, source.splitlines(keepends=True), path
        exec(compile(source, path, "exec"), names)  # noqa: S102  its own text
    return names


def _as_text(push: Mapping[str, Any]) -> str:
    name = _NAMES[int(push.get("priority", "0"))]
    lines = push["message"].splitlines()
    return "\n".join([f"  [{name}] {push['title']}", *(f"  | {line}" for line in lines)])


def _is_as_expected(stats: Stats, arrived: int) -> bool:
    done = stats.sent + stats.suppressed + stats.rejected + stats.dropped + stats.failed
    expected = done, 0, sum(scene.pushes for scene in SCENES), stats.sent + stats.summaries
    return (stats.records, stats.pending, stats.sent, arrived) == expected


def _print(text: str) -> None:
    print(text, flush=True)
