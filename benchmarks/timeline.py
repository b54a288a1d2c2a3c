"""Draw docs/throttling.svg: one problem's records and pushes, as the real rules give them.

python benchmarks/timeline.py
"""

from __future__ import annotations

import logging
from pathlib import Path

from simulate import Event, World

from pushover_logging.throttle.rules import Rules

TARGET = Path(__file__).parent.parent / "docs" / "throttling.svg"
WIDTH, LEFT = 920, 40
STATES = ((0, 300, "5 min"), (300, 1200, "15 min"), (1200, 4800, "1 h: cooling after it"))
COLOURS = {"first": "#c0392b", "again": "#d35400", "summary": "#2471a3"}
RECORDS = [*range(0, 600, 5), 9000, *range(9060, 9300, 20)]
END = 13_000.0


def x_of(second: float) -> float:
    """Return where a second is drawn."""
    return LEFT + second / END * (WIDTH - 2 * LEFT)


def main() -> None:
    """Play ten minutes of trouble and a relapse, and draw it."""
    world = World(Rules(), processes=1, step=1.0)
    events = (Event(float(at), "No database", logging.ERROR) for at in RECORDS)
    pushes = world.play(events, END).pushes
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="210">',
        '<g font-family="sans-serif" font-size="12">',
        "<title>One problem: its records, its windows and its pushes</title>",
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for begin, end, name in STATES:
        left, size = x_of(begin), x_of(end) - x_of(begin) - 1
        parts.append(f'<rect x="{left:.1f}" y="92" width="{size:.1f}" height="16" fill="#d6eaf8"/>')
        parts.append(f'<text x="{left + 2:.1f}" y="124" fill="#555">{name}</text>')
    parts += [
        f'<path d="M{x_of(at):.1f} 134v12" stroke="#888" stroke-width="0.7"/>' for at in RECORDS
    ]
    parts.append(f'<text x="{LEFT}" y="164" fill="#555">records</text>')
    for number, (at, what, _, reported) in enumerate(pushes):
        x, y = x_of(at), 28 + number % 3 * 20
        said = f"{reported} more" if what == "summary" else what.upper()
        parts.append(f'<path d="M{x:.1f} {y}V108" stroke="{COLOURS[what]}"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{y}" r="4" fill="{COLOURS[what]}"/>')
        parts.append(f'<text x="{x + 7:.1f}" y="{y + 4}">{said}</text>')
    for hour in range(4):
        x = x_of(hour * 3600)
        parts.append(f'<path d="M{x:.1f} 172v6" stroke="black"/>')
        parts.append(f'<text x="{x:.1f}" y="194" text-anchor="middle">{hour} h</text>')
    parts.append(f'<path d="M{LEFT} 175H{WIDTH - LEFT}" stroke="black"/></g></svg>')
    TARGET.write_text("\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
