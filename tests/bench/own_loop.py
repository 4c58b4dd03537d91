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
from kit.recording import Trace, watch
from kit.training import System, TrainingConfig
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
class Combination:
    """Faults applied together, and the hypothesis they make true; "none" where nothing is broken by them.

    configured: weights that a configuration with this fault in it asks for.
    """

    name: str
    faults: tuple[faults.Fault, ...]
    truth: str
    configured: Mapping[str, float] = field(default_factory=dict)


def _faulty(*applied: faults.Fault, configured: Mapping[str, float] | None = None) -> Combination:
    return Combination(" + ".join(fault.key for fault in applied), applied, applied[0].hypothesis, configured or {})


COMBINATIONS = (
    Combination("as it is", (), NONE),
    # a weight that is not set keeps its value, and a sum over taken steps is the sum when every step is taken
    Combination("schedule_omits_lam_cov", (faults.ScheduleOmitsLamCov(),), NONE),
    Combination("loss_counted_on_steps_only", (faults.LossCountedOnStepsOnly(),), NONE),
    _faulty(faults.AllWeightsZero(), configured=dict.fromkeys(TRAINER_AFTER_FIX, 0.0)),
    _faulty(faults.LamCovZero(), configured={"lam_cov": 0.0}),
    _faulty(faults.TermsCancel()),
    _faulty(faults.WeightNotPassed()),
    _faulty(faults.SearchSetsLamCovZero()),
    _faulty(faults.BlendMissing()),
    _faulty(faults.BlendMissingFactorsZero()),
    _faulty(faults.FactorHeadsZero()),
    _faulty(faults.HeadsStartAtZero()),
    _faulty(faults.AllOutputsZero()),
    _faulty(faults.NanGradients()),
    Combination("nan_gradients in one head", (faults.NanGradients(prefix="heads.k_logits"),), "nan_gradients"),
    _faulty(faults.NanLossReadAsZero()),
    _faulty(faults.NanGradients(), faults.LossCountedOnStepsOnly()),
    _faulty(faults.LossOutsideLoop()),
    _faulty(faults.WarmUpAtZero()),
)


def own_loop_trials() -> Iterator[Trial]:
    for setting in SETTINGS:
        for seed in SEEDS[setting.split]:
            for combination in COMBINATIONS:
                yield Trial(
                    OWN_LOOP,
                    combination.name,
                    combination.truth,
                    setting.name,
                    seed,
                    setting.split,
                    partial(record, setting, combination, seed),
                )


def record(setting: Setting, combination: Combination, seed: int) -> Trace:
    """Train one system with these faults under observation."""
    samples = _BATCHES * setting.batch
    system = System.generate(
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
    loop = replace(system, weights=setting.weights, config=config).new_loop()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZeroWeightWarning)  # zero weights are the point here
        with faults.all_applied(loop, *combination.faults):
            with watch(loop.model, loss=loop.loss, weights=_asked(setting, combination, seed)) as run:
                history = loop.run()
            run.log(
                epoch=[r["epoch"] for r in history.epoch_records],
                train_loss=history.train_loss,
                val_loss=history.val_loss,
            )
    return run.trace


def _asked(setting: Setting, combination: Combination, seed: int) -> Mapping[str, float] | None:
    """What a user would say was asked for: what was wanted, or (with odd seeds) nothing, as most do.

    Wrong weights by configuration are what the configuration asks for; a weight lost on the way is not, and without the
    configuration nobody can tell it from a choice, so there it is always given.
    """
    if combination.truth == "loss_initialisation":
        return setting.weights
    return None if seed % 2 else {**setting.weights, **combination.configured}
