"""Arguments in words, and what was probably meant by those that stand in the wrong place."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils.data import DataLoader

from kit.stepgraph.weights import trained_weights, weight_attributes

MOST = 6  # names that are listed
_NAMES, _ROLES = ("model", "loss", "batch"), ("the network", "the loss", "the batch")


def kind(value: Any) -> str:
    """A value in a few words: "a tuple of 2", "a Tensor of shape (8, 4)", "a dict with x, y", "the class MSELoss"."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    words = _with_article(type(value).__name__)
    if isinstance(value, types.FunctionType) and value.__name__.isidentifier():
        return f"{words} {value.__name__}"
    if isinstance(value, Tensor | np.ndarray):
        return f"{words} of shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return f"{words} of {len(value)}"
    if isinstance(value, Mapping) and value:
        return f"{words} with {listed(value)}"
    return words


def _with_article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeio' else 'a'} {name}"


def listed(names: Mapping | Sequence) -> str:
    names = [str(name) for name in names]
    return ", ".join(names[:MOST]) + (f" and {len(names) - MOST} more" if len(names) > MOST else "")


def has_parameters(value: Any) -> bool:
    return isinstance(value, nn.Module) and next(value.parameters(), None) is not None


def looks_like_loss(value: Any) -> bool:
    """A guess by what losses have and networks have not; only to say so in a message."""
    if not isinstance(value, nn.Module):
        return False
    named = any(word in type(value).__name__.lower() for word in ("loss", "criterion"))
    return named or bool(weight_attributes(value) or trained_weights(value))


def check_step(model: Any, loss: Any, batch: Any, more: Sequence[Any]) -> None:
    """TypeError unless these are a network, a loss and one batch, in this order."""
    if more:
        together = ", ".join("xyzuvw"[: len(more) + 1])
        also = "" if len(more) == 1 else ", predict=lambda model, batch: ..."
        raise TypeError(
            f"probe should be given one batch, after model and loss. Found {', '.join(map(kind, (batch, *more)))}. "
            f"Pass them as one: kit.probe(model, loss, ({together}){also}). "
            "predict, terms, weights and groups go by name."
        )
    given = (model, loss, batch)
    meant = _meant(*given) or given
    for place, (wanted, found) in enumerate(zip(meant, given, strict=True)):
        if wanted is not found:
            other = next(i for i in range(3) if meant[i] is found)
            raise TypeError(
                f"{_NAMES[place]} should be {_ROLES[place]}. Found {kind(found)}: is this {_ROLES[other]}? "
                f"The order is model, loss, batch, here: {', '.join(map(kind, meant))}."
            )
    if not isinstance(model, nn.Module):
        raise TypeError(f"model should be a torch.nn.Module. Found {kind(model)}{_made(model)}.")
    if not callable(loss) or isinstance(loss, type):
        raise TypeError(f"loss should be a callable (prediction, target) -> scalar. Found {kind(loss)}{_made(loss)}.")


def _made(value: Any) -> str:
    return f": make one, {value.__name__}(...)" if isinstance(value, type) else ""


def _meant(*given: Any) -> tuple[Any, Any, Any] | None:
    """The three in their order, where one is no callable (the batch) and one is a network with parameters."""
    data = [value for value in given if not callable(value)]
    two = [value for value in given if callable(value)]
    if len(data) != 1 or not any(map(has_parameters, two)):
        return None
    swapped = has_parameters(two[1]) and (
        not has_parameters(two[0]) or (looks_like_loss(two[0]) and not looks_like_loss(two[1]))
    )
    network, loss = reversed(two) if swapped else two
    return network, loss, data[0]


def batch_refused(batch: Any) -> str:
    """Why this is no batch, and what to pass."""
    found = f"batch should have .inputs and .target, or be a pair (inputs, target). Found {kind(batch)}. "
    if isinstance(batch, DataLoader):
        return found + "Pass one batch of it: kit.probe(model, loss, next(iter(loader)))."
    if isinstance(batch, Iterator):
        return found + "Pass one batch of it, next(...) of this iterator."
    if not isinstance(batch, Tensor | np.ndarray | Sequence | Mapping) and hasattr(type(batch), "__getitem__"):
        return found + "Pass one batch of it, e.g. next(iter(torch.utils.data.DataLoader(dataset, batch_size=32)))."
    names = [repr(name) for name in batch][:2] if isinstance(batch, Mapping) else []
    x, y = names if len(names) == 2 else ('"x"', '"y"')
    if isinstance(batch, tuple | list):
        x, y = "0", "1"
    return found + (
        f"Pass (inputs, target), or predict=, e.g. predict=lambda model, batch: (model(batch[{x}]), batch[{y}])."
    )
