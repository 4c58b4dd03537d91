"""A small patient for tests of the loop: 4 x 3 elements, 24 scenes."""

from __future__ import annotations

from dataclasses import replace

import kit


def small_patient(**config) -> kit.Patient:
    settings = {"epochs": 2, "batch_size": 8, "ema_decay": None, "require_steps": False, **config}
    patient = kit.Patient.admit(seed=3, samples=24, validation_samples=8, array=kit.PlanarArray(4, 3))
    return replace(patient, config=kit.TrainingConfig(**settings))
