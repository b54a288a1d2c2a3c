"""Look at: gunicorn's own errors are sent, too: a worker that hangs or is killed, a failed start.

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
    # gunicorn gives these handlers of their own; what it logs comes to root instead.
    "loggers": {"gunicorn.error": {"level": "INFO", "propagate": True}},
}
