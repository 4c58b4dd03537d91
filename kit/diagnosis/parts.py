"""Model, loss, batch and optimizer as a function of the user's makes them, named as ``package.module:function``."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

NAMES = ("model", "loss", "batch", "optimizer")
_NEEDED, _MORE = 3, ("predict", "steps")
FORM = "package.module:function or path/to/file.py:function"


class PartsError(ValueError):
    """No function of this name, or it returns something else."""


def made_by(named: str) -> dict[str, Any]:
    """The parts by their names, for ``kit.check(**parts)``: those of ``NAMES``, and ``predict`` and ``steps`` where they are given.

    The function takes no arguments and returns them in this order, or in a mapping. Modules are looked for in the
    working directory first.

    Raises:
        PartsError: a name of another form, no such module or function, another return value. What the function raises comes up as it is.
    """
    parts = _function(named)()
    if isinstance(parts, Mapping):
        if {*NAMES[:_NEEDED]} <= {*parts} <= {*NAMES, *_MORE}:
            return dict(parts)
        found = ", ".join(map(str, parts)) or "an empty mapping"
    elif isinstance(parts, tuple | list) and _NEEDED <= len(parts) <= len(NAMES):
        return dict(zip(NAMES, parts, strict=False))
    else:
        found = f"{type(parts).__name__}" + (f" of {len(parts)}" if isinstance(parts, tuple | list) else "")
    raise PartsError(
        f"{named} should return (model, loss, batch) or (model, loss, batch, optimizer), or a mapping with these names and, if "
        f"needed, predict and steps. Found {found}."
    )


def _function(named: str) -> Callable[[], Any]:
    where, colon, name = named.rpartition(":")
    if not colon or not where or not name.isidentifier():
        raise PartsError(f"The parts should be named as {FORM}. Found {named!r}.")
    module = _file(Path(where)) if where.endswith(".py") else _module(where)
    found = getattr(module, name, None)
    if not callable(found):
        own = [key for key, value in vars(module).items() if inspect.isfunction(value) and not key.startswith("_")]
        raise PartsError(f"{where} should have a function {name}. Found {', '.join(own) or 'no function'}.")
    return found


def _file(path: Path) -> Any:
    if not path.is_file():
        raise PartsError(f"{path.as_posix()} should be a file. Found none.")
    folder = os.fspath(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # as for `python path/to/file.py`
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None  # a path that ends with .py has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _module(where: str) -> Any:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{where}.".startswith(f"{error.name}."):
            raise  # of something that the module itself imports
        raise PartsError(f"{where} should be a module that can be imported from here. Found no {error.name}.") from None
