"""An AWS Lambda function whose errors you get on your phone.

Look at `flush`: it sends everything before Lambda freezes the process and its background thread.

The entry point is `aws_lambda.handler`. Try it on your machine: python aws_lambda.py
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
