"""A Flask application that reports failed requests.

Look at the order: logging is configured before the application is created. Flask logs each 500.

flask --app flask_app run, and open /checkout
"""

import logging.config

from flask import Flask

logging.config.dictConfig(
    {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {
            "console": {"class": "logging.StreamHandler"},
            "phone": {"class": "pushover_logging.PushoverHandler"},
        },
        "root": {"level": "INFO", "handlers": ["console", "phone"]},
    }
)
app = Flask(__name__)


@app.get("/")
def home() -> str:
    return "Fine. Now open /checkout"


@app.get("/checkout")
def checkout() -> str:
    app.logger.error("No stock of %s", "A-1042", extra={"warehouse": "north"})
    msg = "card was declined"
    raise ValueError(msg)
