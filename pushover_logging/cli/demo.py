"""``pushover-logging demo``: plays an incident through the real handler, and prints the pushes."""

from __future__ import annotations

import argparse
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

WINDOW = 3.0  # seconds instead of 5 minutes, so that the summary comes within the demo
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


@dataclass(frozen=True, slots=True)
class Scene:
    """Log calls, and how many pushes they cause."""

    caption: str
    play: Callable[[logging.Logger], None]
    pushes: int


_EXAMPLES = """\
examples:
  pushover-logging demo
  pushover-logging demo --once

exit status: 0 the counters are as expected, 1 they are not
"""


def add_to(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``demo``."""
    text = "Play an incident through the real handler; the pushes appear on a local web page."
    parser = add_command(subparsers, run, text, _EXAMPLES)
    parser.add_argument(
        "--once", action="store_true", help="end after the incident; the status checks the counters"
    )


def run(arguments: argparse.Namespace) -> int:
    """Play the incident; return 0 if the counters are as expected, else 1."""
    # Imported here because the other subcommands do not need Flask.
    from pushover_logging.inbox import Inbox  # noqa: PLC0415

    status = 0
    with ending_quietly(), Inbox() as inbox:
        _print(f"A local Pushover service: {inbox.url}")
        stats = _play(inbox)
        status = 0 if _is_as_expected(stats) else 1
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
        throttle={"windows": [WINDOW, 60]},
        host="web-1",
        outbox="off",
    )
    shop = logging.Logger("shop")  # noqa: LOG001  stays out of logging's tree
    shop.addHandler(handler)
    shown = 0
    try:
        for scene in SCENES:
            _print(f"\n{scene.caption}")
            scene.play(shop)
            shown = _show(inbox, shown, scene.pushes)
    finally:
        shop.removeHandler(handler)
        handler.close()
    _show(inbox, shown, 0)
    stats = handler.stats()
    _print("\n" + ", ".join(f"{name} {getattr(stats, name)}" for name in _COUNTERS))
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
    return len(arrived)


def _as_text(push: Mapping[str, Any]) -> str:
    name = _NAMES[int(push.get("priority", "0"))]
    lines = push["message"].splitlines()
    return "\n".join([f"  [{name}] {push['title']}", *(f"  | {line}" for line in lines)])


def _is_as_expected(stats: Stats) -> bool:
    done = stats.sent + stats.suppressed + stats.rejected + stats.dropped + stats.failed
    pushes = sum(scene.pushes for scene in SCENES)
    return (stats.records, stats.pending, stats.sent + stats.summaries) == (done, 0, pushes)


def _print(text: str) -> None:
    print(text, flush=True)


def _info(log: logging.Logger) -> None:
    log.info("Shop is open")


def _warning(log: logging.Logger) -> None:
    log.warning("Disk %s is %d %% full", "/srv", 91)


def _error(log: logging.Logger) -> None:
    log.error("Order %s cannot be shipped", "A-1042", extra={"customer": 17})


def _exception_with_cause(log: logging.Logger) -> None:
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


def _equal_errors(log: logging.Logger) -> None:
    for _ in range(5000):
        log.error("Cannot connect to %s", "db-7")


def _critical(log: logging.Logger) -> None:
    log.critical("The shop is down")


SCENES = (
    Scene("log.info(...): below the handler's level, no push.", _info, 0),
    Scene("log.warning(...): low priority, without a sound.", _warning, 1),
    Scene("log.error(...) with an extra:", _error, 1),
    Scene("log.exception(...) with a cause:", _exception_with_cause, 1),
    Scene(
        f"5,000 equal errors: a push for the first, and the count after {WINDOW:g} s:",
        _equal_errors,
        2,
    ),
    Scene("log.critical(...): high priority, also in quiet hours.", _critical, 1),
)
