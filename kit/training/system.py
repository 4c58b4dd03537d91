"""The system: everything one run needs, from one seed, so that two runs differ only in what was changed on purpose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch

from kit.array import PlanarArray
from kit.covariance import Batch, CovarianceSampler, split_generators
from kit.loss import TRAINER_BEFORE_FIX, UltimateHybridLoss
from kit.model import HybridModel
from kit.training.config import TrainingConfig
from kit.training.history import TrainingHistory
from kit.training.loop import TrainingLoop


@dataclass(frozen=True)
class System:
    """An array, its data, and the recipes for a fresh network, a fresh loss and a fresh run.

    Args:
        array: geometry.
        train, validation: batches of scenes.
        weights: the loss weights; the report's trainer before the fix unless given.
        config: training settings.
        size: of the network.
        seed: of the network's initial weights.
    """

    array: PlanarArray
    train: Batch
    validation: Batch
    weights: Mapping[str, float] = field(default_factory=lambda: TRAINER_BEFORE_FIX)
    config: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(epochs=4, ema_decay=None, require_steps=False)
    )
    size: str = "small"
    seed: int = 0

    @classmethod
    def generate(
        cls, *, seed: int = 0, samples: int = 256, validation_samples: int = 64, array: PlanarArray | None = None
    ) -> System:
        """A system with fresh synthetic data: ``samples`` scenes to train on, and others to validate on."""
        array = PlanarArray() if array is None else array
        sampler, streams = CovarianceSampler(array), split_generators(seed)
        train = sampler.sample(samples, generator=streams["train"])
        return cls(array, train, sampler.sample(validation_samples, generator=streams["validation"]), seed=seed)

    def with_weights(self, **weights: float) -> System:
        """The same system under other loss weights; those not named stay."""
        return replace(self, weights={**self.weights, **weights})

    def new_model(self) -> HybridModel:
        """A network with the initial weights of ``seed``; the global random state is left alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return HybridModel(self.array, self.size, self.train.ptr.shape[-1] // 3)

    def new_loss(self) -> UltimateHybridLoss:
        return UltimateHybridLoss(**self.weights, array=self.array, k_max=self.train.ptr.shape[-1] // 3)

    def new_loop(self) -> TrainingLoop:
        return TrainingLoop(self.new_model(), self.new_loss(), self.train, self.config, self.validation)

    def run(self, progress: Callable[[int, int], None] | None = None) -> TrainingHistory:
        """Train a fresh network for all epochs of the config."""
        return self.new_loop().run(progress)

    def batch(self, size: int | None = None) -> Batch:
        """The first training scenes, to probe: as many as the config trains on at once, unless ``size`` says another number."""
        return self.train[: self.config.batch_size if size is None else size]
