"""A gunicorn configuration that also reports gunicorn's own errors.

Those are a worker that hangs or is killed, and a failed start. Look at `gunicorn.error`.

gunicorn --config gunicorn_conf.py flask_app:app
"""

bind = "127.0.0.1:8000"
workers = 2
timeout = 30
logconfig_dict = {
    "handlers": {
        "console": {"class": "logging.StreamHandler"},
        "phone": {"class": "pushover_logging.PushoverHandler"},
    },
    "root": {"level": "INFO", "handlers": ["console", "phone"]},
    # By default, gunicorn gives this logger a handler and does not pass its records on to root.
    "loggers": {"gunicorn.error": {"level": "INFO", "propagate": True}},
}
