"""What a log tells of itself, and what is diagnosed from it: symptoms where there are some, none where there are none."""

from __future__ import annotations

import dataclasses
import json
import math
import random

import pandas as pd
import pytest

import kit
from kit.hypotheses import Observed


def log_of(tmp_path, rows, name="trainer_state.json"):
    path = tmp_path / name
    path.write_text(json.dumps({"log_history": rows}), encoding="utf-8")
    return kit.read_log(path)


def falling(count=40, **more):
    """Rows that learn; `more`: name -> its value at each row."""
    draw = random.Random(0)
    return [
        {"step": 10 * k, "epoch": (k + 1) / 10, "loss": 2 / (1 + k / 9) + draw.random() / 20}
        | {n: of(k) for n, of in more.items()}
        for k in range(count)
    ]


def evaluated(rows, of=lambda k: 2 / (1 + k / 9)):
    return [row | ({"eval_loss": of(k)} if k % 5 == 4 else {}) for k, row in enumerate(rows)]


HEALTHY = {
    "falls": evaluated(falling()),
    "without evaluation": falling(),
    "one epoch": [row | {"epoch": row["epoch"] / 10} for row in falling()],
    "warm-up from 0": evaluated(falling(learning_rate=lambda k: 1e-4 * min(k / 8, 1))),
    "a schedule that ends at 0": evaluated(falling(learning_rate=lambda k: 1e-4 * (1 - (k + 1) / 40))),
    "a gradient scaler that looks for its scale": evaluated(
        falling(grad_norm=lambda k: math.inf if k < 3 or k == 20 else 1.0)
    ),
    "many overflows at first, none later": evaluated(falling(grad_norm=lambda k: math.nan if k < 10 else 1.0)),
    "a frozen group beside the trained one": evaluated(
        falling(**{"lr-Adam/pg1": lambda k: 0.0, "lr-Adam/pg2": lambda k: 1e-3})
    ),
    "a loss of a margin that is 0 in many batches": [
        row | {"loss": 0.0 if k % 3 else row["loss"]} for k, row in enumerate(evaluated(falling()))
    ],
    "fitted by heart": [
        row | {"loss": 10.0 ** (-k / 3) if k < 30 else 0.0} for k, row in enumerate(evaluated(falling()))
    ],
    "in small units": [row | {"loss": row["loss"] * 1e-8} for row in evaluated(falling())],
    "overfits": evaluated(falling(), lambda k: 1 + k / 9),
    "the last row is 0": [row | {"loss": 0.0} if k == 39 else row for k, row in enumerate(evaluated(falling()))],
    "a likelihood below 0": [row | {"loss": 1 - row["step"] / 100} for row in evaluated(falling())],
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_run_that_learns_has_no_symptom(tmp_path, name):
    log = log_of(tmp_path, HEALTHY[name])
    found = kit.diagnose(log)
    assert found.verdict == "nothing_found" and not log.facts["log_symptoms"], found.explain()
    assert "Nothing in these numbers is a symptom." in log.explain()


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_symptom(tmp_path, seed):
    draw = random.Random(seed)
    size, noise, decimals = 10 ** draw.uniform(-4, 3), draw.uniform(0.01, 0.3), draw.choice([None, 4, 6])
    rows = []
    for k in range(draw.randrange(6, 80)):
        row = {
            "epoch": float(k + 1),
            "loss": size * math.exp(-k / 30) * (1 + noise * draw.random()),
            "eval_loss": size * (1 + noise * draw.random()),
        }
        rows.append({n: v if decimals is None or size < 1 else float(f"{v:.{decimals}f}") for n, v in row.items()})
    assert kit.diagnose(log_of(tmp_path, rows)).verdict == "nothing_found"


def dies(at=20, **more):
    return [row | ({"loss": 0.0} if k >= at else {}) for k, row in enumerate(falling(**more))]


DEAD = {  # name -> (rows, what is said, what is named)
    "died": (dies(), "`loss` is positive until step 190 and reads exactly 0 from step 200 on: it died there", None),
    "0 from the start": (
        dies(0),
        "`loss` reads 0 in each of 40 rows and never anything else.",
        None,
    ),
    "the gradient became NaN": (
        dies(grad_norm=lambda k: 1.0 if k < 20 else math.nan),
        "`grad_norm` is NaN or infinite from step 200 on while the loss reads 0: that is how a trainer looks that leaves NaN losses",
        "nan_gradients",
    ),
    "the gradient is NaN": (
        falling(grad_norm=lambda k: math.nan),
        "`grad_norm` is NaN or infinite in every row.",
        "nan_gradients",
    ),
    "the loss became NaN": (
        [row | ({"loss": math.nan} if k >= 30 else {}) for k, row in enumerate(falling())],
        "`loss` is NaN or infinite from step 300 on.",
        None,
    ),
    "rate 0": (
        falling(learning_rate=lambda k: 0.0),
        "`learning_rate` reads 0 in each of 40 rows.",
        "zero_learning_rate",
    ),
    "the rate is gone early": (
        falling(learning_rate=lambda k: 1e-3 * max(0, 1 - k / 10)),
        "`learning_rate` reaches 0 at step 100 of 390.",
        "zero_learning_rate",
    ),
    "the rate is gone, then the loss": (
        dies(30, learning_rate=lambda k: 1e-3 * max(0, 1 - k / 10)),
        "`learning_rate` reaches 0 at step 100 of 390, before the loss died.",
        "zero_learning_rate",
    ),
    "validation stands still": (
        evaluated(falling(), lambda k: 1.92),
        "`eval_loss` is the same number in each of 8 evaluations: 1.92.",
        None,
    ),
    "the loss stands still": (
        [row | {"loss": 0.6931} for row in falling()],
        "`loss` is the same number in each of 40 rows: 0.6931.",
        None,
    ),
    "gradients are 0": (falling(grad_norm=lambda k: 0.0), "`grad_norm` reads 0 in each of 40 rows.", None),
}


@pytest.mark.parametrize("name", DEAD)
def test_a_dead_run_is_told_and_never_called_healthy(tmp_path, name):
    rows, said, cause = DEAD[name]
    log = log_of(tmp_path, rows)
    assert any(sentence.startswith(said) for sentence in log.story), log.story
    assert any(sentence.startswith(said) for sentence in log.facts["log_symptoms"])
    found = kit.diagnose(log)
    assert (found.verdict if found.top is None else found.top.key) == (cause or "unexplained")
    assert "displayed numbers, which cannot establish what happens in the loop" in str(found)
    text = log.explain(found)
    assert "cannot establish" in text and "callbacks=[kit.integrations.HuggingFaceCallback()]" in text
    assert "What fits" in text and text == log.explain()


def test_what_fits_is_asked_of_the_part_after_the_death(tmp_path):
    text = log_of(tmp_path, evaluated(dies(20, grad_norm=lambda k: 1.0), lambda k: 1.0 + k / 40)).explain()
    assert "What fits the part after it, weighed with how often each cause was found in public threads: " in text
    likely = text.partition("public threads: ")[2].partition("\n")[0]
    assert likely.count("%") >= 2


def test_few_decimals_are_said_and_no_proof(tmp_path):
    path = tmp_path / "a.log"
    path.write_text(
        "".join(f"epoch {k} loss {2 * 0.5**k:.3f} val_loss {2 - k / 99:.1f} lr {1e-5:.4f}\n" for k in range(20)),
        encoding="utf-8",
    )
    log = kit.read_log(path)
    story = "\n".join(log.story)
    assert "reads 0.000 from epoch 12 on. Only 3 decimals were written, so it need not be exact" in story
    assert "died" not in story and "lr" not in log.steps and kit.diagnose(log).verdict == "nothing_found"


def test_two_evaluations_that_round_to_the_same_say_nothing(tmp_path):
    path = tmp_path / "a.log"
    path.write_text("".join(f"epoch {k} loss {1 - k / 9:.2f} val_loss 0.69\n" for k in range(2)), encoding="utf-8")
    assert kit.diagnose(kit.read_log(path)).verdict == "nothing_found"


def test_a_term_that_is_always_0_is_told(tmp_path):
    log = log_of(tmp_path, falling(**{"loss/kl": lambda k: 0.0, "train/rec_loss": lambda k: 1 / (1 + k)}))
    assert "The term `loss/kl` reads 0 in each of 40 rows." in log.story
    assert log.names["loss/kl"] == "the term kl" and log.steps["logged:rec"].iloc[1] == 0.5


def test_the_only_part_is_the_total(tmp_path):
    log = log_of(tmp_path, [{"step": k, "nll_loss": 0.0} for k in range(9)])
    assert log.names["nll_loss"] == "train_loss" and log.epochs["train_loss"].eq(0).all()


def test_what_is_not_in_a_log_is_not_observed(tmp_path):
    seen = Observed.of(log_of(tmp_path, evaluated(falling())))
    for name in ("batches", "backwards", "steps", "drift", "update_norm", "loss", "lr", "grad_norm", "grad_nonfinite"):
        assert not seen.over_steps(name).size and not seen.over_epochs(name).size, name
    found = kit.diagnose(log_of(tmp_path, evaluated(falling())))
    answered = {result.key for result in found.results if result.yes is not None}
    assert answered == {"train_reads_zero", "validation_level", "losses_diverge"}
    assert {"gradients", "optimizer", "parameters", "forward"} <= {*found.chain.not_observed}


def test_a_log_is_frozen_and_shows_what_it_understood(tmp_path):
    log = log_of(tmp_path, [row | {"<foo>": 1.0, "bar": "x"} for row in evaluated(falling())])
    with pytest.raises(dataclasses.FrozenInstanceError):
        log.source = ""
    copied = log.epochs
    copied["train_loss"] = 0.0
    log.facts["log"] = ""
    log.names.clear()
    assert log.epochs["train_loss"].gt(0).all() and log.facts["log"] == "trainer_state.json"
    assert log.names["loss"] == "train_loss" and log.names["<foo>"] == "" and "bar" not in log.names
    assert "`loss` read as train_loss" in str(log) and "not understood: `<foo>`." in str(log)
    assert "&lt;foo&gt;" in log._repr_html_() and "<foo>" not in log._repr_html_()
    assert isinstance(log.steps, pd.DataFrame) and "rows=40" in repr(log)


def test_by_what_a_row_of_epochs_is_one(tmp_path):
    assert log_of(tmp_path, evaluated(falling())).facts["log_row"] == "evaluation"
    assert log_of(tmp_path, falling()).facts["log_row"] == "epoch" and len(log_of(tmp_path, falling()).epochs) == 4
    one = log_of(tmp_path, [row | {"epoch": 0.5} for row in falling()])
    assert one.facts["log_row"] == "row" and one.epochs["train_loss"].tolist() == [row["loss"] for row in falling()]
