"""Imports run down and never in a circle, and a file that is short says why it is a file."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import pushover_logging

PACKAGE = "pushover_logging"
SOURCE = Path(pushover_logging.__file__).parent
LEAVES = (
    "message levels exceptions clock diagnostics program_setup dictconfig circuit_breaker "
    # What the leaves need for the texts of their errors:
    "rendering.redaction rendering.patterns rendering.secret_patterns rendering.text"
)
FLOORS = [
    LEAVES,
    "storage rendering identity api",
    "throttle outbox",
    "delivery",
    "config",
    "handler install uncaught crashes",
    "inbox pytest_plugin cli __main__",
]
LEVELS = {name: level for level, names in enumerate(FLOORS) for name in names.split()}
SHORT = 30  # lines


def modules_of(source):
    """Map each module's name inside the package ("outbox.memory"; "" is the root) to its file."""
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def starts_of(node, name, path):
    """Yield the dotted names, from the package's own on, that an import statement may mean."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            here = [PACKAGE, *name.split(".")] if name else [PACKAGE]
            up = node.level - (path.name == "__init__.py")
            base = ".".join([*here[: len(here) - up], *([base] if base else [])])
        yield from ((base, f"{base}.{alias.name}") for alias in node.names)


def imports_of(name, modules):
    """Return the names of the package's own modules that a module imports, anywhere in it."""
    path = modules[name]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for base, longest in starts_of(node, name, path):
            if base.split(".")[0] == PACKAGE:
                inside = longest[len(PACKAGE) + 1 :]
                found.add(inside if inside in modules else base[len(PACKAGE) + 1 :])
    return found


def graph_of(source):
    """Map each module but the root to the modules that it imports."""
    modules = modules_of(source)
    return {name: imports_of(name, modules) for name in modules if name}


def level_of(name):
    return LEVELS.get(name, LEVELS.get(name.partition(".")[0]))


def circles_in(graph):
    """Yield each circle that a walk along the imports comes upon."""
    done = set()

    def walk(name, way):
        if name in way:
            yield "a circle: " + " -> ".join([*way[way.index(name) :], name])
        elif name not in done:
            for end in sorted(graph.get(name, ())):
                yield from walk(end, [*way, name])
            done.add(name)

    for name in sorted(graph):
        yield from walk(name, [])


def faults_in(source):
    """Return all that is wrong with the package whose files are in ``source``."""
    graph = graph_of(source)
    faults = [f"{name} has no place in the layers" for name in graph if level_of(name) is None]
    for start, ends in graph.items():
        for end in sorted(ends):
            if not end:
                faults.append(f"{start} imports the package root")
            elif None not in {level_of(start), level_of(end)} and level_of(end) > level_of(start):
                faults.append(f"{start} imports {end}, which is above it")
    for name, path in modules_of(source).items():
        lines = path.read_text(encoding="utf-8").splitlines()
        reason = ast.get_docstring(ast.parse("\n".join(lines))) or ""
        if path.name != "__init__.py" and len(lines) < SHORT and len(reason) < 2 * SHORT:
            faults.append(f"{name} has {len(lines)} lines, and no reason for a file of its own")
    return faults + list(circles_in(graph))


def test_imports_run_down():
    """No arrow runs up, to the root or in a circle; each module has its place."""
    assert [] == faults_in(SOURCE)


def test_the_whole_package_is_read():
    """Packages inside the package included."""
    modules = {"", "handler", "outbox", "outbox.memory", "throttle.rules", "cli.run"}
    assert modules <= modules_of(SOURCE).keys()


FILLED = '"""Why."""\n' + "\n" * SHORT
CLEAN = {
    "message.py": "import os\nimport requests\nfrom .rendering.text import truncate\n",
    "rendering/__init__.py": "",
    "rendering/text.py": "",
    "rendering/layout.py": "from . import text\nfrom pushover_logging.message import Message\n",
    "api/client.py": "from pushover_logging.rendering import text\n",
    "throttle/__init__.py": "from pushover_logging.throttle.rules import Rules\n",
    "throttle/rules.py": "from ..rendering.text import truncate\n",
    "outbox/queue.py": "from pushover_logging.throttle.rules import Rules\n",
    "handler.py": "from pushover_logging.api import client\n",
    "__init__.py": "from pushover_logging.handler import PushoverHandler\n",
}


def tree(where, files):
    """Write an invented package."""
    for name, text in files.items():
        path = where / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if len(text.splitlines()) > SHORT else f"{FILLED}{text}")
    return where / PACKAGE


def test_checker_passes_a_package_in_order(tmp_path):
    """Downward, beside it, to a leaf, inside a package, relative, from outside: no fault."""
    assert [] == faults_in(tree(tmp_path, CLEAN))


@pytest.mark.parametrize(("file", "text", "faults"), [
    ("levels.py", "from pushover_logging.api.client import A\n",
     ["levels imports api.client, which is above it"]),
    ("levels.py", "def f():\n    from pushover_logging import handler\n",
     ["levels imports handler, which is above it"]),
    ("levels.py", "if TYPE_CHECKING:\n    import pushover_logging.throttle.rules\n",
     ["levels imports throttle.rules, which is above it"]),
    ("rendering/redaction.py", "from .layout import a\n",
     ["rendering.redaction imports rendering.layout, which is above it"]),
    ("cli/demo.py", "from pushover_logging import A\n", ["cli.demo imports the package root"]),
    ("cli/demo.py", "import pushover_logging as p\n", ["cli.demo imports the package root"]),
    ("cli/__init__.py", "from .. import A\n", ["cli imports the package root"]),
    ("throttle/rules.py", "from pushover_logging.outbox.queue import A\n",
     ["a circle: outbox.queue -> throttle.rules -> outbox.queue"]),
    ("levels.py", "from pushover_logging.levels import a\n", ["a circle: levels -> levels"]),
    ("web/page.py", "", ["web.page has no place in the layers"]),
])  # fmt: skip
def test_checker_finds_a_fault(tmp_path, file, text, faults):
    """Each kind of wrong arrow is named, and nothing else."""
    assert faults == faults_in(tree(tmp_path, {**CLEAN, file: text}))


def test_short_file_needs_a_reason(tmp_path):
    """In its docstring."""
    source = tree(tmp_path, CLEAN)
    path = source / "levels.py"
    path.write_text('"""Levels."""\n')
    assert ["levels has 1 lines, and no reason for a file of its own"] == faults_in(source)
    path.write_text(f'"""Levels apart from the rest, so that {"nothing else " * 5}needs them."""\n')
    assert [] == faults_in(source)
