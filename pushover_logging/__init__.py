"""Your program's errors on your phone, through Pushover.

In a script, start with `install`; in a larger program, add a `PushoverHandler` to its logging
configuration.
"""

from pushover_logging.api.client import PushoverClient, Receipt, Sent, Validation
from pushover_logging.api.quota import Quota
from pushover_logging.delivery.counters import Stats
from pushover_logging.exceptions import (
    ConfigurationError,
    DeliveryError,
    PushoverError,
    QuotaError,
    RejectedError,
    TemporaryError,
)
from pushover_logging.handler import PushoverHandler
from pushover_logging.install import install, install_in_worker
from pushover_logging.message import Message
from pushover_logging.rendering.formatter import PushoverFormatter
from pushover_logging.throttle.listing import ListedProblem

__all__ = [
    "ConfigurationError",
    "DeliveryError",
    "ListedProblem",
    "Message",
    "PushoverClient",
    "PushoverError",
    "PushoverFormatter",
    "PushoverHandler",
    "Quota",
    "QuotaError",
    "Receipt",
    "RejectedError",
    "Sent",
    "Stats",
    "TemporaryError",
    "Validation",
    "install",
    "install_in_worker",
]
