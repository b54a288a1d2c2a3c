"""What a user may write: read by strict type checkers, and run with one extra alone.

user_program.py [EXTRA]
"""

from __future__ import annotations

import logging
import sys

import pushover_logging
from pushover_logging import (
    ConfigurationError,
    DeliveryError,
    Message,
    PushoverClient,
    PushoverFormatter,
    PushoverHandler,
    Stats,
)

TOKEN, USER = "azGDORePK8gMaC0QOYAMyEEuzJnyUi", "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"
LOOPBACK = "http://127.0.0.1:9"


def handler_of_all_kinds() -> PushoverHandler:
    handler = PushoverHandler(
        token=TOKEN,
        user=USER,
        level="WARNING",
        levels={"CRITICAL": {"priority": "emergency", "retry": 60}, "INFO": -1},
        throttle={"group_by": ["customer"], "windows": [60, 600]},
        timeout=(1, 2.5),
        api_url=LOOPBACK,
    )
    handler.setFormatter(PushoverFormatter(rename_fields={"levelname": "level"}, host="web-1"))
    return handler


def told(handler: PushoverHandler) -> int:
    stats: Stats = handler.stats()
    flushed: bool = handler.flush(timeout=0)
    return stats.sent if flushed else stats.pending


def send(client: PushoverClient, text: str) -> str | None:
    try:
        return client.send(Message(message=text, priority=1)).request
    except DeliveryError as error:
        return str(error)


def refusal(**options: str) -> str:
    try:
        PushoverHandler(token=TOKEN, user=USER, api_url=LOOPBACK, **options)  # type: ignore[arg-type]
    except ConfigurationError as error:
        return str(error)
    return ""


def main(extra: str) -> None:
    """Use what the extra brings; what another brings is refused with a word that helps."""
    for name, option, value in (
        ("encryption", "encryption_key", "0" * 64),
        ("redis", "throttle", "redis://127.0.0.1:9"),
    ):
        helps = f"pip install 'pushover-logging[{name}]'" in refusal(**{option: value})
        assert helps is (name != extra), name
    logging.getLogger().addHandler(handler_of_all_kinds())
    assert told(handler_of_all_kinds()) == 0
    if extra == "inbox":
        from pushover_logging.inbox import Inbox

        with Inbox() as inbox:
            client = PushoverClient(token=TOKEN, user=USER, api_url=inbox.url)
            assert send(client, "It works")
            assert len(inbox.messages) == 1
    elif "flask" in sys.modules:
        raise AssertionError
    assert callable(pushover_logging.install)


if __name__ == "__main__":
    main(*sys.argv[1:2] or [""])
