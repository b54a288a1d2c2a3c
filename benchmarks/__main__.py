"""The command: runs benchmarks, prints ratios first, and writes docs/benchmarks.md when asked."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

if sys.argv[1:2] == ["soak"]:  # which needs nothing but the package
    from benchmarks import soak

    sys.exit(soak.main(sys.argv[2:]))
try:
    import pyperf
except ModuleNotFoundError:
    sys.exit("pip install -r benchmarks/requirements.txt")

from benchmarks import progress
from benchmarks.report import Result, as_text
from benchmarks.timing import Effort

NAMES = (
    "duplicates", "flood", "admitted", "blocking", "delivery", "latency", "storm", "disk", "start",
    "growth", "unharmed", "trip",
)  # fmt: skip


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="see that it works, in a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="write the plots there")
    parser.add_argument(
        "--docs", action="store_true", help="write docs/benchmarks.md and its plots"
    )
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    machine = {**described(), "run": "quick: the figures say little" if options.quick else "whole"}
    print("\n".join(f"{name}: {value}" for name, value in machine.items()))
    results = dict(_run(options.names or NAMES, Effort(options.quick)))
    if options.json:
        data = {"machine": machine, "results": {name: one.data() for name, one in results.items()}}
        options.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        _plot(results, options.plot)
    if options.docs:
        from benchmarks import page  # noqa: PLC0415  needs matplotlib

        page.write(results, machine)


def _run(names: tuple[str, ...], effort: Effort):  # noqa: ANN202
    for name in names:
        progress.begin(name)
        began = time.monotonic()
        result = importlib.import_module(f"benchmarks.{name}").run(effort)
        progress.end()
        print(as_text(result))
        print(f"({time.monotonic() - began:.0f} s)", flush=True)
        yield name, result


def described() -> dict[str, str]:
    """Return the machine and the versions."""
    from importlib.metadata import version  # noqa: PLC0415

    found = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    names = ("cpu_model_name", "cpu_count", "platform", "python_version", "load_avg_1min")
    peers = ("requests", "notifiers", "apprise", "logbook", "sentry-sdk", "python-logstash-async")
    return {
        **{name: str(found[name]) for name in names if name in found},
        **{name: version(name) for name in ("pushover-logging", *peers)},
    }


def _plot(results: Mapping[str, Result], folder: Path) -> None:
    from benchmarks import plots  # noqa: PLC0415  needs matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    for result in results.values():
        for plot in result.plots:
            plots.draw(plot, folder / f"{plot.name}.svg")


if __name__ == "__main__":
    sys.exit(main())
