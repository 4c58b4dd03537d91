"""The small data that ships with the kit: where it is, how it is read, how it is made again.

``data/scenes.npz`` holds snapshots and labels; covariances are computed from them on loading. ``data/faulty_run.json`` is a recorded
run that shows the report's symptom.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from kit.array import PlanarArray
from kit.covariance import Batch
from kit.covariance.scenes import Scenes, draw_scenes
from kit.covariance.snapshots import array_snapshots, sample_covariance, true_covariance
from kit.faults import LossCountedOnStepsOnly, NanGradients, all_applied
from kit.files import DATA, shipped, write_atomically
from kit.training import System, TrainingConfig, TrainingHistory

SCENES_SEED = 20251024
SCENES = 96
TRAINING_SCENES = 64
_K_MAX, _SNAPSHOTS = 5, 16
FAULTY_RUN_SEED = 7
FAULTY_RUN_FAULTS = (NanGradients(), LossCountedOnStepsOnly())


def load_scenes() -> Batch:
    """The shipped scene set of the default array: 96 scenes, generator G1."""
    with np.load(shipped("scenes.npz"), allow_pickle=False) as file:
        arrays = {key: torch.from_numpy(file[key]) for key in file.files}
    K = arrays["K"]
    phi, theta, r = arrays["ptr"].unflatten(-1, (3, _K_MAX)).unbind(1)
    scenes = Scenes(K, torch.arange(_K_MAX) < K[:, None], phi, theta, r, arrays["snr_db"])
    R_true = true_covariance(PlanarArray(), scenes)
    return Batch(sample_covariance(arrays["snapshots"]), R_true, arrays["ptr"], K, arrays["snr_db"])


def make_scenes() -> bytes:
    """The bytes of ``scenes.npz``. Drawn and computed in double precision, then rounded to single: the same file on any machine."""
    generator = torch.Generator().manual_seed(SCENES_SEED)
    scenes = draw_scenes(SCENES, _K_MAX, generator, torch.float64)
    Y = array_snapshots(PlanarArray(), scenes, _SNAPSHOTS, generator)
    # snapshots are scaled per scene, which no covariance sees after its trace norm, so that single precision keeps them all
    Y = Y / Y.abs().square().mean(dim=(1, 2), keepdim=True).sqrt()
    buffer = io.BytesIO()
    np.savez(
        buffer,
        snapshots=Y.to(torch.complex64).numpy(),
        ptr=scenes.ptr.float().numpy(),
        K=scenes.K.numpy(),
        snr_db=scenes.snr_db.float().numpy(),
    )
    return buffer.getvalue()


def reference_system() -> System:
    """The system of the recorded run, on the shipped scenes: 64 to train on, 32 to validate.

    The structure schedule is off: were it on, it would move the validation loss of a network that does not learn, and the validation
    loss of the symptom does not move.
    """
    scenes = load_scenes()
    config = TrainingConfig(epochs=8, batch_size=16, ema_decay=None, require_steps=False, structure_schedule=False)
    train, validation = scenes[:TRAINING_SCENES], scenes[TRAINING_SCENES:]
    return System(PlanarArray(), train, validation, config=config, seed=FAULTY_RUN_SEED)


def make_faulty_run(**weights: float) -> TrainingHistory:
    """Train the faulty system: every gradient becomes NaN, and the loss is added to the displayed sum only when a step was taken.

    ``weights`` replaces some of the loss weights, to see what a fix of the weights does to this run.
    """
    loop = reference_system().with_weights(**weights).new_loop()
    with all_applied(loop, *FAULTY_RUN_FAULTS):
        history = loop.run()
    faults = [fault.key for fault in FAULTY_RUN_FAULTS]
    return replace(history, settings={**history.settings, "seed": FAULTY_RUN_SEED, "faults": faults})


def load_faulty_run() -> TrainingHistory:
    """The recorded run that shows the symptom: train reads 0.000000, validation does not change."""
    return TrainingHistory.load(shipped("faulty_run.json"))


@dataclass(frozen=True)
class Regenerated:
    """Paths that ``regenerate`` wrote."""

    scenes: Path
    faulty_run: Path


def regenerate(folder: Path = DATA) -> Regenerated:
    """Write both files again."""
    scenes = write_atomically(folder / "scenes.npz", make_scenes())
    return Regenerated(scenes, make_faulty_run().save(folder / "faulty_run.json"))
