"""``pushover-logging demo``: plays an incident through the real handler, in front of the reader."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pushover_logging.books.stats import Stats
from pushover_logging.cli.helping import add_command
from pushover_logging.cli.stopping import stopped_quietly, wait_for_stop
from pushover_logging.handler import PushoverHandler
from pushover_logging.message import PRIORITIES

WINDOW = 3.0  # seconds, in place of 5 minutes: the summary comes within the play
PATIENCE = 8.0  # seconds that one push may take before the play goes on without it
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


@dataclass(frozen=True, slots=True)
class Scene:
    """One thing that goes wrong, and how many pushes a person gets for it."""

    caption: str
    play: Callable[[logging.Logger], None]
    pushes: int


_EXAMPLES = """\
examples:
  pushover-logging demo
  pushover-logging demo --once

exit status: 0 the figures add up, 1 they do not
"""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``demo``."""
    text = "Play an incident through the real handler; it arrives on a page of your own machine."
    parser = add_command(subparsers, run, text, _EXAMPLES)
    parser.add_argument(
        "--once", action="store_true", help="end after the play: status 0 where the figures add up"
    )


def run(arguments: argparse.Namespace) -> int:
    """Play the incident; return 0 where the figures add up, else 1."""
    # Only here: the command's other parts do without Flask.
    from pushover_logging.inbox import Inbox  # noqa: PLC0415

    status = 0
    with stopped_quietly(), Inbox() as inbox:
        _say(f"A Pushover service of your own: {inbox.url}")
        stats = _play(inbox)
        status = 0 if _adds_up(stats) else 1
        if not arguments.once:
            _say(f"\nThe pushes stay on {inbox.url} until Ctrl-C.")
            wait_for_stop()
    return status


def _play(inbox: Any) -> Stats:  # noqa: ANN401  an Inbox; its type needs Flask
    os.environ.pop("PUSHOVER_ENCRYPTION_KEY", None)  # the user's own set-up plays no part here
    values = inbox.environ
    handler = PushoverHandler(
        token=values["PUSHOVER_TOKEN"],
        user=values["PUSHOVER_USER"],
        api_url=inbox.url,
        level=logging.WARNING,
        throttle={"windows": [WINDOW, 60]},
        host="web-1",
        outbox="off",
    )
    shop = logging.Logger("shop")  # noqa: LOG001  of its own: no trace in logging's tree
    shop.addHandler(handler)
    shown = 0
    try:
        for scene in SCENES:
            _say(f"\n{scene.caption}")
            scene.play(shop)
            shown = _show(inbox, shown, scene.pushes)
    finally:
        shop.removeHandler(handler)
        handler.close()
    _show(inbox, shown, 0)
    stats = handler.stats()
    _say("\n" + ", ".join(f"{name} {getattr(stats, name)}" for name in _COUNTERS))
    return stats


def _show(inbox: Any, shown: int, pushes: int) -> int:  # noqa: ANN401  as above
    """Print what came after the first ``shown``, when ``pushes`` of it are there."""
    try:
        arrived = inbox.wait_for(shown + pushes, timeout=PATIENCE)
    except AssertionError:
        arrived = inbox.messages
        _say("  (a push is missing)")
    for push in arrived[shown:]:
        _say(_as_seen(push))
    return len(arrived)


def _as_seen(push: Mapping[str, Any]) -> str:
    name = _NAMES[int(push.get("priority", "0"))]
    lines = push["message"].splitlines()
    return "\n".join([f"  [{name}] {push['title']}", *(f"  | {line}" for line in lines)])


def _adds_up(stats: Stats) -> bool:
    ended = stats.sent + stats.suppressed + stats.rejected + stats.dropped + stats.failed
    told = sum(scene.pushes for scene in SCENES)
    return (
        stats.records == ended + stats.pending
        and stats.pending == 0
        and stats.sent + stats.summaries == told
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _below_the_level(log: logging.Logger) -> None:
    log.info("Shop is open")


def _warning(log: logging.Logger) -> None:
    log.warning("Disk %s is %d %% full", "/srv", 91)


def _error(log: logging.Logger) -> None:
    log.error("Order %s cannot be shipped", "A-1042", extra={"customer": 17})


def _exception_with_a_cause(log: logging.Logger) -> None:
    try:
        _charge()
    except RuntimeError:
        log.exception("Payment of order %s failed", "A-1043")


def _charge() -> None:
    try:
        _connect()
    except ConnectionRefusedError as error:
        msg = "card was not charged"
        raise RuntimeError(msg) from error


def _connect() -> None:
    msg = "db-7:5432 refused the connection"
    raise ConnectionRefusedError(msg)


def _five_thousand_equal(log: logging.Logger) -> None:
    for _ in range(5000):
        log.error("Cannot connect to %s", "db-7")


def _critical(log: logging.Logger) -> None:
    log.critical("The shop is down")


SCENES = (
    Scene("log.info(...): below the level, no push.", _below_the_level, 0),
    Scene("log.warning(...): quiet, without a sound.", _warning, 1),
    Scene("log.error(...) with an extra:", _error, 1),
    Scene("log.exception(...), with a cause:", _exception_with_a_cause, 1),
    Scene(
        f"5,000 equal errors: one at once, the rest counted when {WINDOW:g} s are over:",
        _five_thousand_equal,
        2,
    ),
    Scene("log.critical(...): through quiet hours.", _critical, 1),
)
