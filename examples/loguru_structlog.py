"""A program that logs with loguru and structlog, and reports the errors of both.

Look at `lift`: it makes each value of loguru's `bind` a line of the push.
"""

import logging

import structlog
from loguru import logger

from pushover_logging import PushoverHandler

phone = PushoverHandler()


def lift(record: logging.LogRecord) -> bool:
    """Turn the values of loguru's `bind` into fields; `pushover={...}` sets those of the push."""
    record.__dict__.update(record.__dict__.pop("extra", {}))
    return True


# loguru accepts a handler as a sink. The format leaves time, level and traceback to the handler.
phone.addFilter(lift)
logger.add(phone, format=lambda _: "{message}", level="ERROR")
try:
    _ = {}["price"]
except KeyError:
    logger.bind(basket=7).exception("Cannot price order {}", "A-1042")

# structlog passes its event on to the standard library, with the values as extras.
logging.getLogger().addHandler(phone)
structlog.configure(
    processors=[structlog.stdlib.render_to_log_kwargs],
    logger_factory=structlog.stdlib.LoggerFactory(),
)
structlog.get_logger("shop").error("Cannot ship", order="A-1043", carrier="north")
