"""How well fingerprints group messages whose template is known.

    python benchmarks/grouping.py [DIR]

Two kinds of messages of real packages, which pip downloads: what their logging calls format
themselves (f-strings, ``str.format``, ``%``, ``+``), and the texts of the exceptions that they
raise.  What stands in the holes is made up, by their names and from a fixed seed.  The truth is the
template, as the whole file's syntax tree has it, and which error stands in a hole that is named
like one.

With DIR also log samples, of which only the text is known: each CSV file of DIR with the columns
EventId (the template) and Content (the message), such as the labelled samples of Loghub
(https://github.com/logpai/loghub).

Right: the share of records whose group equals the set of records of their template.
Merged: the share of records whose group holds records of another template too.
"""

from __future__ import annotations

import ast
import builtins
import csv
import logging
import random
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from string import Formatter

from pushover_logging.identity.fingerprint import fingerprint

PACKAGES = (
    *("accelerate==1.15.0", "airbyte-cdk==7.39.1", "celery==5.7.0", "crewai==1.15.30"),
    *("datasets==5.2.0", "distributed==2026.8.0", "freqtrade==2026.9", "huggingface_hub==2.4.0"),
    *("locust==2.47.0", "scrapy==2.19.0", "yfinance==1.7.0"),
)
METHODS = {"debug", "info", "warning", "error", "exception", "critical"}
TIMES = 4  # each template is filled in, with each of its errors
ERRORS = 3  # of those below, for each template with a hole that is named like an error

Record = tuple[object, logging.LogRecord]
"""The truth, and the record."""

WORDS = "alpha|BTC/USDT|Größe|['a', 'b']|None|True|two words|gpt-x|<class 'int'>|ab.cd|a, b and c|x"
KINDS = {  # what stands in a hole, by the last word of its name
    "number": "count|num|n|i|len|size|length|steps?|epoch|total|retries|attempts?|port|rank|index"
    "|code|max|min|limit|seconds|duration|elapsed|time|timeout|delay|interval|amount|rate|price",
    "id": "ids?|uuid|hash|key|token|sha|digest|revision|commit",
    "path": "path|file|filename|dir|directory|folder|output|cache",
    "url": "url|uri|endpoint|link",
    "host": "host|hostname|address|addr|ip|server|worker|node|peer",
    "date": "date|timestamp|start|end|since",
}
IS_ERROR = re.compile(r"(?:^|_)(?:e|ex|exc|exception|err|error|msg|message|reason|detail|stderr)$")
IS_ANSWER = re.compile(  # a part of one
    r"(?i)(?:\b|_)(?:r|resp?|response|answer|reply)\.(?:text|body|content|json|(?P<status>status\w*))\b"
)
FAULTS: tuple[tuple[str, Callable[[random.Random], str]], ...] = (
    ("ConnectionRefusedError", lambda _: "[Errno 111] Connection refused"),
    ("FileNotFoundError", lambda r: f"[Errno 2] No such file or directory: '{made('path', r)}'"),
    ("ReadTimeout", lambda r: f"HTTPSConnectionPool(host='{made('host', r)}'): Read timed out."),
    ("HTTPError", lambda r: f"503 Server Error: Service Unavailable for url: {made('url', r)}"),
    ("HTTPStatusError", lambda r: f"429 Client Error: Too Many Requests: {made('url', r)}"),
    ("ValueError", lambda r: f"invalid literal for int() with base 10: {made('word', r)!r}"),
    ("ZeroDivisionError", lambda _: "division by zero"),
    ("JSONDecodeError", lambda r: f"Expecting value: line {r.randint(1, 99)} column 1 (char 7)"),
)


def made(kind: str, chosen: random.Random) -> str:
    """Return something of a kind."""
    number = chosen.randint(0, 10 ** chosen.randint(1, 6))
    letters = "".join(chosen.choices("abcdefghij", k=chosen.randint(3, 9)))
    choices = {
        "number": [str(number), f"{number / 7:.2f}", f"-{number}"],
        "id": [str(number), f"{letters}-{number}", f"{chosen.getrandbits(128):032x}"],
        "path": [f"/srv/{letters}/{number}.txt", f"{letters}.json", f"data/{letters}"],
        "url": [f"https://{letters}.example/{number}?x={letters}"],
        "host": [f"10.0.{number % 256}.7:{number % 65536}", f"{letters}-{number % 9}", letters],
        "date": [f"2026-11-{number % 28 + 1:02} 10:{number % 60:02}:00"],
    }
    return chosen.choice(choices.get(kind, [*WORDS.split("|"), letters, letters.title()]))


class Filled:
    """A text as an expression of a program could make it, and the truth about it."""

    def __init__(self, chosen: random.Random, fault: int) -> None:
        self._random = chosen
        self._fault = fault
        self.truth: list[object] = []
        self.has_error = False

    def text(self, node: ast.expr | None) -> str:  # noqa: PLR0911  a case for each way
        """Return what the expression could be."""
        match node:
            case ast.Constant(value=str(text)):
                self.truth.append(text)
                return text
            case ast.JoinedStr(values=values):
                return "".join(map(self.text, values))
            case ast.FormattedValue(value=value):
                return self.text(value) if isinstance(value, ast.IfExp) else self.hole(value)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self.text(left) + self.text(right)
            case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Mod(), right=right):
                values = iter(right.elts if isinstance(right, ast.Tuple) else [right])
                self.truth.append(text)
                hole = partial(self._percent, values)
                return re.sub(r"%(?:\(\w+\))?[-+ 0#]*[\d.]*[a-zA-Z%]", hole, text)
            case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="format")):
                self.truth.append(text)
                return "".join(self._braces(text, node))
            case ast.IfExp(body=body, orelse=orelse):
                known = len(self.truth)
                text = self.text(self._random.choice((body, orelse)))
                if not any(re.search(r"[^\W\d_]{3}", str(each)) for each in self.truth[known:]):
                    del self.truth[known:]  # a plural's "s" makes no other template
                return text
        return self.hole(node)

    def _percent(self, values: Iterator[ast.expr], found: re.Match[str]) -> str:
        return "%" if found.group().endswith("%") else self.hole(next(values, None))

    def _braces(self, text: str, call: ast.Call) -> Iterator[str]:
        values = {str(number): value for number, value in enumerate(call.args)}
        values |= {each.arg or "": each.value for each in call.keywords}
        number = 0
        for literal, field, _, _ in Formatter().parse(text):
            yield literal
            if field is not None:
                name = re.split(r"[.\[]", field)[0]
                yield self.hole(values.get(name or str(number)))
                number += not name

    def hole(self, node: ast.expr | None) -> str:
        """Return what could stand in a hole."""
        name = name_of(node)
        self.truth.append(None)
        answer = IS_ANSWER.search(ast.unparse(node)) if node else None
        if answer or IS_ERROR.search(name):
            self.has_error = True
            self.truth.append(self._fault)
            if answer and answer["status"]:
                return str(500 + self._fault)
            kind, text = FAULTS[self._fault]
            is_type = re.search(r"type\(|__class__", ast.unparse(node))
            return kind if is_type else text(self._random)
        word = name.rpartition("_")[2]
        kinds = [kind for kind, pattern in KINDS.items() if re.fullmatch(pattern, word)]
        return made(kinds[0] if kinds else "word", self._random)


def name_of(node: ast.expr | None) -> str:  # noqa: PLR0911  a case for each kind
    """Return the name that says what an expression is."""
    match node:
        case ast.Name(id=name):
            return name.lower()
        case ast.Attribute(value=value, attr="__name__" | "__class__" | "args"):
            return name_of(value)
        case ast.Attribute(attr=name):
            return name.lower()
        case ast.Call(func=ast.Name(id="len" | "sum" | "round" | "int" | "max" | "min")):
            return "count"
        case ast.Call(func=ast.Name(id="str" | "repr" | "type"), args=[value]):
            return name_of(value)
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name.lower()
        case ast.Call(func=ast.Attribute(value=value)) | ast.Subscript(value=value):
            return name_of(value)
    return ""


def is_eager(node: ast.expr) -> bool:
    """Return True if an expression formats a text."""
    match node:
        case ast.JoinedStr(values=values):
            return any(isinstance(each, ast.FormattedValue) for each in values)
        case ast.BinOp(left=left, op=ast.Add() | ast.Mod()):
            return isinstance(left, ast.JoinedStr | ast.BinOp) or is_text(left)
        case ast.Call(func=ast.Attribute(value=value, attr="format")):
            return is_text(value)
    return False


def is_text(node: ast.expr) -> bool:
    """Return True if an expression is a plain string."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def texts(tree: ast.AST) -> Iterator[tuple[ast.Call, ast.expr, str, bool]]:
    """Yield calls whose text the program formats, the text, the function, and if it is raised."""
    functions = [(tree, "")]
    while functions:
        function, name = functions.pop()
        assigned = defaultdict(list)
        calls = []
        nodes = list(ast.iter_child_nodes(function))
        while nodes:
            node = nodes.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                functions.append((node, f"{name}.{node.name}".lstrip(".")))
                continue
            nodes += ast.iter_child_nodes(node)
            match node:
                case (
                    ast.Assign(targets=[ast.Name(id=target)], value=value)
                    | ast.AugAssign(target=ast.Name(id=target), value=value)
                ):
                    assigned[target].append(value)
                case ast.Raise(exc=ast.Call(args=[text, *_]) as call):
                    calls.append((call, text, True))
                case ast.Call(func=ast.Attribute(value=log, attr=method), args=[text, *_]):
                    if method in METHODS and "log" in ast.unparse(log).lower():
                        calls.append((node, text, False))
        for call, text, is_raise in calls:
            values = assigned[text.id] if isinstance(text, ast.Name) else [text]
            if len(values) == 1 and is_eager(values[0]):
                yield call, values[0], name, is_raise


def records(folder: Path) -> tuple[list[Record], list[Record]]:
    """Return what the modules in a folder could log, and what they could raise."""
    logged: list[Record] = []
    failed: list[Record] = []
    for path in sorted(folder.rglob("*.py")):
        module = str(path.relative_to(folder).with_suffix("")).replace("/", ".")
        try:
            source = path.read_text(encoding="utf-8")
            found = list(texts(ast.parse(source)))
        except (SyntaxError, ValueError):
            continue
        lines = source.split("\n")
        for call, text, function, is_raise in found:
            line = lines[call.lineno - 1].strip()
            for filled, said in fillings(text, f"{path.name}:{call.lineno}"):
                if is_raise:
                    record = raised(said, call, str(path), module, function)
                    truth = (module, function, line, record.exc_info[0].__name__, *filled.truth)
                    failed.append((truth, record))
                else:
                    place = str(path), call.func.end_lineno or 1
                    record = logging.LogRecord(module, logging.ERROR, *place, said, None, None)
                    logged.append(((module, *filled.truth), record))
    return logged, failed


def fillings(node: ast.expr, seed: str) -> Iterator[tuple[Filled, str]]:
    """Yield some texts of an expression."""
    chosen = random.Random(seed)  # noqa: S311  not a secret
    for fault in chosen.sample(range(len(FAULTS)), ERRORS):
        for _ in range(TIMES):
            filled = Filled(chosen, fault)
            text = filled.text(node)
            yield filled, text
        if not filled.has_error:
            break


def raised(text: str, call: ast.Call, path: str, module: str, function: str) -> logging.LogRecord:
    """Return the record of an exception that is raised at the place of ``call``."""
    name = ast.unparse(call.func).rpartition(".")[2]
    known = getattr(builtins, name, None)
    kind = known if isinstance(known, type) else type(name, (Exception,), {"__module__": module})
    code = compile("\n" * (call.lineno - 1) + "raise exc", path, "exec")
    code = code.replace(co_qualname=function, co_name=function)
    try:
        exec(code, {"__name__": module, "exc": kind(text)})  # noqa: S102
    except Exception as exc:  # noqa: BLE001  of any type
        info = (type(exc), exc, exc.__traceback__)
    return logging.LogRecord(module, logging.ERROR, path, 0, "It failed", None, info)


def measure(lines: Sequence[Record]) -> tuple[float, float, int, int]:
    """Return right, merged, groups and templates of some records."""
    groups, templates = defaultdict(set), defaultdict(set)
    for number, (template, record) in enumerate(lines):
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


def samples(path: Path) -> list[Record]:
    """Return the lines of a CSV file, each as it would be logged by one logger without source."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = [(line["EventId"], line["Content"]) for line in csv.DictReader(file)]
    fields = ("grouping", logging.ERROR, "", 0)
    return [(name, logging.LogRecord(*fields, text, None, None)) for name, text in lines]


def show(title: str, tables: Sequence[tuple[str, list[Record]]]) -> None:
    """Print a row for each of some tables that has records, one for all records, and the mean."""
    row = "{:28}{:>8}{:>8}{:>9}{:>9}{:>11}"
    print(row.format(title, "records", "right", "merged", "groups", "templates"))
    results = []
    everything = [((name, truth), record) for name, lines in tables for truth, record in lines]
    for name, lines in [*tables, ("all", everything)]:
        if lines:
            right, merged, groups, templates = measure(lines)
            results.append((right, merged))
            counts = groups, templates
            print(row.format(name, len(lines), f"{right:.3f}", f"{merged:.2%}", *counts))
    right, merged = map(mean, zip(*results[:-1], strict=True))
    print(row.format("mean", "", f"{right:.3f}", f"{merged:.2%}", "", ""), end="\n\n")


def main() -> None:
    """Print all tables."""
    with tempfile.TemporaryDirectory() as folder:
        pip = (sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:")
        subprocess.run([*pip, "-d", folder, *PACKAGES], check=True)
        logged, failed = [], []
        for wheel in sorted(Path(folder).glob("*.whl")):
            name = wheel.name.rpartition("-py")[0]
            zipfile.ZipFile(wheel).extractall(Path(folder, name))
            calls, raises = records(Path(folder, name))
            logged.append((name, calls))
            failed.append((name, raises))
        show("logged, formatted at the call", logged)
        show("raised", failed)
    if len(sys.argv) > 1:
        files = sorted(Path(sys.argv[1]).glob("*.csv"))
        show("samples", [(path.stem, samples(path)) for path in files])


if __name__ == "__main__":
    main()
