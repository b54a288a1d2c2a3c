"""Look at: both hand over what they know as they are used anyway, and extras become lines."""

import logging

import structlog
from loguru import logger

from pushover_logging import PushoverHandler

phone = PushoverHandler()


def lift(record: logging.LogRecord) -> bool:
    """Make fields of what loguru's `bind` keeps under `extra`: `pushover={...}` works there too."""
    record.__dict__.update(record.__dict__.pop("extra", {}))
    return True


# loguru takes a handler as it is; this format leaves time, level and traceback to the handler.
phone.addFilter(lift)
logger.add(phone, format=lambda _: "{message}", level="ERROR")
try:
    _ = {}["price"]
except KeyError:
    logger.bind(basket=7).exception("Cannot price order {}", "A-1042")

# structlog hands its event over to the standard library, the values as extras.
logging.getLogger().addHandler(phone)
structlog.configure(
    processors=[structlog.stdlib.render_to_log_kwargs],
    logger_factory=structlog.stdlib.LoggerFactory(),
)
structlog.get_logger("shop").error("Cannot ship", order="A-1043", carrier="north")
