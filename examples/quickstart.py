"""Look at: one line of set-up, one error, one push. Point it at `pushover-logging inbox`."""

import logging

import pushover_logging

pushover_logging.install()
try:
    _ = {}["price"]
except KeyError:
    logging.getLogger("shop").exception("Cannot price order %s", "A-1042")
