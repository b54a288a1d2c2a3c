"""The shortest program: one line of set-up, one error, one push.

Look at `install`, which is the set-up. To try it without an account, start `pushover-logging inbox`
and set the variables that it prints.
"""

import logging

import pushover_logging

pushover_logging.install()
try:
    _ = {}["price"]
except KeyError:
    logging.getLogger("shop").exception("Cannot price order %s", "A-1042")
