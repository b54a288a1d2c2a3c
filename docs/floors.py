"""Draw docs/floors.svg: the floors of the house and the imports between its rooms.

python docs/floors.py

What is on which floor stands in `tests/test_layering.py`, which also compares the drawing with
the imports of today. An arrow that a longer way says already is left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
TARGET = Path(__file__).with_suffix(".svg")
WIDTH, LEFT, ROOM, HIGH, GAP, STOREY = 1060, 50, 112, 26, 12, 58
A_ROW = (WIDTH - LEFT) // (ROOM + GAP)


def reduced(graph: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Return the arrows of a graph without circles that no way over other rooms says already."""

    def below(name: str) -> set[str]:
        return {name}.union(*(below(end) for end in graph[name]))

    return [
        (start, end)
        for start in sorted(graph)
        for end in sorted(graph[start])
        if not any(end in below(other) for other in graph[start] - {end})
    ]


def middle(places: list[int]) -> float:
    """Return the mean of some places, or the middle of the page for none."""
    return sum(places) / len(places) if places else WIDTH / 2


def drawing(floors: dict[str, int], graph: dict[str, set[str]]) -> str:
    """Return the SVG: ``floors`` maps rooms to their floor, ``graph`` to the rooms they import."""
    places: dict[str, tuple[int, int]] = {}
    bands, y = [], GAP
    for floor in sorted(set(floors.values()), reverse=True):
        rooms = [name for name in sorted(graph) if floors[name] == floor]
        rooms.sort(
            key=lambda name: middle([places[one][0] for one in places if name in graph[one]])
        )
        bands.append((floor, y))
        for first in range(0, len(rooms), A_ROW):
            row = rooms[first : first + A_ROW]
            left = LEFT + (A_ROW - len(row)) * (ROOM + GAP) // 2
            places |= {name: (left + at * (ROOM + GAP), y) for at, name in enumerate(row)}
            y += HIGH + GAP
        y += STOREY - HIGH
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}">',
        "<title>The floors of the house</title>",
        '<rect width="100%" height="100%" fill="white"/>',
        '<g font-family="sans-serif" font-size="12">',
    ]
    parts += [f'<text x="16" y="{at + 18}" fill="#888">{floor}</text>' for floor, at in bands]
    for start, end in reduced(graph):
        (x1, y1), (x2, y2) = places[start], places[end]
        x1, x2, y1 = x1 + ROOM // 2, x2 + ROOM // 2, y1 + HIGH
        half = (y1 + y2) // 2
        parts.append(
            f'<path d="M{x1} {y1}C{x1} {half} {x2} {half} {x2} {y2}" fill="none" '
            f'stroke="#2471a3" stroke-opacity="0.35"><title>{start} imports {end}</title></path>'
        )
    for name, (x, at) in places.items():
        parts += [
            f'<rect x="{x}" y="{at}" width="{ROOM}" height="{HIGH}" rx="4" fill="#d6eaf8"/>',
            f'<text x="{x + ROOM // 2}" y="{at + 17}" text-anchor="middle">{name}</text>',
        ]
    return "\n".join([*parts, "</g></svg>"]) + "\n"


def house() -> tuple[dict[str, int], dict[str, set[str]]]:
    """Return the rooms' floors and the imports between rooms, as the layering's tests read them."""
    sys.path.insert(0, str(ROOT / "tests"))
    import test_layering as layering  # noqa: PLC0415  the path to it was set just now

    modules = layering.modules_of(layering.SOURCE)
    graph: dict[str, set[str]] = {layering.top(name): set() for name in modules if name}
    for name in filter(None, modules):
        ends = map(layering.top, layering.imports_of(name, modules))
        graph[layering.top(name)].update(ends)
    return layering.FLOORS, {name: ends - {name} for name, ends in graph.items()}


if __name__ == "__main__":
    TARGET.write_text(drawing(*house()), encoding="utf-8")
