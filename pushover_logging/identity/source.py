"""Read the template of a text that the program formatted itself from the source of the call.

A record of ``log.error(f"Order {number} is lost")`` holds the text alone, but also the file and the
line of the call, where the literal parts are. They say which parts of the text vary, while a mask
can only guess. Nothing is imported or run: the call alone is parsed, once per call site, and a
template counts only if it fits the text.
"""

from __future__ import annotations

import ast
import contextlib
import io
import linecache
import opcode
import os
import re
import stat
import sys
import tokenize
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, count, islice, product, repeat
from string import Formatter
from types import ModuleType, TracebackType
from typing import Any

from pushover_logging.identity.masking import MAX_CHARACTERS

MAX_BYTES = 2 * 1024 * 1024  # of a source file that is opened
_LINES_ABOVE = 300  # the call, in which the assignment of a name is looked for
_LINES_BELOW = 100  # the first line of the call, or of an assignment
_CALL_LENGTH = 8192  # characters
_TRIES = 64  # texts that are parsed for a call site
_PARSED = 32_768  # characters that all these tries parse
_VARIANTS = 8  # of an expression, by its conditional parts and the assignments of its name
_CALL_SITES = 2048  # that are remembered

_Parts = tuple[str | bool, ...]
"""Literal texts and holes; a hole is True if it is named like an error or a message."""

_CALL = re.compile(r"(?<=[\w)\]])\(")
_WORD = re.compile(r"[^\W\d_]{3}")
_PERCENT = re.compile(
    r"%(?:\((?P<key>[^()]*)\))?[-#0 +]*+(?:\d++|\*)?(?:\.(?:\*|\d*+))?[hlL]?(?P<type>[a-zA-Z%])"
)
# What Python warns of when it parses it: an unknown escape, and a keyword right after a number.
_ODD = re.compile(
    r"""(?<!\\)(?:\\\\)*\\[^\\\n'"abfnrtvx0-3]"""
    r"|(?<![\w.])\d[\da-fA-F_.xXoOjJ]*(?:and|else|for|if|in|is|not|or)\b"
)
_HEADER = re.compile(r"(\s*)(?:async\s+def|def|class)\b")
_ERROR = re.compile(r"(?i)(?:\A|_)(?:e|exc?|exception|err|error)\Z")
_ERROR_OR_MESSAGE = re.compile(
    rf"{_ERROR.pattern}|(?:\A|_)(?:(?:err)?msg|message|reason(?:_phrase)?|detail|stderr)\Z"
)
_SAYING = re.compile(r"(?i)(?:\A|_)(?:error|message|msg)\Z")  # a method
_ANSWER = re.compile(r"(?i)(?:\A|_)(?:r|resp?|response|answer|reply)\Z")
_BODY = frozenset({"text", "body", "content", "json", "status_code", "status"})
_TemplateStr = getattr(ast, "TemplateStr", ast.JoinedStr)  # of Python 3.14
_RAISE = bytes([opcode.opmap["RAISE_VARARGS"]])


ERROR_ALONE = "\0"
Match = tuple[str, Sequence[str]]
"""The template of a text, and what stood in the holes that are named like an error or a message."""


class _Template:
    """Literal texts, in order, with a hole between each two.

    ``text`` is the template as the program gave it to logging, None if it did not. ``errors`` says
    for each hole whether it is named like an error or a message.
    """

    __slots__ = ("_head", "_last", "_steps", "_tail", "_text", "has_hole", "has_word", "literals")

    def __init__(self, text: str | None, literals: Sequence[str], errors: Sequence[bool]) -> None:
        self.literals = literals
        self._head, self._tail = literals[0], literals[-1]
        self._steps = tuple(zip(errors, literals[1:-1], strict=False))
        self._last = bool(errors) and errors[-1]
        self.has_hole = bool(errors)  # False for a plain text
        self.has_word = any(map(_WORD.search, literals))  # False for no more than ": "
        self._text = "\0".join(literals) if text is None else text[:MAX_CHARACTERS]

    @property
    def is_error(self) -> bool:
        """True if it is no more than an error: ``log.error(str(exc))``."""
        return self._last and not any(self.literals)

    @property
    def has_error(self) -> bool:
        """True if an error stands between other characters."""
        return any(self.literals) and (self._last or any(is_error for is_error, _ in self._steps))

    def match(self, text: str) -> Match | None:
        """Return what ``text`` has in its holes; None if the literals do not fit."""
        if not (text.startswith(self._head) and text.endswith(self._tail)):
            return None
        if not self.has_hole:
            return (self._text, ()) if text == self._head else None
        position, end = len(self._head), len(text) - len(self._tail)
        errors = []
        for is_error, literal in self._steps:
            start = text.find(literal, position, end)
            if start < 0:
                return None
            if is_error:
                errors.append(text[position:start])
            position = start + len(literal)
        if end < position:
            return None
        if self._last:
            errors.append(text[position:end])
        return self._text, errors


def match_template(
    filename: object, lineno: object, text: str, *, is_raise: bool = False
) -> Match | None:
    """Return the template of ``text`` by the calls that begin at a line of a file.

    None if there is no source, or if none of the calls' arguments has words and holes and fits. Of
    several that fit, the one with the most literal characters counts. The place of a ``raise``
    is known: there an error in a hole is enough, without words. `ERROR_ALONE` is the template of
    a text that is an error and no more.
    """
    if type(filename) is not str or type(lineno) is not int or lineno < 1:
        return None  # a record from a socket can hold anything
    for template in _templates(filename, lineno):
        is_useful = template.has_word or template.is_error or is_raise
        found = template.match(text) if is_useful else None
        if found:
            return found if template.has_hole else None
    return None


def t_string(message: Any) -> Match | None:  # noqa: ANN401  whatever a program logs
    """Return the template of a t-string (``string.templatelib.Template``, Python 3.14)."""
    try:
        strings, fields = message.strings, message.interpolations
        if not any(map(_WORD.search, strings)):
            return None
        named = [each for each in fields if _ERROR_OR_MESSAGE.search(each.expression)]
        return "\0".join(strings), [str(each.value) for each in named]
    except Exception:  # noqa: BLE001  any other object, with any code of the program
        return None


def raise_site(tb: TracebackType | None) -> tuple[str | None, int | None]:
    """Return file and line of the innermost ``raise`` in a traceback, or two times None."""
    site: tuple[str | None, int | None] = None, None
    while tb is not None:
        code = tb.tb_frame.f_code
        # By its instruction: to find the word, each frame's source would have to be read.
        if code.co_code[tb.tb_lasti : tb.tb_lasti + 1] == _RAISE:
            site = code.co_filename, tb.tb_lineno
        tb = tb.tb_next
    return site


# Any thread reads this cache: two that meet at a new call site both read the source, and find the
# same. A fork's child has a copy; what an interruption cuts off is read again. A call site without
# a template, for whatever reason, stays without one, so that it costs its reading once.
@lru_cache(maxsize=_CALL_SITES)
def _templates(filename: str, lineno: int) -> tuple[_Template, ...]:
    """Return the templates at a line, those with the most literal characters first."""
    first = max(lineno - 1 - _LINES_ABOVE, 0)
    try:
        lines = _read(filename, first, lineno + _LINES_BELOW)
        found = list(_Reader(lines, lineno - 1 - first).templates())
    except Exception:  # noqa: BLE001  no file, no text, a malformed template, a loader's fault
        return ()
    useful = [each for each in found if each.has_word or each.has_error or each.is_error]
    return tuple(sorted(useful, key=lambda each: -sum(map(len, each.literals))))


def _read(filename: str, first: int, end: int) -> list[str]:
    """Return some lines of a source, none of a file that could block or that is very long."""
    cached = linecache.cache.get(filename, ())
    if len(cached) > 1:  # else a loader that linecache did not ask yet
        return cached[2][first:end]
    try:
        status = os.stat(filename)  # noqa: PTH116  a tenth of a Path's cost
    except OSError:
        return _load(filename)[first:end]
    # A file of the kernel's (/proc/kmsg) can block as well; its size is 0.
    if not stat.S_ISREG(status.st_mode) or not 0 < status.st_size <= MAX_BYTES:
        return []
    with tokenize.open(filename) as file:
        return list(islice(file, first, end))


def _load(filename: str) -> list[str]:
    """Return the source of an imported module that has no file of its own, as in a zip file."""
    for module in list(sys.modules.values()):
        # Other types of modules can be lazy: a look into one would import it.
        if type(module) is ModuleType and module.__dict__.get("__file__") == filename:
            source = module.__dict__["__loader__"].get_source(module.__name__)
            return io.StringIO(source).readlines()
    return []


class _Reader:
    """Reads the templates of the calls that begin in one line of a source, ``lines[row]``."""

    def __init__(self, lines: list[str], row: int) -> None:
        self._lines = [line[:_CALL_LENGTH] for line in lines]
        self._row = row
        self._names: dict[str, list[_Parts]] = {}
        self._tries = _TRIES
        self._characters = _PARSED

    def templates(self) -> Iterator[_Template]:
        """Yield the template of each argument of each call, in all variants."""
        for call in self._calls():
            for number, argument in enumerate(call.args):
                rest = call.args[number + 1 :]
                # What is named like a message can be anything: each of a helper's texts.
                is_error = len(call.args) == 1 and _is_error(argument, _ERROR)
                for parts in self._variants(argument):
                    if is_error or parts != (True,):
                        yield _template(parts)
                    raw = _literal(parts)
                    if raw and rest:  # logging fills it in, or loguru
                        filled = _percent(raw, rest) if "%" in raw else _braces(raw, rest, [])
                        yield _template(filled, raw)
            for keyword in call.keywords:
                variants = self._variants(keyword.value)
                yield from (_template(parts) for parts in variants if parts != (True,))

    def _calls(self) -> Iterator[ast.Call]:
        line, *below = self._lines[self._row :]
        text = "".join((line, *below))
        for opening in _CALL.finditer(line):
            start = opening.start()
            call = self._parse("_" + text[start : start + _CALL_LENGTH], ")")
            if isinstance(call, ast.Expr) and isinstance(call.value, ast.Call):
                yield call.value

    def _parse(self, text: str, last: str) -> ast.stmt | None:
        """Return the statement that ends at the first possible character ``last``."""
        end = 0
        while self._tries and (end := text.find(last, end) + 1):
            self._tries -= 1
            self._characters -= end
            if self._characters < 0 or _ODD.search(text, 0, end):
                break
            with contextlib.suppress(SyntaxError):
                return ast.parse(text[:end]).body[0]
        return None

    def _variants(self, node: ast.expr) -> list[_Parts]:
        """Return what an argument can be."""
        match node:
            case ast.Constant(value=str(text)):
                return [(text,)]
            case ast.Name(id=name):
                return self._assigned(name)
            case ast.IfExp(body=body, orelse=orelse):
                return [*self._variants(body), *self._variants(orelse)][:_VARIANTS]
        return self._composed(node)

    def _composed(self, node: ast.expr) -> list[_Parts]:
        """Return what an expression that makes a text of others can be, else a hole."""
        match node:
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                found = _joined([self._variants(left), self._inner(right)])
            case ast.BinOp(left=left, op=ast.Mod(), right=right):
                values = right.elts if isinstance(right, ast.Tuple) else [right]
                raw = filter(None, map(_literal, self._variants(left)))
                found = [_percent(text, values) for text in raw]
            case ast.Call(func=ast.Attribute(value=value, attr="format"), args=values):
                raw = filter(None, map(_literal, self._variants(value)))
                found = [_braces(text, values, node.keywords) for text in raw]
            case ast.JoinedStr(values=values) | _TemplateStr(values=values):
                found = _joined([self._field(each) for each in values])
            case _:
                found = []
        return found or [(_is_error(node),)]

    def _field(self, node: Any) -> list[_Parts]:  # noqa: ANN401  types that not all Pythons have
        """Return what a part of an f-string can be: a Constant, or a field in braces."""
        if isinstance(node, ast.Constant):
            return [(str(node.value),)]
        if node.conversion == -1 and not node.format_spec:
            return self._inner(node.value)
        return [(_is_error(node.value),)]

    def _inner(self, node: ast.expr) -> list[_Parts]:
        """Return what an expression inside a text can be."""
        if isinstance(node, ast.Name):
            return [(_is_error(node),)]  # not what is assigned to it: that is often a default
        variants = self._variants(node)
        if isinstance(node, ast.IfExp) and not any(map(_has_word, variants)):
            return [(_is_error(node),)]  # such as a plural's "s"
        return variants

    def _assigned(self, name: str) -> list[_Parts]:
        """Return what is assigned to a name above the call, in its function or its module."""
        if name not in self._names:
            self._names[name] = []
            for value in reversed(list(self._assignments(name))):
                # A name in its own value stands for what was assigned before.
                found = [*self._names[name], *self._variants(value)]
                self._names[name] = found[-_VARIANTS:]
        return self._names[name] or [(_is_error(ast.Name(name)),)]

    def _assignments(self, name: str) -> Iterator[ast.expr]:
        """Yield the values assigned to a name, the nearest first."""
        assignment = re.compile(rf"(\s*){name}\s*(?::[^=]*|\+)?=(?!=)")
        indent = len(_indent(self._lines[self._row]))
        in_function = True
        is_found = False
        for number in range(self._row - 1, -1, -1):
            line = self._lines[number]
            end = min(self._row, number + _LINES_BELOW)
            header = _HEADER.match(line) if in_function else None
            if header and len(header[1]) < indent:
                parameters = "".join(self._lines[number:end]).partition(":\n")[0]
                if is_found or re.search(rf"\b{name}\b", parameters):
                    return
                in_function = False
            found = assignment.match(line)
            if found and (in_function or not found[1]):
                text = "".join(self._lines[number:end])[len(found[1]) :]
                statement = self._parse(text[:_CALL_LENGTH], "\n")
                if isinstance(statement, ast.AugAssign):
                    yield ast.BinOp(ast.Name(name), statement.op, statement.value)
                elif isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value:
                    is_found = True
                    yield statement.value


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _joined(choices: Sequence[Sequence[_Parts]]) -> list[_Parts]:
    """Return the texts that one variant of each of ``choices`` makes."""
    return [tuple(chain.from_iterable(each)) for each in islice(product(*choices), _VARIANTS)]


def _texts(parts: _Parts) -> list[str]:
    return [each for each in parts if isinstance(each, str)]


def _literal(parts: _Parts) -> str | None:
    """Return the text of what has no hole."""
    texts = _texts(parts)
    return "".join(texts) if len(texts) == len(parts) else None


def _has_word(parts: _Parts) -> bool:
    return any(map(_WORD.search, _texts(parts)))


def _template(parts: _Parts, text: str | None = None) -> _Template:
    literals = [""]
    errors: list[bool] = []
    for part in parts:
        if isinstance(part, str):
            literals[-1] += part
        elif errors and not literals[-1]:  # nothing is between two holes
            errors[-1] |= part
        else:
            errors.append(part)
            literals.append("")
    return _Template(text, literals, errors)


def _percent(text: str, values: Sequence[ast.expr]) -> _Parts:
    """Return the parts of a template in the style of ``%``."""
    parts: list[str | bool] = []
    position = number = 0
    for found in _PERCENT.finditer(text):
        parts.append(text[position : found.start()])
        position = found.end()
        if found["type"] == "%":
            parts.append("%")
            continue
        number += found.group().count("*")
        named = ast.Name(found["key"] or "")
        parts.append(_is_error(values[number] if number < len(values) and not named.id else named))
        number += 1
    return (*parts, text[position:])


def _braces(text: str, values: Sequence[ast.expr], keywords: Sequence[ast.keyword]) -> _Parts:
    """Return the parts of a template in the style of ``str.format``."""
    arguments = {str(number): value for number, value in enumerate(values)}
    arguments |= {each.arg or "": each.value for each in keywords}
    parts: list[str | bool] = []
    numbers = count()
    for literal, field, _, _ in Formatter().parse(text):
        parts.append(literal)
        if field is not None:
            name, *attributes = re.split(r"[.\[]", field.rstrip("]"))
            value = arguments.get(name or str(next(numbers)))
            named = bool(_ERROR_OR_MESSAGE.search(attributes[-1] if attributes else name))
            names = _ERROR if attributes else _ERROR_OR_MESSAGE
            parts.append(named or (value is not None and _is_error(value, names)))
    return tuple(parts)


def _is_error(node: ast.AST, names: re.Pattern[str] = _ERROR_OR_MESSAGE) -> bool:
    """Return True if an expression is named like an error or a message.

    So are all attributes of an error (``exc.args``), but not those of a message
    (``message.author``).
    """
    match node:
        case ast.Name(id=name) | ast.Constant(value=str(name)):
            return bool(names.search(name))
        case ast.Attribute(value=value, attr=name):
            return bool(names.search(name)) or _is_error(value, _ERROR) or _is_answer(value, name)
        case ast.Subscript(value=value, slice=key):
            return _is_error(key, names) or _is_error(value, _ERROR)
        case ast.Call(func=ast.Attribute(value=value, attr=name), args=args):  # msg.strip()
            if _SAYING.search(name) or _is_answer(value, name):
                return True
            return any(map(_is_error, (value, *args), repeat(names)))
    return any(map(_is_error, list(ast.iter_child_nodes(node)), repeat(names)))


def _is_answer(value: ast.expr, name: str) -> bool:
    """Return True if an attribute is what another program answered."""
    return name in _BODY and isinstance(value, ast.Name) and bool(_ANSWER.search(value.id))
