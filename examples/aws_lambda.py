"""Look at: `flush` at the end of each call.

Lambda freezes the process after each call, and with it the thread that sends.

The entry point is `aws_lambda.handler`. To try it here: python aws_lambda.py
"""

import logging
from typing import Any

from pushover_logging import PushoverHandler

phone = PushoverHandler(host="charge-function", close_timeout=3)
logging.getLogger().addHandler(phone)
log = logging.getLogger("charge")


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    try:
        return {"charged": event["amount"]}
    except Exception:
        log.exception("Cannot charge order %s", event.get("order"))
        raise
    finally:
        phone.flush()


if __name__ == "__main__":
    handler({"order": "A-1042"}, None)
