"""What was wrong with the recorded run, in a few lines that follow what was measured."""

from __future__ import annotations

from kit.diagnosis import Diagnosis
from kit.hypotheses import ALL
from kit.report import Answer
from kit.studies.symptom import is_unchanged, reads_zero, steps_text, total
from kit.training import TrainingHistory

_BELIEVED = ("loss_weights", "nan_gradients")


def answer_of(
    diagnosis: Diagnosis, *, recorded: TrainingHistory, without_nan: TrainingHistory, counted: TrainingHistory
) -> Answer | None:
    """The answer of the investigation; None where the runs do not show it.

    Args:
        diagnosis: of the recorded run.
        recorded: the run as it was.
        without_nan: the same without the NaN.
        counted: the same with every batch counted in the display.
    """
    wrong, mended = [], []
    if _nan_stops_every_step(recorded) and not is_unchanged(without_nan.val_loss):
        steps = len(recorded.step_records)
        wrong.append(
            f"The gradient was NaN in all {steps} batches and was set to 0, so no step was taken and validation did not change."
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
            ("the run as recorded", steps_text(recorded)),
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
    return nan and total(run, "steps_taken") == 0 and is_unchanged(run.val_loss)


def _losses(run: TrainingHistory) -> str:
    losses = [step["loss"] for step in run.step_records]
    return f"{min(losses):.2f} to {max(losses):.2f}"


def _moved(run: TrainingHistory) -> str:
    (a, *_, b), (c, *_, d) = run.train_loss, run.val_loss
    return f"{steps_text(run)}; train {a:.2f} to {b:.2f}, validation {c:.2f} to {d:.2f}"


def _believed(diagnosis: Diagnosis, key: str) -> str:
    cause = diagnosis.cause(key)
    prior = cause.hypothesis.prior
    believed = "was not named" if prior is None else f"{prior:.0%} in the report"
    return f"{cause.title}: {believed}, {cause.percent} by what was measured."
