"""Our own loop with every fault of ``kit.faults``, and with several at once, on small arrays."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from kit import faults
from kit.array import PlanarArray
from kit.diagnosis.scoring import OWN_LOOP
from kit.hypotheses.likelihoods import NONE
from kit.loss import TRAINER_AFTER_FIX, ZeroWeightWarning
from kit.training import Patient, TrainingConfig
from kit.watch import Trace, watch
from tests.bench.trial import Split, Trial


@dataclass(frozen=True)
class Setting:
    """Array, batch, learning rate and weights of one kind of run, and the half of the bench that it belongs to."""

    name: str
    array: tuple[int, int]
    batch: int
    lr: float
    weights: Mapping[str, float]
    split: Split


SETTINGS = (
    Setting("4x3, batch 8", (4, 3), 8, 3e-4, dict(TRAINER_AFTER_FIX), "calibration"),
    Setting("5x4, batch 6", (5, 4), 6, 1e-3, {**TRAINER_AFTER_FIX, "lam_cov": 2.0, "lam_K": 0.2}, "calibration"),
    Setting("6x3, batch 12", (6, 3), 12, 6e-4, {**TRAINER_AFTER_FIX, "lam_cov": 0.6, "lam_aux": 0.5}, "evaluation"),
    Setting("4x4, batch 4", (4, 4), 4, 2e-4, {**TRAINER_AFTER_FIX, "lam_cov_pred": 0.2}, "evaluation"),
)
SEEDS: Mapping[Split, tuple[int, ...]] = {"calibration": (0, 1, 2), "evaluation": (10, 11, 12)}
_EPOCHS, _BATCHES = 4, 4


@dataclass(frozen=True)
class Sickness:
    """Faults applied together, and the hypothesis they make true; "none" where nothing is broken by them.

    configured: weights that a configuration with this fault in it asks for.
    """

    name: str
    faults: tuple[faults.Fault, ...]
    truth: str
    configured: Mapping[str, float] = field(default_factory=dict)


def _sick(*applied: faults.Fault, configured: Mapping[str, float] | None = None) -> Sickness:
    return Sickness(" + ".join(fault.key for fault in applied), applied, applied[0].hypothesis, configured or {})


SICKNESSES = (
    Sickness("as it is", (), NONE),
    # a weight that is not set keeps its value, and a sum over taken steps is the sum when every step is taken
    Sickness("schedule_omits_lam_cov", (faults.ScheduleOmitsLamCov(),), NONE),
    Sickness("loss_counted_on_steps_only", (faults.LossCountedOnStepsOnly(),), NONE),
    _sick(faults.AllWeightsZero(), configured=dict.fromkeys(TRAINER_AFTER_FIX, 0.0)),
    _sick(faults.LamCovZero(), configured={"lam_cov": 0.0}),
    _sick(faults.TermsCancel()),
    _sick(faults.WeightNotPassed()),
    _sick(faults.SearchSetsLamCovZero()),
    _sick(faults.BlendMissing()),
    _sick(faults.BlendMissingFactorsZero()),
    _sick(faults.FactorHeadsZero()),
    _sick(faults.HeadsStartAtZero()),
    _sick(faults.AllOutputsZero()),
    _sick(faults.NanGradients()),
    Sickness("nan_gradients in one head", (faults.NanGradients(prefix="heads.k_logits"),), "nan_gradients"),
    _sick(faults.NanLossReadAsZero()),
    _sick(faults.NanGradients(), faults.LossCountedOnStepsOnly()),
    _sick(faults.LossOutsideLoop()),
    _sick(faults.WarmUpAtZero()),
)


def own_loop_trials() -> Iterator[Trial]:
    for setting in SETTINGS:
        for seed in SEEDS[setting.split]:
            for sickness in SICKNESSES:
                yield Trial(
                    OWN_LOOP,
                    sickness.name,
                    sickness.truth,
                    setting.name,
                    seed,
                    setting.split,
                    partial(record, setting, sickness, seed),
                )


def record(setting: Setting, sickness: Sickness, seed: int) -> Trace:
    """Train one patient with these faults under observation."""
    samples = _BATCHES * setting.batch
    patient = Patient.admit(
        seed=seed, samples=samples, validation_samples=setting.batch, array=PlanarArray(*setting.array)
    )
    config = TrainingConfig(
        epochs=_EPOCHS,
        batch_size=setting.batch,
        lr=setting.lr,
        ema_decay=None,
        require_steps=False,
        structure_schedule=False,
        seed=seed,
    )
    loop = replace(patient, weights=setting.weights, config=config).new_loop()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZeroWeightWarning)  # zero weights are the point here
        with faults.all_applied(loop, *sickness.faults):
            with watch(loop.model, loss=loop.loss, weights=_asked(setting, sickness, seed)) as run:
                history = loop.run()
            run.log(
                epoch=[r["epoch"] for r in history.epoch_records],
                train_loss=history.train_loss,
                val_loss=history.val_loss,
            )
    return run.trace


def _asked(setting: Setting, sickness: Sickness, seed: int) -> Mapping[str, float] | None:
    """What a user would say was asked for: what was wanted, or (with odd seeds) nothing, as most do.

    Wrong weights by configuration are what the configuration asks for; a weight lost on the way is not, and without the
    configuration nobody can tell it from a choice, so there it is always given.
    """
    if sickness.truth == "loss_initialisation":
        return setting.weights
    return None if seed % 2 else {**setting.weights, **sickness.configured}
