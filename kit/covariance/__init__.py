"""Scenes, snapshots, sample covariances and their conditioning."""

from kit.covariance.batch import Batch
from kit.covariance.conditioning import blend, effective, herm, load, shrink, shrinkage_alpha, trace_norm
from kit.covariance.sampler import CovarianceSampler
from kit.covariance.scenes import split_generators
from kit.covariance.surface import surface_codes, surface_sample_covariance

__all__ = [
    "Batch",
    "CovarianceSampler",
    "blend",
    "effective",
    "herm",
    "load",
    "shrink",
    "shrinkage_alpha",
    "split_generators",
    "surface_codes",
    "surface_sample_covariance",
    "trace_norm",
]
