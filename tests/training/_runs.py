"""Small systems: one for tests of the loop, one for tests of pages and notebooks."""

from __future__ import annotations

from dataclasses import replace

import kit


def small_system(**config) -> kit.training.System:
    """4 x 3 elements, 24 scenes."""
    settings = {"epochs": 2, "batch_size": 8, "ema_decay": None, "require_steps": False, **config}
    system = kit.training.System.generate(seed=3, samples=24, validation_samples=8, array=kit.PlanarArray(4, 3))
    return replace(system, config=kit.training.TrainingConfig(**settings))


def few_scenes() -> kit.training.System:
    """The faulty system on four of its scenes for two epochs.

    Enough for a page with every part and a notebook with every cell; what all the scenes say is checked in tests/test_notebooks.py.
    """
    whole = kit.datasets.reference_system()
    config = replace(whole.config, epochs=2, batch_size=2)
    return replace(whole, train=whole.train[:4], validation=whole.validation[:2], config=config)
