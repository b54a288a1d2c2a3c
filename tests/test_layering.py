"""The floors of the house: imports run down, nothing runs in a circle, and rooms stay small."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import pushover_logging

PACKAGE = "pushover_logging"
SOURCE = Path(pushover_logging.__file__).parent
FLOORS = {
    name: floor
    for floor, names in enumerate(
        (
            "exceptions message fingerprint masking tracebacks text markup redaction database "
            "salvage connection hostlock guard clock diagnostics quota transcripts wire plain "
            "records folders deadline",
            "answers formatter attachments wording levels summary client encryption outbox "
            "throttle options origin",
            "books sender steps lifecycle recovery telling assembly",
            "handler install",
            "inbox pytest_plugin",
            "cli __main__",
        )
    )
    for name in names.split()
}
# Arrows along a floor whose end is no leaf, and are meant.
MEANT = {
    ("formatter", "summary"),
    ("message", "redaction"),
    ("options", "client"),
    ("sender", "steps"),
}
MODULE_LINES = 250
FUNCTION_LINES = 40
# Each option of the table is a line of its signature: there the body alone is counted.
BODY_ALONE = {("handler", "PushoverHandler.__init__")}


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
    """Return the names of the package's own modules that one imports, wherever it does so."""
    path = modules[name]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for base, longest in starts_of(node, name, path):
            if base.split(".")[0] != PACKAGE:
                continue
            inside = longest[len(PACKAGE) + 1 :]
            found.add(inside if inside in modules else base[len(PACKAGE) + 1 :])
    return found


def top(name):
    return name.split(".")[0]


def floor_of(name):
    return FLOORS.get(top(name))


def arrow_fault(start, end, graph):
    """Return what is wrong with one import, or None."""
    if not end:
        return f"{start} imports the package root"
    if None in {floor_of(start), floor_of(end)} or top(start) == top(end):
        return None
    if floor_of(end) > floor_of(start):
        return f"{start} imports {end}, a floor above its own"
    if floor_of(end) == floor_of(start) and (start, end) not in MEANT:
        same = {one for one in graph.get(end, ()) if floor_of(one) == floor_of(end)}
        if {top(one) for one in same} - {top(end)}:
            return f"{start} imports {end}, no leaf of their floor"
    return None


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


def layering_faults(source):
    """Return all that is wrong with the imports of the package whose files are in ``source``."""
    modules = modules_of(source)
    graph = {name: imports_of(name, modules) for name in modules if name}
    faults = [f"{name} is on no floor" for name in graph if floor_of(name) is None]
    arrows = [(start, end) for start in graph for end in sorted(graph[start])]
    faults += [fault for one in arrows if (fault := arrow_fault(*one, graph))]
    return faults + list(circles_in(graph))


def functions_in(tree, prefix=""):
    """Yield each function of a tree with its qualified name."""
    for node in ast.iter_child_nodes(tree):
        named = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        name = f"{prefix}{node.name}" if named else prefix
        if named and not isinstance(node, ast.ClassDef):
            yield name, node
        yield from functions_in(node, f"{name}." if named else prefix)


def size_faults(source):
    """Return the modules and functions that are longer than a reader can hold."""
    faults = []
    for module, path in modules_of(source).items():
        text = path.read_text(encoding="utf-8")
        if (lines := len(text.splitlines())) > MODULE_LINES:
            faults.append(f"{module}: {lines} lines")
        for name, node in functions_in(ast.parse(text)):
            first = node.body[0].lineno if (module, name) in BODY_ALONE else node.lineno
            if (lines := node.end_lineno - first + 1) > FUNCTION_LINES:
                faults.append(f"{module}.{name}: {lines} lines")
    return faults


def tree(where, files):
    """Write an invented package."""
    for name, text in {"__init__.py": "", **files}.items():
        path = where / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return where / PACKAGE


def test_imports_run_down():
    """No arrow runs up a floor, to the root or in a circle, and each module is on a floor."""
    assert [] == layering_faults(SOURCE)


def test_rooms_stay_small():
    """A module fits into a reader's head, a function on a screen."""
    assert [] == size_faults(SOURCE)


def test_the_whole_package_is_read():
    """The checks look at what is really there, packages inside the package included."""
    assert {"", "handler", "outbox", "outbox.memory", "throttle.machine"} <= set(modules_of(SOURCE))


CLEAN = {
    "text.py": "import os\nimport requests\n",
    "client.py": "from pushover_logging.rendering.text import cut\n",
    "levels.py": "from . import text\nfrom .text import cut\nfrom pushover_logging.rendering import text\n",
    "formatter.py": "from pushover_logging.levels import Levels\n",
    "throttle/__init__.py": "from pushover_logging.throttle.machine import Rules\n",
    "throttle/machine.py": "from ..text import cut\n",
    "throttle/local.py": "from .machine import Rules\n",
    "summary.py": "from pushover_logging.throttle.machine import Count\n",
    "handler.py": "from pushover_logging.api import client, formatter\n",
    "__init__.py": "from pushover_logging.handler import PushoverHandler\n",
}


def test_checker_passes_a_house_in_order(tmp_path):
    """Downward, to a leaf, inside a package, relative, from outside: none is a fault."""
    assert [] == layering_faults(tree(tmp_path, CLEAN))


@pytest.mark.parametrize(
    ("files", "faults"),
    [
        pytest.param(
            {"text.py": "from pushover_logging.api.client import A\n"},
            [
                "text imports client, a floor above its own",
                "a circle: client -> text -> client",
            ],
            id="up, and round",
        ),
        pytest.param(
            {"masking.py": "def f():\n    from pushover_logging import handler\n"},
            ["masking imports handler, a floor above its own"],
            id="up, in a function",
        ),
        pytest.param(
            {"masking.py": "if TYPE_CHECKING:\n    import pushover_logging.throttle.local\n"},
            ["masking imports throttle.local, a floor above its own"],
            id="up, for types alone",
        ),
        pytest.param(
            {"masking.py": "from .throttle import local\n"},
            ["masking imports throttle.local, a floor above its own"],
            id="up, relative",
        ),
        pytest.param(
            {"cli/demo.py": "from pushover_logging import PushoverHandler\n"},
            ["cli.demo imports the package root"],
            id="the root, for a name",
        ),
        pytest.param(
            {"cli/demo.py": "import pushover_logging as p\n"},
            ["cli.demo imports the package root"],
            id="the root, as a module",
        ),
        pytest.param(
            {"cli/__init__.py": "from .. import PushoverHandler\n"},
            ["cli imports the package root"],
            id="the root, relative",
        ),
        pytest.param(
            {"outbox/memory.py": "from pushover_logging.rendering.summary import summary\n"},
            ["outbox.memory imports summary, no leaf of their floor"],
            id="no leaf",
        ),
        pytest.param(
            {"throttle/machine.py": "from pushover_logging.throttle.local import A\n"},
            ["a circle: throttle.machine -> throttle.local -> throttle.machine"],
            id="a circle inside a package",
        ),
        pytest.param(
            {"text.py": "from pushover_logging.rendering.text import cut\n"},
            ["a circle: text -> text"],
            id="a circle of one",
        ),
        pytest.param({"helpers.py": ""}, ["helpers is on no floor"], id="on no floor"),
        pytest.param({"web/page.py": ""}, ["web.page is on no floor"], id="package on no floor"),
    ],
)
def test_checker_finds_a_fault(tmp_path, files, faults):
    """Each kind of wrong arrow is named, and nothing else."""
    assert faults == layering_faults(tree(tmp_path, {**CLEAN, **files}))


def test_checker_passes_what_is_just_small_enough(tmp_path):
    """The longest module and function that are allowed."""
    function = "def f():\n" + "    pass\n" * (FUNCTION_LINES - 1)
    module = "class A:\n    pass\n" + function + "\n" * (MODULE_LINES - FUNCTION_LINES - 2)
    assert [] == size_faults(tree(tmp_path, {"text.py": module}))


def test_checker_finds_a_module_too_long(tmp_path):
    """One line more than is allowed."""
    source = tree(tmp_path, {"text.py": "\n" * (MODULE_LINES + 1)})
    assert [f"text: {MODULE_LINES + 1} lines"] == size_faults(source)


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_checker_finds_a_function_too_long(tmp_path, kind):
    """One line more than is allowed, in a class, with the lines of its signature."""
    method = f"    {kind} f(\n        self,\n    ):\n" + "        pass\n" * (FUNCTION_LINES - 2)
    source = tree(tmp_path, {"text.py": f"class A:\n{method}"})
    assert [f"text.A.f: {FUNCTION_LINES + 1} lines"] == size_faults(source)


def test_checker_counts_the_body_of_the_table_of_options(tmp_path):
    """The one signature that is a table is let off, its body is not."""
    parameters = "".join(f"        a{number}=None,\n" for number in range(FUNCTION_LINES))
    body = "        pass\n" * (FUNCTION_LINES + 1)
    text = f"class PushoverHandler:\n    def __init__(\n        self,\n{parameters}    ):\n{body}"
    source = tree(tmp_path, {"handler.py": text})
    assert [f"handler.PushoverHandler.__init__: {FUNCTION_LINES + 1} lines"] == size_faults(source)
