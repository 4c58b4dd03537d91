"""Which tensors a watch may compute on, and how it computes without a trace.

A tensor of the program may be of a class of its own, that counts, refuses or communicates; it may have no values here (meta, fake,
sharded, freed), or stand for a function's argument. The one question that everything in this package asks is `plain`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import TracebackType

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

_OWN = frozenset({Tensor, nn.Parameter})
_TRACERS = ("torch._subclasses", "torch.fx", "torch._export", "torch._functorch")


class quietly:
    """`with quietly():` no class and no mode of the program is told of the operations inside."""

    def __enter__(self) -> None:
        self._functions = torch._C.DisableTorchFunction()
        self._functions.__enter__()
        self._modes = None
        if torch._C._len_torch_dispatch_stack():
            self._modes = _disable_current_modes()
            self._modes.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._modes is not None:
            self._modes.__exit__(kind, error, trace)
        self._functions.__exit__(kind, error, trace)


def is_tracing() -> bool:
    """Whether the calls of this moment make a graph for later (export, torch.jit.trace, torch.fx): that is no training."""
    if torch._C._get_tracing_state() is not None:
        return True
    if not torch._C._len_torch_dispatch_stack():
        return False
    modes = (torch._C._get_dispatch_stack_at(place) for place in range(torch._C._len_torch_dispatch_stack()))
    return any(type(mode).__module__.startswith(_TRACERS) for mode in modes)


def plain(tensor: Tensor) -> Tensor | None:
    """The tensor as a `torch.Tensor` with values in the memory of one device, or None: then nothing is computed on it.

    A class of the program with only a `__torch_function__` is taken off; one with a `__torch_dispatch__` sees every operation, and
    is left alone: distributed tensors among them, since a norm of the whole would have to communicate.
    """
    if type(tensor) not in _OWN:
        if type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__:
            return None
        tensor = tensor.as_subclass(Tensor)
    if tensor.is_quantized or tensor.is_nested or torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return None
    if tensor.layout is not torch.strided:
        return None if tensor.is_meta else tensor
    if tensor.data_ptr():
        return tensor
    # no values, or their memory was given back: sharded training does so with whole parameters
    return None if tensor.numel() or tensor.is_meta else tensor


def all_plain(tensors: Iterable[Tensor]) -> list[Tensor] | None:
    """All of them, or None if one of them is not."""
    found = [plain(tensor) for tensor in tensors]
    kept = [tensor for tensor in found if tensor is not None]
    return kept if len(kept) == len(found) else None


def is_sharded(module: nn.Module) -> bool:
    """Whether its parameters are exchanged while it runs (`torch.distributed.fsdp.fully_shard`)."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    kind = getattr(fsdp, "FSDPModule", None)
    return kind is not None and any(isinstance(part, kind) for part in module.modules())
