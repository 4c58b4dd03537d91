"""A batch of scenes: what the network sees and what it should say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """B scenes of up to K_max sources each.

    Attributes:
        R_samp: sample covariance ``[B, N, N]`` complex, trace N: the network's input.
        R_true: noise-free covariance ``[B, N, N]`` complex, trace N: the label.
        ptr: phi | theta | r blocks ``[B, 3 K_max]`` in rad, rad, m; slots >= K are zero.
        K: number of sources ``[B]`` int64, 1..K_max.
        snr_db: ``[B]`` in dB.
    """

    R_samp: Tensor
    R_true: Tensor
    ptr: Tensor
    K: Tensor
    snr_db: Tensor

    def __post_init__(self) -> None:
        sizes = {field.name: len(getattr(self, field.name)) for field in fields(self)}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"All parts of a Batch should have the same length. Found {sizes}.")
        B, N = self.R_samp.shape[0], self.R_samp.shape[-1]
        for name in ("R_samp", "R_true"):
            shape = list(getattr(self, name).shape)
            if shape != [B, N, N]:
                raise ValueError(f"{name} should have shape [B, N, N]. Found shape {shape}.")
        if self.ptr.ndim != 2 or self.ptr.shape[1] % 3:
            raise ValueError(f"ptr should have shape [B, 3 K_max]. Found shape {list(self.ptr.shape)}.")

    def __repr__(self) -> str:
        N, k_max = self.R_samp.shape[-1], self.ptr.shape[-1] // 3
        return f"Batch(scenes={len(self)}, N={N}, k_max={k_max}, dtype={self.R_samp.dtype})"

    @property
    def inputs(self) -> Tensor:
        return self.R_samp

    @property
    def target(self) -> dict[str, Tensor]:
        return {"R_true": self.R_true, "ptr": self.ptr, "K": self.K, "snr_db": self.snr_db}

    def __len__(self) -> int:
        return len(self.K)

    def __getitem__(self, index: slice | Tensor) -> Batch:
        """The scenes chosen by a slice, a mask or a tensor of indices."""
        if isinstance(index, int):
            raise TypeError(
                f"A Batch should be indexed by a slice or a tensor. Found the integer {index}; use [{index}:{index + 1}]."
            )
        return self._map(lambda value: value[index])

    def split(self, size: int, *, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Batches of at most ``size`` scenes; shuffled when a generator is given, in order otherwise."""
        order = torch.arange(len(self)) if generator is None else torch.randperm(len(self), generator=generator)
        for index in order.split(size):
            yield self[index]

    def to(self, target: torch.dtype | torch.device | str) -> Batch:
        """On another device, or in another precision: complex parts as complex64 or complex128, real parts to match."""
        if not isinstance(target, torch.dtype):
            return self._map(lambda value: value.to(target))
        real = target.to_real()
        return replace(
            self,
            R_samp=self.R_samp.to(target),
            R_true=self.R_true.to(target),
            ptr=self.ptr.to(real),
            snr_db=self.snr_db.to(real),
        )

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(**{field.name: change(getattr(self, field.name)) for field in fields(self)})
