"""CovarianceSampler: scenes in, training batches out."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kit.array import PlanarArray
from kit.covariance.batch import Batch
from kit.covariance.scenes import SNR_RANGE_DB, draw_scenes
from kit.covariance.snapshots import array_snapshots, covariance_of, sample_covariance
from kit.covariance.surface import surface_measurement, surface_sample_covariance

_SCHEMES = ("snapshots", "surface")
_DTYPES = (torch.complex64, torch.complex128)


@dataclass(frozen=True)
class CovarianceSampler:
    """Synthetic covariance data for an array, vectorised over the batch.

    Args:
        array: the array.
        scheme: "snapshots" (G1: plain array snapshots) or "surface" (G2: measured through a coded surface).
        k_max: source slots, >= 1.
        snapshots: L >= 2.
        dtype: complex64, or complex128 to draw and compute in double precision.

    Raises:
        ValueError: any argument outside its range.
    """

    array: PlanarArray
    scheme: str = "snapshots"
    k_max: int = 5
    snapshots: int = 16
    dtype: torch.dtype = torch.complex64

    def __post_init__(self) -> None:
        if not isinstance(self.array, PlanarArray):
            raise TypeError(f"array should be a PlanarArray. Found array = {self.array!r}.")
        if self.scheme not in _SCHEMES:
            raise ValueError(f"scheme should be one of {', '.join(_SCHEMES)}. Found scheme = {self.scheme!r}.")
        for name, least in (("k_max", 1), ("snapshots", 2)):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < least:
                raise ValueError(f"{name} should be an integer >= {least}. Found {name} = {getattr(self, name)!r}.")
        if self.dtype not in _DTYPES:
            raise ValueError(f"dtype should be torch.complex64 or torch.complex128. Found dtype = {self.dtype}.")

    def sample(self, n: int, *, generator: torch.Generator) -> Batch:
        """n scenes from the generator's stream; the same state of the generator gives the same batch."""
        if not isinstance(n, int) or n < 1:
            raise ValueError(f"n should be an integer >= 1. Found n = {n!r}.")
        if not isinstance(generator, torch.Generator):
            raise TypeError(
                "generator should be a torch.Generator (see kit.covariance.split_generators). "
                f"Found generator = {generator!r}."
            )
        real = torch.empty((), dtype=self.dtype).real.dtype
        scenes = draw_scenes(n, self.k_max, generator, real)
        if self.scheme == "snapshots":
            Y = array_snapshots(self.array, scenes, self.snapshots, generator)
            R_samp = sample_covariance(Y)
            power = torch.ones_like(scenes.r)
        else:
            y, H, codes, power = surface_measurement(self.array, scenes, self.snapshots, generator)
            R_samp = surface_sample_covariance(y, H, codes)
        A, g = self.array.steering(scenes.phi, scenes.theta, scenes.r), scenes.path_gain(self.array.wavelength)
        R_true = covariance_of(A, g.square() * power)
        return Batch(R_samp, R_true, scenes.ptr, scenes.K, scenes.snr_db.clamp(*SNR_RANGE_DB))
