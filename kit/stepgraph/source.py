"""Where in the program a value was made, and under which name: file, line, text and operands, from the running frames.

Nothing of the program is evaluated: names are looked up in what frames, instances and plain containers hold.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any, TypeVar

import torch

_NOT_USERS = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))
_INSIDE = ("<frozen ", "<__array_function__")
MOST_FRAMES = 8
_MOST_ITEMS = 256
_MOST_KEPT = 8192
_MOST_FILES = 256
_T = TypeVar("_T")
_NOBODY_ELSES = 3  # references to a snapshot: the frame's, our variable's, and the question's own
_LONGEST, _TEXT = 60, "kit_text"
UNKNOWN = object()
KEPT = "kit_keeps"  # what the kit itself ties to a call that runs

_Span = tuple[int, int, int, int]
Spot = tuple[CodeType, int]  # an instruction: all that is kept of a frame


@dataclass(frozen=True)
class Place:
    """A line of the program."""

    file: str
    line: int
    text: str = ""

    def __str__(self) -> str:
        return f"{shown_path(self.file)}:{self.line}"


def shown_path(file: str) -> str:
    """Relative to the working folder where it lies in it; the last part of a cell's or library's name else."""
    try:
        return str(Path(file).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return Path(file).name


def _kept(function: Callable[..., _T]) -> Callable[..., _T]:
    """The answer for a code object, by its identity: codes of two files may be equal, and comparing large ones takes long."""
    cache: dict[Any, tuple[CodeType, _T]] = {}

    @wraps(function)
    def asked(code: CodeType, *rest: Any) -> _T:
        key = (id(code), *rest) if rest else id(code)
        found = cache.get(key)
        if found is None or found[0] is not code:
            if len(cache) >= _MOST_KEPT:
                cache.clear()
            found = cache[key] = code, function(code, *rest)
        return found[1]

    return asked


@_kept
def is_users(code: CodeType) -> bool:
    """Whether it is the program's own, and not torch's or the kit's."""
    return not code.co_filename.startswith((*_NOT_USERS, *_INSIDE))


def user_frames(frame: FrameType | None) -> Iterator[FrameType]:
    """The program's frames, the innermost first."""
    while frame is not None:
        if is_users(frame.f_code):
            yield frame
        frame = frame.f_back


def spots(frame: FrameType | None) -> tuple[Spot, ...]:
    return tuple([(own.f_code, own.f_lasti) for own in islice(user_frames(frame), MOST_FRAMES)])


@dataclass
class Scope:
    """What a running function can name, for as long as it is looked at."""

    code: CodeType
    instruction: int
    locals: Mapping[str, Any]
    globals: Mapping[str, Any]


@contextmanager
def scope_of(frame: FrameType) -> Iterator[Scope]:
    """The variables of a frame. Up to Python 3.12 looking at them makes a dict that would keep their values alive: it is emptied, but
    for what `KEPT` names."""
    held = frame.f_locals
    scope = Scope(frame.f_code, frame.f_lasti, held, frame.f_globals)
    try:
        yield scope
    finally:
        scope.locals = {}
        is_snapshot = type(held) is dict and frame.f_code.co_flags & inspect.CO_NEWLOCALS
        if is_snapshot and sys.getrefcount(held) <= _NOBODY_ELSES:  # a program that called locals() holds the same dict
            ours = {KEPT: held[KEPT]} if KEPT in held else {}
            held.clear()
            held.update(ours)


@_kept
def expression(code: CodeType, instruction: int) -> ast.expr | None:
    """What was being computed, as a syntax tree; None where the source is not at hand."""
    where = _position(code, instruction)
    text = None if where is None else _between(code.co_filename, *where)
    if not text:
        return None
    try:
        parsed = ast.parse(f"({text}\n)", mode="eval").body
    except (SyntaxError, ValueError):
        try:
            statement = ast.parse(text.strip()).body[0]
        except (SyntaxError, ValueError, IndexError):
            return None
        if isinstance(statement, ast.AugAssign):
            return ast.BinOp(statement.target, statement.op, statement.value)
        return getattr(statement, "value", None)
    return parsed


@_kept
def place(code: CodeType, instruction: int) -> Place:
    where = _position(code, instruction)
    line = code.co_firstlineno if where is None else where[0]
    return Place(code.co_filename, line, linecache.getline(code.co_filename, line).strip())


def _position(code: CodeType, instruction: int) -> tuple[int, int, int, int] | None:
    found = _positions(code)[instruction // 2]
    line, end, column, last = found
    return None if line is None or end is None or column is None or last is None else (line, end, column, last)


@_kept
def _positions(code: CodeType) -> list[tuple[int | None, int | None, int | None, int | None]]:
    return [*code.co_positions()]


def _between(file: str, line: int, end: int, column: int, last: int) -> str:
    lines = [linecache.getline(file, number).encode() for number in range(line, end + 1)]
    if not all(lines):
        return ""
    lines[-1] = lines[-1][:last]
    lines[0] = lines[0][column:]
    return b"".join(lines).decode(errors="replace")


def label(tree: ast.expr | None) -> str | None:
    """A short name for an expression that is one: `kl`, `self.kl`, `losses["kl"]`, `kl.mean()`; a call's is its function's."""
    match tree:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
        case ast.Subscript(value=value, slice=ast.Constant(value=int(number))) if inner := label(value):
            return f"{inner}[{number}]"
        case ast.Call(func=ast.Attribute(value=value, attr=name)):
            if name in _ALIKE:
                return label(value)
            return None if hasattr(torch.Tensor, name) else name  # `out.log()` is named by nothing yet
        case ast.Call(func=ast.Name(id=name)):
            return name
        case ast.UnaryOp(operand=operand):
            return label(operand)
    return None


_ALIKE = frozenset({
    "mean", "sum", "float", "double", "half", "to", "clone", "squeeze", "view", "reshape", "detach", "item", "contiguous", "cpu", "cuda",
    "nan_to_num", "clamp",
})  # fmt: skip


def text_of(tree: ast.expr | None) -> str:
    if tree is None:
        return ""
    known: str | None = vars(tree).get(_TEXT)
    if known is None:
        text = " ".join(ast.unparse(tree).split())
        known = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
        setattr(tree, _TEXT, known)  # trees are kept by instruction, see ``expression``
    return known


def value_in(tree: ast.expr | None, scope: Scope) -> Any:
    """What an expression of names, attributes and constant keys stands for, without running any code of the program."""
    match tree:
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.Name(id=name):
            return scope.locals.get(name, scope.globals.get(name, UNKNOWN))
        case ast.JoinedStr(values=parts):
            texts = [value_in(part.value if isinstance(part, ast.FormattedValue) else part, scope) for part in parts]
            return "".join(texts) if all(isinstance(text, str) for text in texts) else UNKNOWN
        case ast.BinOp(op=ast.Add(), left=first, right=second):
            texts = [value_in(part, scope) for part in (first, second)]
            return "".join(texts) if all(isinstance(text, str) for text in texts) else UNKNOWN
        case ast.Attribute(value=inner, attr=name):
            return _attribute(value_in(inner, scope), name)
        case ast.Subscript(value=inner, slice=key):
            held, at = value_in(inner, scope), value_in(key, scope)
            if (
                getattr(type(held), "__getitem__", None) in (dict.__getitem__, list.__getitem__, tuple.__getitem__)
                and at is not UNKNOWN
            ):
                try:
                    return held[at]
                except (KeyError, IndexError, TypeError):
                    return UNKNOWN
    return UNKNOWN


def entry_of(
    tree: ast.expr | None, value: Any, scope: Scope, frame: FrameType
) -> tuple[str, dict[str, float], str] | None:
    """The text of a dict of numbers, what it holds, and the key of `value`: of `w[name]` or `w.get(name, 0)` with a variable for the
    key, or of `value` in a loop over `w.items()`."""
    name: Any = UNKNOWN
    match tree:
        case (
            ast.Subscript(value=inner, slice=key)
            | ast.Call(func=ast.Attribute(value=inner, attr="get"), args=[key, *_])
        ) if not isinstance(key, ast.Constant):
            name = value_in(key, scope)
        case ast.Name(id=variable) if is_loop_variable(scope.code, variable):
            given = (_items_of(loop) for loop in _read(scope.code.co_filename).values.get(variable, ()))
            inner = next((loop for loop in given if loop is not None), tree)
        case _:
            return None
    held = _dict_in(inner, scope, frame)
    if not all(type(k) is str and type(v) in (int, float) for k, v in held.items()):
        return None
    if name is UNKNOWN:  # the variable beside it in the loop
        texts = [text for text in scope.locals.values() if type(text) is str]
        name = next((text for text in texts if held.get(text, UNKNOWN) is value), UNKNOWN)
    return (text_of(inner), {key: float(v) for key, v in held.items()}, name) if held and type(name) is str else None


def keys_beside(tree: ast.expr | None, scope: Scope, frame: FrameType) -> set[str]:
    """Of `terms[name]` with a variable for the key: every key of `terms`."""
    match tree:
        case ast.Subscript(value=inner, slice=key) if not isinstance(key, ast.Constant):
            return {name for name in _dict_in(inner, scope, frame) if type(name) is str}
    return set()


def _dict_in(tree: ast.expr, scope: Scope, frame: FrameType) -> dict[Any, Any]:
    """What is looked up as a plain dict; empty if it is none, or a long one."""
    held = value_in(tree, scope)
    if held is UNKNOWN and scope.code.co_name == "<genexpr>" and frame.f_back is not None:
        with scope_of(frame.f_back) as around:  # what a generator runs over is looked up around it
            held = value_in(tree, around)
    return held if type(held) is dict and len(held) <= _MOST_ITEMS else {}


def _items_of(tree: ast.expr) -> ast.expr | None:
    """`w` of `w.items()`."""
    match tree:
        case ast.Call(func=ast.Attribute(value=inner, attr="items"), args=[]):
            return inner
    return None


def attributes_of(held: Any) -> dict[str, Any]:
    """What an object stores, without asking its class, which may be code of the program."""
    try:
        own = object.__getattribute__(held, "__dict__")
    except (AttributeError, TypeError):
        return {}
    return own if isinstance(own, dict) else {}


def _attribute(held: Any, name: str) -> Any:
    if held is UNKNOWN:
        return UNKNOWN
    if isinstance(held, ModuleType):
        return vars(held).get(name, UNKNOWN)
    own = attributes_of(held)
    for stored in (own, own.get("_parameters"), own.get("_buffers"), own.get("_modules")):
        if isinstance(stored, dict) and name in stored:
            return stored[name]
    for kind in type(held).__mro__:
        if name in vars(kind):
            found = vars(kind)[name]
            return UNKNOWN if hasattr(type(found), "__get__") else found
    return UNKNOWN


def written(tree: ast.expr | None, scope: Scope) -> str:
    """The text of an expression, with what its keys stand for: `w[name]` in a loop is `w['kl']`."""
    if isinstance(tree, ast.Subscript) and not isinstance(tree.slice, ast.Constant):
        key = value_in(tree.slice, scope)
        if isinstance(key, str | int):
            return f"{text_of(tree.value)}[{key!r}]"
    return text_of(tree)


def key_of(value: Any, scope: Scope) -> str | None:
    """The key under which a dict among the variables holds this very object."""
    for held in scope.locals.values():
        if isinstance(held, dict) and len(held) <= _MOST_ITEMS:
            for key, item in dict.items(held):
                if item is value and isinstance(key, str):
                    return key
    return None


def computed_from(tree: ast.expr, code: CodeType) -> set[str]:
    """Names, attributes and texts in an expression, and in what its function assigned to the names among them."""
    lines = [line for _, _, line in code.co_lines() if line is not None]
    values, found, todo = _read(code.co_filename).values, set(), [tree]
    while todo:
        for node in ast.walk(todo.pop()):
            match node:
                case ast.Attribute(attr=name) | ast.Constant(value=str(name)):
                    found.add(name)
                case ast.Name(id=name) if name not in found:
                    found.add(name)
                    around = name in code.co_freevars  # assigned in the function around this one
                    todo += [v for v in values.get(name, ()) if around or min(lines) <= v.lineno <= max(lines)]
    return found


def attribute_behind(tree: ast.expr, value: Any, scope: Scope) -> ast.expr:
    """`self.lam_kl` for `getattr(self, f"lam_{name}")`, and for a variable that was assigned this; else the tree itself."""
    given = _read(scope.code.co_filename).values.get(tree.id, ()) if isinstance(tree, ast.Name) else ()
    for own in (tree, *given):
        match own:
            case ast.Call(func=ast.Name(id="getattr"), args=[holder, key, *_]):
                name = value_in(key, scope)
                own = ast.Attribute(holder, name) if isinstance(name, str) else own
        if isinstance(own, ast.Attribute) and value_in(own, scope) is value:
            return own
    return tree


def parts_of(tree: ast.expr | None) -> Iterator[ast.expr]:
    """Names, attributes and entries that an expression is written with."""
    if tree is not None:
        yield from (node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute | ast.Subscript))


@_kept
def is_loop_variable(code: CodeType, name: str) -> bool:
    """Whether a `for` of this function gives the name its value."""
    lines = [line for _, _, line in code.co_lines() if line is not None]
    loops = _around(code).loops.get(name, ())
    return bool(lines) and any(min(lines) <= line <= max(lines) for line in loops)


@dataclass
class _File:
    """What is asked of a source file, or a function in it: the names that statements give, the values that functions return, the variables of loops, and
    what each name was assigned."""

    names: dict[_Span, str | None]
    returned: set[_Span]
    loops: dict[str, list[int]]
    values: dict[str, list[ast.expr]]

    @classmethod
    def of(cls, tree: ast.AST | None) -> _File:
        found = cls({}, set(), {}, {})
        for node in () if tree is None else ast.walk(tree):
            found._look(node)
        return found

    def _look(self, node: ast.AST) -> None:
        match node:
            case (
                ast.Assign(targets=[target, *_], value=value)
                | ast.NamedExpr(target=target, value=value)
                | ast.AnnAssign(target=target, value=ast.expr() as value)
            ):
                self._named(value, label(target))
                self._given(target, value)
            case ast.AugAssign(target=target, value=value):
                self.names[_span(node)] = label(target)
                self._given(target, value)
            case ast.keyword(arg=str(name), value=value):
                self._named(value, name)
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        self._named(value, key.value)
            case ast.Return(value=ast.expr() as value) | ast.Lambda(body=value):
                self.returned.update(_spans(value))
            case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
                self._given(target, value)
                for inner in ast.walk(target):
                    if isinstance(inner, ast.Name):
                        self.loops.setdefault(inner.id, []).append(inner.lineno)

    def _given(self, target: ast.expr, value: ast.expr) -> None:
        for inner in ast.walk(target):
            if isinstance(inner, ast.Name):
                self.values.setdefault(inner.id, []).append(value)

    def _named(self, value: ast.expr, name: str | None) -> None:
        for span in _spans(value):
            self.names.setdefault(span, name)


_files: dict[str, tuple[list[str], _File]] = {}


def _read(file: str) -> _File:
    """A cell of a notebook may come again with other lines: those of the answer are kept beside it."""
    lines = linecache.getlines(file)
    found = _files.get(file)
    if found is None or found[0] is not lines:
        if len(_files) >= _MOST_FILES:
            _files.clear()
        found = _files[file] = lines, _File.of(_parsed("".join(lines)))
    return found[1]


@_kept
def _around(code: CodeType) -> _File:
    """What is said of its file, as far as it is asked about this function; a large file takes long to read."""
    if "<" in code.co_qualname:  # inside of another function, whose names it may use, or none
        return _read(code.co_filename)
    first = code.co_firstlineno
    lines = linecache.getlines(code.co_filename)[first - 1 : _last_line(code)]
    opening = "if 1:\n" if lines and lines[0][:1].isspace() else "\n"
    tree = _parsed("".join((opening, *lines)))
    return _read(code.co_filename) if tree is None else _File.of(ast.increment_lineno(tree, first - 2))


def _last_line(code: CodeType) -> int:
    own = max((end for _, end, _, _ in _positions(code) if end is not None), default=code.co_firstlineno)
    return max(own, *map(_last_line, (inner for inner in code.co_consts if isinstance(inner, CodeType))), 0)


def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return None


@_kept
def assigned(code: CodeType, instruction: int) -> tuple[str | None, bool]:
    """The name that the statement gives this very value, and whether the value is what its function returns."""
    where = _position(code, instruction)
    if where is None:
        return None, False
    line, end, column, last = where
    found, span = _around(code), (line, end, column, last)
    return found.names.get(span), span in found.returned


def _spans(tree: ast.expr) -> Iterator[_Span]:
    """Of the value itself, and of what only a sign or a reduction stands around."""
    yield _span(tree)
    match tree:
        case ast.UnaryOp(operand=inner):
            yield from _spans(inner)
        case ast.Call(func=ast.Attribute(value=inner, attr=name)) if name in _ALIKE:
            yield from _spans(inner)


def _span(tree: Any) -> _Span:
    return tree.lineno, tree.end_lineno, tree.col_offset, tree.end_col_offset


def given_name(chain: tuple[Spot, ...]) -> str | None:
    """The variable, key or function that a value got its name from, outwards through the functions that returned it."""
    function = None
    for code, instruction in chain:
        name, returned = assigned(code, instruction)
        if name is not None:
            return name
        if not returned:
            return function
        if code.co_name not in ("<lambda>", "forward", "__call__", "<module>"):
            function = function or code.co_name
    return function
