"""A training that sends a quiet push at its end, with the loss curve as a picture.

Look at `attachment`, which takes a matplotlib figure.
"""

import logging
import math

import matplotlib as mpl

mpl.use("agg")
from matplotlib import pyplot as plt

import pushover_logging

log = logging.getLogger("training")
pushover_logging.install(level="INFO")

losses = []
for epoch in range(1, 31):
    loss = math.exp(-epoch / 8) + 0.02 * math.cos(epoch)
    losses.append(loss)
    if math.isnan(loss):
        log.critical("Loss is not a number in epoch %d", epoch)

figure, axes = plt.subplots()
axes.plot(losses)
axes.set(title="Loss", xlabel="epoch")
log.info(
    "Training is done, loss %.3f",
    losses[-1],
    extra={"epochs": len(losses), "pushover": {"attachment": figure, "sound": "cosmic"}},
)
