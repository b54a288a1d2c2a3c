"""Look at LOGGING: Django logs each 500 at ERROR, with its exception."""

import os

DEBUG = False
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "only-for-this-example")
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
TIME_ZONE = "UTC"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {
        "console": {"class": "logging.StreamHandler"},
        "phone": {"class": "pushover_logging.PushoverHandler"},
        "nowhere": {"class": "logging.NullHandler"},
    },
    "root": {"level": "INFO", "handlers": ["console", "phone"]},
    "loggers": {
        # Requests for another host's pages get a 400, and no push.
        "django.security.DisallowedHost": {"handlers": ["nowhere"], "propagate": False},
    },
}
