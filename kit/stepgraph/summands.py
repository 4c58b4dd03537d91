"""The terms of a loss as the graph of its total shows them: summands, and what is written before each.

total = factor (constant + sum_i weight_i term_i)      as it is read, see `terms`
total = rest + sum_i lam_i L_i                          as it is reported
"""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any

import torch
from torch import Tensor

from kit.stepgraph.source import computed_from
from kit.stepgraph.tape import Operand
from kit.stepgraph.terms import Part, Reading
from kit.stepgraph.ways import Call, Refused, Terms
from kit.stepgraph.weights import PREFIX

_EQUAL = 1e-6  # a weight in float32 is the attribute that it was made of


@dataclass
class _Summand:
    """One term of the graph. `weight`: all that stands before it; `written`: the name of its weight, "" if no one name is;
    `number`, `others`: that weight, and the product of all else; `behind`: names that the other factors are computed from."""

    name: str
    value: Tensor
    weight: float
    written: str
    number: float
    others: float
    behind: set[str]


def step_graph(call: Call) -> Terms:
    """The summands of the total, as its graph has them.

    The weight of a term is the attribute or variable before it, under its name, as long as nothing else in the sum is computed from
    this name. Any other factor (a constant, an expression, a number that was normalised) is the weight of its term under the term's
    own name: a slider then moves the factor in force, and no attribute. Summands of one attribute are one term. An attribute `lam_*`
    that is no weight is a setting, and held; one that is 0 and in no term stands for a term that was skipped, with value nan. What a
    loss would compute under other weights, in a branch that asks for them, no graph shows.
    """
    if call.total.grad_fn is None:
        raise Refused("its total has no graph")
    reading = Reading(call.total, trained_weights=False)
    graph, own = reading.graph, call.weights
    try:
        summands = _summands(call, own, reading)
    except KeyError as error:
        raise Refused("a term of its graph was made by an operation that cannot be followed") from error
    whole: set[str] = set().union(*(_behind(call.holder, operand) for _, operand in reading.whole))
    elsewhere = whole.union(*(one.behind for one in summands))
    if PREFIX in elsewhere:  # getattr(self, f"lam_{name}")
        elsewhere.update(own)
    written = [one.written for one in summands]
    for one in summands:
        if one.written in elsewhere or (one.written not in own and written.count(one.written) > 1):
            one.written = ""

    found = Terms()
    held: dict[tuple[str, ...], list[str]] = {}
    for name, weight in own.items():
        values = [one.others * one.value for one in summands if one.written == name]
        if values:
            found.add(call.term_of(name), name, weight, values[0] if len(values) == 1 else torch.stack(values).sum())
        elif weight == 0 and name not in elsewhere:
            found.add(call.term_of(name), name, 0.0, torch.tensor(math.nan, dtype=torch.float64))
            found.notes.append(
                f"{name} is 0 and its term was not computed (or it is a setting): nothing in the sum has it."
            )
        else:
            held.setdefault(tuple(one.name for one in summands if name in one.behind | whole), []).append(name)
    if len(summands) < 2 and not found.names:
        raise Refused("its graph shows no sum")
    found.notes += [_held(names, terms) for terms, names in held.items()]
    for one in summands:
        name = _new(one.name, found.names)
        if not one.written:
            found.add(name, _new(one.name, found.weight_names), one.weight, one.value)
        elif one.written not in own:
            found.add(name, _new(one.written, found.weight_names), one.number, one.others * one.value)
    if graph.constant:
        found.add(_new("rest", found.names), "", 1.0, torch.tensor(graph.factor * graph.constant, dtype=torch.float64))
    if call.rest(found) is not None:
        added, total = found.sum()[0], call.total.item()
        raise Refused(f"the summands in its graph add up to {added:.6g}, but it returned {total:.6g}")
    return found


def _summands(call: Call, own: Mapping[str, float], reading: Reading) -> list[_Summand]:
    """Raises KeyError if a value was not kept."""
    graph, found = reading.graph, []
    for term, value, parts in zip(graph.terms, reading.tensors(call.kept), reading.factors, strict=True):
        at, name, literal = _weight(call, own, term.name, parts)
        if at is not None and own.get(name):
            literal = parts[at][0] / own[name]  # as it was in force, in float32 maybe
        rest = [part for place, part in enumerate(parts) if place != at]
        behind = set().union(*(_behind(call.holder, operand) for _, operand in rest))
        if at is not None and name not in own:  # what a variable was computed from
            behind |= _behind(call.holder, parts[at][1]) - {name}
        others = graph.factor * literal * math.prod(number for number, _ in rest)
        number = 1.0 if at is None else parts[at][0] / literal
        found.append(_Summand(term.name, value, graph.factor * term.weight, name, number, others, behind))
    return found


def _weight(call: Call, own: Mapping[str, float], term: str, parts: Sequence[Part]) -> tuple[int | None, str, float]:
    """Which factor of a term is its weight, the attribute or variable that it is, and by what it is multiplied there.

    None and "" if it is no single one.
    """
    attributes = [(at, *found) for at, part in enumerate(parts) if (found := _attribute(call, own, term, *part))]
    if attributes:
        return attributes[0] if len(attributes) == 1 else (None, "", 1.0)
    variables = [at for at, (_, operand) in enumerate(parts) if operand is not None and operand.where != "constant"]
    if len(variables) == 1:
        number, operand = parts[variables[0]]
        name, literal = _name(operand)
        if name and name not in own and operand is not None and _is_factor(operand, number):
            return variables[0], name, literal
    return None, "", 1.0


def _attribute(
    call: Call, own: Mapping[str, float], term: str, number: float, operand: Operand | None
) -> tuple[str, float] | None:
    """The attribute that a factor is: by what is written, or as the very same number, where it is read from an attribute."""
    if operand is None or not _is_factor(operand, number):
        return None
    name, literal = _name(operand)
    if name in own and math.isclose(own[name] * literal, number, rel_tol=_EQUAL):
        return name, literal
    read, here = _behind(call.holder, operand), operand.tree is None or _is_argument(*operand.tree)
    same = [n for n in own if getattr(call.holder, n) is operand.number and (here or read & {n, PREFIX})]
    return next(((name, 1.0) for name in same if len(same) == 1 or call.term_of(name) == term), None)


def _is_factor(operand: Operand, number: float) -> bool:
    """Whether it is what the term is multiplied by, and no divisor."""
    return not isinstance(operand.number, list) and math.isclose(float(operand.number), number, rel_tol=_EQUAL)


def _is_argument(tree: ast.expr, code: CodeType) -> bool:
    return isinstance(tree, ast.Name) and tree.id in code.co_varnames[: code.co_argcount]


def _name(operand: Operand | None) -> tuple[str, float]:
    """The variable or attribute that a factor is written as, and the constants around it: `0.5 * self.lam_kl`."""
    literal, tree = 1.0, None if operand is None or operand.tree is None else operand.tree[0]
    while True:
        match tree:
            case ast.UnaryOp(op=ast.USub(), operand=tree):
                literal = -literal
            case (
                ast.BinOp(op=ast.Mult(), left=ast.Constant(value=int() | float() as number), right=tree)
                | ast.BinOp(op=ast.Mult(), left=tree, right=ast.Constant(value=int() | float() as number))
            ) if number:
                literal *= number
            case ast.BinOp(op=ast.Div(), left=tree, right=ast.Constant(value=int() | float() as number)) if number:
                literal /= number
            case ast.Name(id=name) | ast.Attribute(attr=name):
                return name, literal
            case _:
                return "", 1.0


def _behind(holder: Any, operand: Operand | None) -> set[str]:
    """Names and texts that a factor is computed from, with what the methods and properties of the loss among them read."""
    if operand is None or operand.tree is None:
        return set()
    found = computed_from(*operand.tree)
    for name in [*found]:
        member = inspect.getattr_static(type(holder), name, None)
        code = getattr(getattr(member, "fget", member), "__code__", None)
        if code is not None:
            found.update(code.co_names, (text for text in code.co_consts if isinstance(text, str)))
    return found


def _held(names: Sequence[str], terms: Sequence[str]) -> str:
    if not terms:
        return f"Not written before any term of the sum, and held: {', '.join(names)} (a setting inside of a term?)."
    return (
        f"Part of the weight of {', '.join(terms)}, but not the weight as it stands: {', '.join(names)}. A slider of such a term "
        "moves the weight in force."
    )


def _new(name: str, taken: Sequence[str]) -> str:
    own, number = name, 2
    while own in taken:
        own, number = f"{name} ({number})", number + 1
    return own
