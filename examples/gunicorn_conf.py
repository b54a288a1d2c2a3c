"""Look at: gunicorn's own errors come too: a worker that hangs, one that is killed, a bad start.

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
