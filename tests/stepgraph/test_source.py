"""What is asked of one function of a file is what the whole file says of it."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Iterator
from types import CodeType

import pytest
import torch

from kit.stepgraph import source, terms

LBFGS = inspect.getfile(torch.optim.LBFGS)
FILES = [source.__file__, terms.__file__, inspect.getfile(torch.optim.Adam), LBFGS]


def codes_of(file: str) -> Iterator[CodeType]:
    todo = [compile("".join(linecache.getlines(file)), file, "exec")]
    while todo:
        yield (code := todo.pop())
        todo += [inner for inner in code.co_consts if isinstance(inner, CodeType)]


@pytest.mark.parametrize("file", FILES)
def test_names_are_those_that_the_whole_file_gives(file):
    whole = source._File.of(source._parsed("".join(linecache.getlines(file))))
    found = 0
    for code in codes_of(file):
        for instruction in range(0, len(code.co_code), 2):
            where = source._position(code, instruction)
            if where is None:
                continue
            line, end, column, last = where
            span = line, end, column, last
            assert source.assigned(code, instruction) == (whole.names.get(span), span in whole.returned)
            found += whole.names.get(span) is not None
    assert found > 100


@pytest.mark.parametrize("file", FILES)
def test_loops_are_those_that_the_whole_file_has(file):
    whole = source._File.of(source._parsed("".join(linecache.getlines(file))))
    found = 0
    for code in codes_of(file):
        lines = [line for _, _, line in code.co_lines() if line]
        for name, loops in whole.loops.items():
            inside = any(min(lines) <= line <= max(lines) for line in loops)
            assert source.is_loop_variable(code, name) == inside
            found += inside
    assert found > 10


def test_a_method_is_read_without_the_rest_of_its_file(monkeypatch):
    asked = []
    monkeypatch.setattr(source, "_read", lambda file: asked.append(file) or source._File({}, set(), {}, {}))
    method = next(code for code in codes_of(LBFGS) if code.co_qualname == "LBFGS.step")
    named = {source.assigned(method, instruction)[0] for instruction in range(0, len(method.co_code), 2)}
    assert {"loss", "flat_grad", "closure"} & named
    assert not asked


def test_a_cell_that_comes_again_is_read_anew(monkeypatch):
    name = "a cell that comes again"
    names = []
    for text in ("first = f(1)\n", "other = f(1)\n"):
        monkeypatch.setitem(linecache.cache, name, (len(text), None, [text], name))
        code = compile(text, name, "exec")
        names += [{source.assigned(code, at)[0] for at in range(0, len(code.co_code), 2)} - {None}]
    assert names == [{"first"}, {"other"}]
