"""Draw the pictures of docs/architecture.md from the code: `python docs/drawings.py`.

``layers.svg`` shows the imports between packages, ``problem.svg`` what the throttle's rules do in
each state, ``trip.svg`` the calls that one record causes. `tests/test_architecture.py` fails if a
picture is not what this script draws.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any

from pushover_logging.throttle.rules import Occurrences, Problem, Rules, Verdict

DOCS = Path(__file__).parent
FULL = 6  # boxes; more of them stand on two heights
STYLE = """<style>
text { font: 13px sans-serif; fill: #1b2733; text-anchor: middle }
.note { font-size: 11px; fill: #5b6b7a } .code { font-family: monospace }
.left { text-anchor: start }
rect { fill: #e3eef7; stroke: #5a8bb5 } path { fill: none; stroke: #5a8bb5; stroke-width: 1.3 }
marker path { fill: #5a8bb5 } .faint { stroke-opacity: 0.45; stroke-width: 1 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note { fill: #9fb0c0 } rect { fill: #20303f }
}
</style>
<defs><marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7"
orient="auto-start-reverse"><path d="M0 0L8 4L0 8z"/></marker></defs>"""


def svg(title: str, width: int, height: int, parts: list[str]) -> str:
    """Return a picture; it is readable on a light and on a dark page."""
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<title>{title}</title>\n{STYLE}'
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def box(x: int, y: int, width: int, text: str) -> list[str]:
    """Return a box whose upper edge has its middle at (x, y)."""
    return [
        f'<rect x="{x - width // 2}" y="{y}" width="{width}" height="28" rx="5"/>',
        f'<text x="{x}" y="{y + 19}">{text}</text>',
    ]


# -- the layers


def packages() -> tuple[list[list[str]], dict[str, set[str]]]:
    """Return the rows of the picture, from the top, and which package imports which."""
    sys.path.insert(0, str(DOCS.parent / "tests"))
    import test_layering as layering  # noqa: PLC0415  the path to it was set just now

    def room(name: str) -> str:
        return name if name in layering.LEAVES.split() else name.partition(".")[0]

    graph: dict[str, set[str]] = {}
    for start, ends in layering.graph_of(layering.SOURCE).items():
        graph.setdefault(room(start), set()).update(map(room, ends))
    rows = [[name for name in floor.split() if name in graph] for floor in layering.FLOORS]
    return rows[::-1], {name: ends - {name} for name, ends in graph.items()}


def reduced(graph: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """Yield the arrows that no longer way says already."""

    def below(name: str, known: frozenset[str] = frozenset()) -> set[str]:
        ends = graph[name] - known
        return {name}.union(*(below(end, known | {name}) for end in ends))

    for start in sorted(graph):
        for end in sorted(graph[start]):
            if not any(end in below(other, frozenset({start})) for other in graph[start] - {end}):
                yield start, end


def layers() -> str:
    """Return the picture of the packages and their imports."""
    rows, graph = packages()
    places, parts = {}, []
    for line, row in enumerate(rows):
        step = 980 // len(row)
        for at, name in enumerate(row):
            places[name] = (
                10 + step // 2 + at * step,
                20 + 80 * line + 34 * (at % 2) * (len(row) > FULL),
            )
    for start, end in reduced(graph):
        if start in rows[-1]:
            continue  # what leaves import of each other says little
        (x1, y1), (x2, y2) = places[start], places[end]
        y1 += 28
        half = (y1 + y2) // 2 if y2 > y1 else y1 + 24
        curve = f"M{x1} {y1}C{x1} {half} {x2} {half} {x2} {y2}"
        parts.append(f'<path class="faint" d="{curve}"><title>{start} imports {end}</title></path>')
    for name, (x, y) in places.items():
        parts += box(x, y, max(76, 8 * len(name) + 14), name)
    return svg("The packages and their imports", 1000, 20 + 80 * len(rows) + 20, parts)


# -- one problem

STATES = {
    "unknown": (110, 150), "open": (380, 60), "open, with a count": (720, 60),
    "cooling": (550, 250),
}  # fmt: skip
ERROR, CRITICAL = logging.ERROR, logging.CRITICAL


def state_of(rules: Rules, problem: Problem | None, now: float) -> str:
    """Return the name of a problem's state."""
    if problem is None or rules.is_expired(problem, now):
        return "unknown"
    if problem.counted.count:
        return "open, with a count"
    return "open" if now < problem.until else "cooling"


def record(rules: Rules, problem: Problem, level: int, now: float) -> str:
    """Apply a record to a problem, and have its push accepted; return what became of it."""
    verdict = rules.verdict(problem, level, now)
    if verdict is Verdict.SUPPRESSED:
        rules.count(problem, Occurrences(1, now, now, level), now)
        return "count + 1"
    rules.claim(problem, "id", verdict, now, 30.0)
    rules.notify(problem, "id", verdict, level, now)
    return verdict.name


def examples(rules: Rules) -> dict[str, tuple[Problem, float]]:
    """Return a problem in each state, and a time at which it is in it."""
    found = {"unknown": (rules.begin(0.0, 0.0), 0.0)}
    for name in ("open", "open, with a count", "cooling"):
        problem = rules.begin(0.0, 0.0)
        record(rules, problem, ERROR, 0.0)
        if name == "open, with a count":
            record(rules, problem, ERROR, 1.0)
        found[name] = problem, problem.until if name == "cooling" else 1.0
    return found


def happens(
    rules: Rules, event: str, state: str, problem: Problem, now: float
) -> tuple[str, float] | None:
    """Apply an event to a problem; return what it is called there, and when it has happened."""
    is_news = state in {"unknown", "cooling"}
    is_first = state == "unknown" and event != "the same level"
    if is_first or (is_news and event == "a higher level"):
        return None
    if event in {"the same level", "a higher level"}:
        level = CRITICAL if event == "a higher level" else ERROR
        return f"{'a record' if is_news else event}: {record(rules, problem, level, now)}", now
    if event == "its end":
        problem.resolved = True
        return "RESOLVED", now
    if state == "cooling":
        return "forgotten", problem.until + rules.forget_after
    if state == "open":
        return "window over", problem.until
    rules.claim_summary(problem, "key", "summary", problem.until)
    rules.notify(problem, "summary", None, 0, problem.until)
    return "window over: SUMMARY", now


def transitions() -> Iterator[tuple[str, str, str]]:
    """Yield what the rules do: a state, an event with its outcome, and the state after it."""
    rules = Rules()
    for event in ("the same level", "a higher level", "time", "its end"):
        for state, (problem, now) in examples(rules).items():
            happened = happens(rules, event, state, problem, now)
            if happened:
                outcome, after = happened
                yield state, outcome, state_of(rules, problem, after)


LABELS = {  # of the arrows between two states: where the words stand
    ("unknown", "open"): (200, 84), ("open", "open, with a count"): (550, 52),
    ("open, with a count", "open"): (550, 128), ("open", "cooling"): (408, 190),
    ("cooling", "open"): (545, 190), ("cooling", "unknown"): (282, 226),
    ("open", "unknown"): (262, 140),
    ("open, with a count", "unknown"): (400, 318), ("open", "open"): (380, 26),
    ("open, with a count", "open, with a count"): (720, 26),
}  # fmt: skip


def problem_states() -> str:
    """Return the picture of one problem's states."""
    words: dict[tuple[str, str], list[str]] = {}
    for start, outcome, end in transitions():
        words.setdefault((start, end), []).append(outcome)
    parts = []
    for (start, end), lines in sorted(words.items()):
        (x1, y1), (x2, y2) = STATES[start], STATES[end]
        if start == end:
            curve = f"M{x1 - 30} {y1}C{x1 - 40} {y1 - 26} {x1 + 40} {y1 - 26} {x1 + 30} {y1}"
        elif (start, end) == ("open, with a count", "unknown"):
            curve = f"M{x1 + 40} {y1 + 28}C{x1} {y1 + 330} {x2} {y1 + 330} {x2 - 20} {y2 + 28}"
        elif y1 == y2:
            side = 8 if x1 < x2 else 20
            half = 80 if x1 < x2 else -80
            curve = f"M{x1 + half} {y1 + side}L{x2 - half} {y2 + side}"
        else:
            slip = 14 if y1 < y2 else -14
            upper, lower = (y1 + 28, y2) if y1 < y2 else (y1, y2 + 28)
            curve = f"M{x1 - slip} {upper}L{x2 - slip} {lower}"
        parts.append(f'<path marker-end="url(#end)" d="{curve}"/>')
        x, y = LABELS[start, end]
        parts += [
            f'<text class="note" x="{x}" y="{y + 14 * at}">{line}</text>'
            for at, line in enumerate(lines)
        ]
    for name, (x, y) in STATES.items():
        parts += box(x, y, 150, name)
    return svg("The states of one problem", 880, 340, parts)


# -- one record's trip

LANES = ("your thread", "outbox", "sender", "store", "Pushover")
TRIP = [  # from, to, what happens, the function that does it
    (0, 0, "filter, fingerprint", "handler:PushoverHandler.handle"),
    (0, 0, "count it, or admit it", "delivery.dedup:Dedup.admit"),
    (0, 1, "its Message waits", "outbox.memory:MemoryOutbox.put"),
    (0, 2, "wake; the call returns", "delivery.sender:SenderThread.wake"),
    (2, 1, "the most urgent one", "outbox.memory:MemoryOutbox.claim"),
    (2, 3, "FIRST? claim the problem", "throttle.throttle:Throttle.decide"),
    (2, 4, "one POST", "api.client:PushoverClient.send"),
    (2, 0, "until when to count", "delivery.dedup:Dedup.candidate_decided"),
    (2, 3, "accepted: open the window", "throttle.throttle:Throttle.notified"),
    (2, 1, "finished", "outbox.memory:MemoryOutbox.ack"),
]


def function(name: str) -> Callable[..., Any]:
    """Return the function that a step names, without its decorators."""
    module, _, path = name.partition(":")
    start: Any = import_module(f"pushover_logging.{module}")
    return inspect.unwrap(reduce(getattr, path.split("."), start))


def trip() -> str:
    """Return the picture of the calls that one record causes."""
    step, top = 52, 60
    height = top + step * len(TRIP) + 20
    places = [110 + 195 * lane for lane in range(len(LANES))]
    parts = []
    for name, x in zip(LANES, places, strict=True):
        parts += [f'<path class="faint" d="M{x} 40V{height - 10}"/>', *box(x, 10, 120, name)]
    for at, (start, end, what, name) in enumerate(TRIP):
        function(name)  # a step that is no more is an error here
        x, y = places[start], top + step * at + 24
        if start == end:
            curve, middle = f"M{x} {y - 8}C{x + 46} {y - 8} {x + 46} {y + 10} {x} {y + 10}", x + 8
            place = f'class="left" x="{middle + 32}"'
        else:
            curve, middle = f"M{x} {y}H{places[end]}", (x + places[end]) // 2
            place = f'x="{middle}"'
        code = name.partition(":")[2]
        note = place.replace('"left"', '"left note code"')
        note = note if "class" in note else f'class="note code" {note}'
        parts += [
            f'<path marker-end="url(#end)" d="{curve}"/>',
            f'<text {place} y="{y - 6}">{what}</text>',
            f'<text {note} y="{y + 13}">{code}</text>',
        ]
    return svg("The trip of one record", 1000, height, parts)


PICTURES = {"layers.svg": layers, "problem.svg": problem_states, "trip.svg": trip}

if __name__ == "__main__":
    for picture, draw in PICTURES.items():
        (DOCS / picture).write_text(draw(), encoding="utf-8")
