"""How well fingerprints group messages whose template a person has assigned.

    python benchmarks/grouping.py DIR

For each CSV file of DIR with the columns EventId (the template) and Content (the message), such as
the labelled samples of Loghub (https://github.com/logpai/loghub).  Each message is logged at ERROR
by one logger, without args, as an f-string would be.

Grouping accuracy: the share of lines whose group equals the set of lines of their template.
False merges: the share of lines whose group holds lines of another template too.
"""

from __future__ import annotations

import csv
import logging
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from pushover_logging.identity.fingerprint import fingerprint


def measure(lines: Sequence[tuple[str, str]]) -> tuple[float, float, int, int]:
    """Return accuracy, false merges, groups and templates of pairs (template, message)."""
    groups, templates = defaultdict(set), defaultdict(set)
    for number, (template, message) in enumerate(lines):
        record = logging.LogRecord("grouping", logging.ERROR, __file__, 1, message, None, None)
        groups[fingerprint(record)].add(number)
        templates[template].add(number)
    right = merged = 0
    for group in groups.values():
        named = {lines[number][0] for number in group}
        if len(named) > 1:
            merged += len(group)
        elif group == templates[named.pop()]:
            right += len(group)
    return right / len(lines), merged / len(lines), len(groups), len(templates)


def main() -> None:
    """Print a row for each file, and the mean."""
    if len(sys.argv) != len(("program", "DIR")):
        sys.exit(__doc__)
    row = "{:16}{:>7}{:>10}{:>14}{:>8}{:>11}"
    print(row.format("", "lines", "accuracy", "false merges", "groups", "templates"))
    results = []
    for path in sorted(Path(sys.argv[1]).glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            lines = [(line["EventId"], line["Content"]) for line in csv.DictReader(file)]
        right, merged, groups, templates = measure(lines)
        results.append((right, merged))
        print(row.format(path.stem, len(lines), f"{right:.3f}", f"{merged:.2%}", groups, templates))
    if not results:
        sys.exit(f"no CSV file in {sys.argv[1]}")
    right, merged = map(mean, zip(*results, strict=True))
    print(row.format("mean", "", f"{right:.3f}", f"{merged:.2%}", "", ""))


if __name__ == "__main__":
    main()
