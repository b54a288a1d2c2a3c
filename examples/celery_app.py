"""A Celery worker that reports failed tasks.

Look at `configure`, which keeps Celery from configuring logging, and at `shutdown`, which sends
what waits.

celery --app celery_app worker, and in another terminal: python celery_app.py
"""

import logging
import os
from pathlib import Path
from tempfile import gettempdir

from celery import Celery
from celery.signals import setup_logging, worker_process_shutdown

from pushover_logging import PushoverHandler

# A folder is used as the broker, so that you can run this without one.
folder = Path(os.environ.get("BROKER_FOLDER") or Path(gettempdir(), "pushover-celery"))
folder.mkdir(exist_ok=True)
app = Celery("celery_app", broker="filesystem://")
app.conf.broker_transport_options = {
    name: str(folder) for name in ("data_folder_in", "data_folder_out", "control_folder")
}


def without_data(record: logging.LogRecord) -> bool:
    """Remove the field in which Celery repeats everything, with the arguments of the task."""
    record.__dict__.pop("data", None)
    return True


@setup_logging.connect
def configure(**_: object) -> None:
    phone = PushoverHandler()
    phone.addFilter(without_data)
    logging.basicConfig(level=logging.INFO)
    logging.getLogger().addHandler(phone)


@worker_process_shutdown.connect
def shutdown(**_: object) -> None:
    """Send what waits: Celery ends its processes without running exit hooks."""
    logging.shutdown()


@app.task(name="charge")
def charge(order: str) -> None:
    msg = f"card of order {order} was declined"
    raise ValueError(msg)


if __name__ == "__main__":
    charge.delay("A-1042")
