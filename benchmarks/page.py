"""Writes docs/benchmarks.md and its plots, of one run."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

from benchmarks import plots
from benchmarks.report import CHECKS, Result, Table, as_markdown, grid

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
FOLDER = "benchmarks"
HEAD, MENDED = (Path(__file__).with_name(name) for name in ("head.md", "mended.md"))


def write(results: Mapping[str, Result], machine: Mapping[str, str]) -> None:
    """Write the page."""
    folder = PAGE.parent / FOLDER
    folder.mkdir(exist_ok=True)
    rows = [
        (f"{result.title.split('.')[0]}: {cells[0]}", *cells[1:])
        for result in results.values()
        for cells in (one.cells() for one in result.checks)
    ]
    named = Table(["measured with", ""], list(machine.items()))
    parts = [
        HEAD.read_text(encoding="utf-8").rstrip(),
        grid(CHECKS, rows),
        grid(named.headings, named.rows),
    ]
    for name, result in results.items():
        for plot in result.plots:
            plots.draw(plot, folder / f"{plot.name}.svg")
        about = (importlib.import_module(f"benchmarks.{name}").__doc__ or "").strip()
        parts.append(as_markdown(result, about, FOLDER))
    parts.append(MENDED.read_text(encoding="utf-8").rstrip())
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
