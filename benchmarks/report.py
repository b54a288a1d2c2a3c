"""What a benchmark found, and how it is written: ratios first, then what they are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.timing import Series, ratio


@dataclass(frozen=True)
class Check:
    """One figure beside its target; ``spread`` over the rounds, where there are some."""

    what: str
    figure: float
    target: float
    unit: str = "x"
    at_least: bool = False
    spread: tuple[float, float] | None = None

    @property
    def is_met(self) -> bool:
        """Return True if the target is kept."""
        return self.figure >= self.target if self.at_least else self.figure <= self.target

    def cells(self) -> tuple[str, ...]:
        """Return the row that says so."""
        bound = "at least" if self.at_least else "at most"
        spread = "" if self.spread is None else " to ".join(map(number, self.spread))
        return (
            self.what,
            f"{number(self.figure)} {self.unit}",
            spread,
            f"{bound} {self.target:g} {self.unit}",
            "met" if self.is_met else "MISSED",
        )


def check(what: str, ratios: Series, target: float, *, at_least: bool = False) -> Check:
    """Return the check of a ratio's median."""
    return Check(what, ratios.median, target, at_least=at_least, spread=ratios.spread)


def cost(
    what: str, ours: Series, theirs: Series, target: float, base: Series | None = None
) -> Check:
    """Return the check of what work costs that waits for nothing: by each one's fastest round.

    The spread is that of the rounds' own ratios.
    """
    low = base.best if base else 0.0
    figure = (ours.best - low) / max(theirs.best - low, 1e-12)
    return Check(what, figure, target, spread=ratio(ours, theirs, base).spread)


@dataclass(frozen=True)
class Table:
    """Rows of text under their headings; each row's first cell is its name."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Plot:
    """Lines to draw on two logarithmic axes."""

    name: str
    x: str
    y: str
    lines: Mapping[str, Mapping[float, float]]


@dataclass
class Result:
    """All that a benchmark found.

    ``profile`` shows where the time goes of what missed a target, ``why`` says it in words;
    ``details`` are for the JSON alone.
    """

    title: str
    checks: list[Check] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    profile: str = ""
    why: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def is_met(self) -> bool:
        """Return True if all targets are kept."""
        return all(one.is_met for one in self.checks)

    def data(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        checks = [{**asdict(one), "met": one.is_met} for one in self.checks]
        return {**asdict(self), "checks": checks}


CHECKS = ("ratio or figure", "measured", "spread", "target", "")


def number(value: float) -> str:
    """Return three figures of a number."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004  three figures


def microseconds(series: Series) -> tuple[str, str, str]:
    """Return the fastest, the median and the spread of a series in seconds."""
    low, high = series.spread
    middle = f"{1e6 * series.median:.2f} us"
    return f"{1e6 * series.best:.2f} us", middle, f"{1e6 * low:.2f} to {1e6 * high:.2f}"


def times(timed: Mapping[str, Series], base: Series | None = None, what: str = "a call") -> Table:
    """Return the table of what each costs; ``base``, over which "added" is."""
    headings = [what, "fastest", "median", "spread", *(["added"] if base else [])]
    rows = []
    for name, series in timed.items():
        added = [f"{1e6 * (series.best - base.best):.2f} us"] if base else []
        rows.append([name, *microseconds(series), *added])
    return Table(headings, rows)


def as_text(result: Result) -> str:
    """Return it for a terminal."""
    parts = [result.title, "=" * len(result.title)]
    if result.checks:
        parts.append(_columns([CHECKS, *[one.cells() for one in result.checks]]))
    parts += [_columns([table.headings, *table.rows]) for table in result.tables]
    parts += result.notes
    if result.profile:
        parts.append(f"where the time goes: {result.why}\n{result.profile}")
    return "\n\n".join([f"\n{parts[0]}\n{parts[1]}", *parts[2:]])


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if not place else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def as_markdown(result: Result, about: str, folder: str) -> str:
    """Return it, and what it is ``about``, for a page beside which the plots are in ``folder``."""
    parts = [f"## {result.title}", about]
    if result.checks:
        parts.append(grid(CHECKS, [one.cells() for one in result.checks]))
    parts += [grid(table.headings, table.rows) for table in result.tables]
    parts += result.notes
    parts += [f"![{plot.y} by {plot.x}]({folder}/{plot.name}.svg)" for plot in result.plots]
    if result.profile:
        parts.append(f"Missed. {result.why}\n\n```text\n{result.profile}\n```")
    return "\n\n".join(parts)


def grid(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in (headings, *rows)]
    rule = "| --- |" + " ---: |" * (len(headings) - 1)
    return "\n".join([lines[0], rule, *lines[1:]])
