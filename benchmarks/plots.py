"""Draws what grows, on logarithmic axes."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.report import Plot

mpl.rcParams["svg.hashsalt"] = "the same figures give the same file"
mpl.rcParams["svg.fonttype"] = "none"


def draw(plot: Plot, path: Path) -> None:
    """Write the plot."""
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.subplots()
    for name, line in plot.lines.items():
        axes.loglog(list(line), list(line.values()), marker="o", markersize=4, label=name)
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)
    costs = [cost for line in plot.lines.values() for cost in line.values()]
    axes.set_ylim(min(costs) / 3, max(costs) * 3)  # so that what is level looks level
    axes.grid(visible=True, which="major", color="#ddd")
    axes.legend(frameon=False)
    figure.savefig(path, format="svg", metadata={"Date": None})
