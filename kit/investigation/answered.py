"""What was wrong with the recorded run, in a few lines that follow what was measured."""

from __future__ import annotations

from kit.diagnosis import Diagnosis
from kit.hypotheses import ALL
from kit.investigation.fault_runs import FaultRuns, is_level, reads_zero, spoken_steps, total
from kit.report import Answer
from kit.training import TrainingHistory

_BELIEVED = ("loss_weights", "nan_gradients")


def answer_of(runs: FaultRuns, diagnosis: Diagnosis, *, faulty: str, nan_gone: str, all_counted: str) -> Answer | None:
    """The answer of the investigation; None where the runs do not show it.

    Args:
        runs: the recorded run under several fixes.
        diagnosis: of the recorded run.
        faulty, nan_gone, all_counted: names of the run as recorded, of the one without the NaN, and of the one whose display
            counts every batch.
    """
    recorded, without_nan, counted = (runs.runs[name] for name in (faulty, nan_gone, all_counted))
    wrong, mended = [], []
    if _nan_stops_every_step(recorded) and not is_level(without_nan.val_loss):
        steps = len(recorded.step_records)
        wrong.append(
            f"The gradient was NaN in all {steps} batches and was set to 0, so no step was taken and validation stayed level."
        )
        mended.append("nan_gradients")
    if reads_zero(recorded.train_loss) and not reads_zero(counted.train_loss):
        wrong.append(
            "The loop added a batch's loss to its sum only when a step was taken, so it printed a train loss of 0."
        )
        mended.append("wrong_number")
    if not wrong:
        return None
    known = {hypothesis.key: hypothesis for hypothesis in ALL}
    return Answer(
        wrong="\n".join(wrong),
        evidence=[
            ("the run as recorded", spoken_steps(recorded)),
            (
                "loss of a batch, where train printed 0" if reads_zero(recorded.train_loss) else "loss of a batch",
                _losses(recorded),
            ),
            ("with the NaN removed, and nothing else", _moved(without_nan)),
        ],
        action=" ".join(known[key].fix for key in mended),
        code="".join(known[key].guard for key in mended).rstrip(),
        context="\n".join(_believed(diagnosis, key) for key in _BELIEVED),
    )


def _nan_stops_every_step(run: TrainingHistory) -> bool:
    nan = all(step["nan_replaced"] > 0 for step in run.step_records)
    return nan and total(run, "steps_taken") == 0 and is_level(run.val_loss)


def _losses(run: TrainingHistory) -> str:
    losses = [step["loss"] for step in run.step_records]
    return f"{min(losses):.2f} to {max(losses):.2f}"


def _moved(run: TrainingHistory) -> str:
    (a, *_, b), (c, *_, d) = run.train_loss, run.val_loss
    return f"{spoken_steps(run)}; train {a:.2f} to {b:.2f}, validation {c:.2f} to {d:.2f}"


def _believed(diagnosis: Diagnosis, key: str) -> str:
    cause = diagnosis.cause(key)
    prior = cause.hypothesis.prior
    believed = "was not named" if prior is None else f"{prior:.0%} in the report"
    return f"{cause.title}: {believed}, {cause.percent} by what was measured."
