"""Every check, on runs made by hand: what makes it say yes, what makes it say no, and that it is silent without its columns."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from kit.hypotheses import ALL, all_checks
from tests.diagnosis._runs import healthy, observed

NAN = math.nan


def _of(key):
    return next(entry for entry in all_checks(ALL) if entry.key == key)


def _weights(values, at_entry=None, asked=None, default=None, **columns):
    steps = {name: [value] * 4 for name, value in {**values, **columns}.items()}
    terms = {
        name.removeprefix("term:"): f"lam_{name.removeprefix('term:')}" for name in columns if name.startswith("term:")
    }
    return observed(
        steps, weights_at_entry=at_entry, weights_asked=asked, weights_default=default or values, term_weights=terms
    )


def _outputs(outputs, zero=0, constant=0, nonfinite=0):
    columns = {"outputs": outputs, "outputs_zero": zero, "outputs_constant": constant, "outputs_nonfinite": nonfinite}
    return observed({name: [float(value)] * 5 for name, value in columns.items()})


def _gradients(tensors, zero=0, none=0):
    return observed({"grad_zero": [zero] * 5, "grad_none": [none] * 5, "grad_tensors": [tensors] * 5})


def _steps(per_epoch, **columns):
    run = healthy()
    return replace(run, epochs=run.epochs.assign(steps=per_epoch, **columns))


def _read(zero=(), weighed_zero=(), **facts):
    """A run of which the terms a and b were read from its graph."""
    known = {"terms_read": ["a", "b"], "terms_always_zero": list(zero), "terms_weighed_zero": list(weighed_zero)}
    return replace(healthy(), facts={**healthy().facts, "trainable": 4, **known, **facts})


def _operation(kind):
    return _read(suspicious_operations=[{"kind": kind, "found": "what", "source": "train.py:3"}])


def _optimizers(*without):
    """Ten steps of each, and how many of them without a gradient; those of a negative number were never fed."""
    rows = [
        {"kind": "Adam", "source": "train.py:9", "looked": 10, "fed": 10 * (none >= 0), "without_gradient": abs(none)}
        for none in without
    ]
    return replace(healthy(), facts={**healthy().facts, "optimizer_records": rows})


def _epochs(**columns):
    run = healthy()
    return replace(run, epochs=run.epochs.assign(**columns))


def _with_margin(losses):
    columns = {"loss": losses, "backwards": [1] * 4, "outputs_spread": [0.8, 0.5, 0.3, 0.2]}
    return observed(columns, loss_margin=0.3)


def _accumulated(factor, train_loss=(1.0, 0.8, 0.7)):
    """Four backward passes for each step; what was differentiated is displayed unless `train_loss` says otherwise."""
    run = _read(total_factor=factor)
    columns = {"steps": 1.0, "train_loss": list(train_loss), "loss_mean": [1.0, 0.8, 0.7]}
    return replace(run, epochs=run.epochs.assign(**columns))


AB = {"lam_a": 1.0, "lam_b": 0.5}
YES_AND_NO = {
    "train_reads_zero": (healthy(train_loss=[0.0, 1e-8, 0.0]), healthy()),
    "validation_level": (healthy(val_loss=[2.0] * 3), healthy()),
    "display_differs": (healthy(train_loss=[0.0] * 3), healthy()),
    "validation_display_differs": (healthy(eval_loss_mean=[9.0, 8.9, 8.8]), healthy(eval_loss_mean=[3.0, 2.6, 2.2])),
    "loss_zero": (healthy(loss=[0.0] * 12), healthy()),
    "loss_nonfinite": (healthy(loss=[NAN] * 12), healthy()),
    "all_weights_zero": (_weights({"lam_a": 0.0, "lam_b": 0.0}), _weights({"lam_a": 0.0, "lam_b": 1.0})),
    "main_weight_zero": (_weights({"lam_a": 0.0, "lam_b": 1.0}), _weights({"lam_a": 1.0, "lam_b": 0.0})),
    "weight_overwritten_with_zero": (_weights({"lam_a": 0.0}, at_entry={"lam_a": 1.0}), _weights(AB, at_entry=AB)),
    "weight_left_at_default": (
        _weights({"lam_a": 0.3}, asked={"lam_a": 1.0}, default={"lam_a": 0.3}),
        _weights(AB, asked=AB, default={"lam_a": 0.3}),
    ),
    "weight_asked_but_zero": (
        _weights({"lam_a": 0.0}, asked={"lam_a": 1.0}),
        _weights({"lam_a": 0.0}, asked={"lam_a": 0.0}),
    ),
    "terms_cancel": (
        _weights(AB, **{"term:a": 2.0, "term:b": 3.0}, loss_returned=0.0),
        _weights(AB, **{"term:a": 2.0, "term:b": 3.0}, loss_returned=3.5),
    ),
    "sum_disagrees": (
        _weights(AB, **{"term:a": 2.0, "term:b": 3.0}, loss_returned=5.0),
        _weights(AB, **{"term:a": 2.0, "term:b": 3.0}, loss_returned=3.5),
    ),
    "weight_without_term": (
        observed(ignored_weights=["lam_b"], terms_without_weight=[]),
        observed(ignored_weights=[], terms_without_weight=[]),
    ),
    "prediction_missing": (observed({"missing_keys": ["R_blend"] * 4}), observed({"missing_keys": [""] * 4})),
    "term_always_zero": (_read(zero=["a"]), _read()),
    "graph_weights_zero": (_read(weighed_zero=["a", "b"]), _read(weighed_zero=["a"])),
    "branch_gradient_zero": (_read(zero_gradients=["gate.weight"]), _read(zero_gradients=["a", "b", "c", "d"])),
    "broadcasts": (_operation("broadcast"), _operation("double_activation")),
    "activation_twice": (_operation("double_activation"), _read()),
    "infinity_zeroed": (_operation("infinity_zeroed"), _operation("nan_replaced")),
    "nan_replaced": (_operation("nan_replaced"), _operation("infinity_zeroed")),
    "term_of_the_same": (_read(terms_of_the_same=["kl"]), _read(terms_of_the_same=[])),
    "outputs_collapse": (
        observed({"outputs_spread": [0.5, 0.1, 1e-3, 1e-4, 1e-5]}),
        observed({"outputs_spread": [2e-4, 2e-4, 1e-4, 1e-4]}),  # small outputs beside a large mean, as from the start
    ),
    "loss_at_margin": (_with_margin([0.9, 0.6, 0.4, 0.33]), _with_margin([0.9, 0.6, 0.2, 0.31])),
    "losses_diverge": (healthy(loss=[10.0**n for n in range(12)]), healthy()),
    "gradients_left": (observed({"grad_left": [1.0] * 4}), observed({"grad_left": [1.0, 0.0, 1.0, 1.0]})),
    "loss_ln2": (healthy(loss=[math.log(2)] * 12), healthy(loss=[math.log(2)] * 11 + [0.6])),
    "term_cut": (_read(terms_cut=["a, cut by detach in loss.py:3"]), _read()),
    "gradients_without_step": (
        healthy(steps=[0.0] * 3, drift=[0.0] * 3),
        healthy(steps=[0.0] * 3, drift=[0.0] * 3, grad_norm=[0.0] * 12),
    ),
    "parameters_cut": (
        _read(unreached_parameters=["a.weight: cut by detach in net.py:3"]),
        _read(unreached_parameters=["a.weight: not used in this step"]),
    ),
    "batches_run_dry": (_epochs(batches=[4.0, 0.0, 0.0]), _epochs(batches=[4.0, 0.0, 4.0])),
    "epochs_without_step": (
        _epochs(steps=[1.0, 0.0, 1.0], scaler_skips=0.0),
        _epochs(steps=[1.0, 1.0, 1.0], scaler_skips=0.0),
    ),
    "steps_without_gradient": (_optimizers(0, 4), _optimizers(1, 10)),
    "one_optimizer_without_gradient": (_optimizers(0, 10), _optimizers(0, -10)),
    "optimizer_never_fed": (_optimizers(0, -10), _optimizers(0, 10)),
    "parameters_restored": (healthy(drift=[0.0] * 3, update_norm=[0.1] * 12), healthy(update_norm=[0.1] * 12)),
    "update_rounded": (
        healthy(seen_norm=[0.1] * 12, lr=[1e-6] * 12, update_norm=[0.0] * 12),
        healthy(seen_norm=[0.1] * 12, lr=[1e-6] * 12, update_norm=[0.0] * 11 + [1e-9]),
    ),
    "learning_rate_vanishes": (healthy(lr=[0.1] * 6 + [1e-9] * 6), healthy(lr=[0.1] * 11 + [0.0])),
    "evaluated_copy_nearly_still": (
        _epochs(drift=1.0, eval_drift=1e-3, val_loss=2.0, train_loss=[3.0, 2.0, 1.0]),
        _epochs(drift=1.0, eval_drift=0.5, val_loss=2.0),
    ),
    "accumulates": (_accumulated(0.25), _accumulated(1.0)),
    "display_divided": (_accumulated(0.25), _accumulated(0.25, train_loss=[4.0, 3.0, 2.0])),
    "outputs_all_zero": (_outputs(4, zero=4), _outputs(4, zero=2)),
    "an_output_stays_zero": (_outputs(4, zero=2), _outputs(4)),
    "outputs_constant": (_outputs(2, constant=2), _outputs(2, constant=1)),
    "outputs_nonfinite": (_outputs(2, nonfinite=1), _outputs(2)),
    "nothing_supervised": (observed({"supervised": [0.0] * 4}), observed({"supervised": [3.0] * 4})),
    "one_class": (
        observed(classes_configured=1),
        observed({"classes": [3.0] * 4, "batch": [8.0] * 4}, classes_configured=5),
    ),
    "nothing_compared": (
        healthy(loss=[0.0] * 12, loss_returned=[0.0] * 12, grad_zero=[4] * 12, grad_norm=[0.0] * 12),
        healthy(loss=[0.0] * 12, loss_returned=[0.0] * 12, grad_zero=[4] * 12, batch=[1.0] * 12),
    ),
    "batch_of_one": (observed({"batch": [1.0] * 4}), observed({"batch": [8.0, 8.0, 1.0]})),
    "gradient_nonfinite": (healthy(grad_nonfinite=[4] * 12), healthy()),
    "gradient_zero": (_gradients(4, zero=3, none=1), _gradients(4, zero=2)),
    "gradient_partly_zero": (_gradients(4, zero=2), _gradients(4)),
    "gradient_missing_in_part": (_gradients(4, none=1), _gradients(4)),
    "loss_without_graph": (observed({"loss_graph": [0.0] * 4}), observed({"loss_graph": [1.0] * 4})),
    "part_cut_off": (observed(cut_off=["Net.body"]), observed(cut_off=[])),
    "term_unreached": (observed(terms_unreached=["loss_box"]), observed(terms_unreached=[])),
    "optimizer_idle": (observed(idle_optimizers=["Adam"]), observed(idle_optimizers=[])),
    "term_without_graph": (observed(terms_without_graph=["b"]), observed(terms_without_graph=[])),
    "constant_loss_live_gradient": (healthy(loss=[0.0] * 12), healthy()),
    "loss_constant": (healthy(loss=[0.7] * 12), healthy()),
    "gradients_cleared": (healthy(seen_none=[4] * 12), healthy()),
    "no_batches": (healthy(batches=[0, 0, 0], backwards=[0] * 3), healthy()),
    "no_steps": (_steps([0, 0, 0], drift=[0.0] * 3), healthy()),
    "no_backward": (healthy(backwards=[0, 0, 0], drift=[0.0] * 3), healthy(backwards=[0, 0, 0])),
    "scaler_skips_most": (
        healthy(scale=[1024.0] * 12, scaler_skips=[4, 4, 4]),
        healthy(scale=[1024.0] * 12, scaler_skips=[1, 0, 0]),
    ),
    "forwards_unreached": (healthy(reached=[1, 1, 1]), healthy()),
    "one_step_an_epoch": (_steps([1, 1, 1]), healthy()),
    "learning_rate_zero": (healthy(lr=[0.0] * 12), healthy(lr=[0.0] + [1e-3] * 11)),
    "parameters_unmoved": (healthy(drift=[0.0] * 3), healthy()),
    "parameters_outside_optimizer": (
        observed(not_in_optimizer_count=4, trainable=8, not_in_optimizer=["a"]),
        observed(not_in_optimizer_count=0, trainable=8, not_in_optimizer=[]),
    ),
    "foreign_parameters": (observed(foreign_in_optimizer_count=2), observed(foreign_in_optimizer_count=0)),
    "all_frozen": (observed(trainable=0, parameters=8), observed(trainable=1, parameters=8)),
    "unregistered_parts": (observed(unregistered=["Linear"]), observed(unregistered=[])),
    "validation_never_ran": (healthy(eval_forwards=[0, 0, 0], val_loss=[2.0] * 3), healthy(eval_forwards=[0, 0, 0])),
    "validation_stale": (healthy(eval_drift=[NAN, 0.0, 0.0], val_loss=[2.0] * 3), healthy(eval_drift=[NAN, 0.0, 0.0])),
}


def test_a_nan_that_is_replaced_in_some_batches_is_no_fault():
    row = {"kind": "nan_replaced", "found": "what", "source": "train.py:3", "of": 5}
    for steps, yes in ((5, True), (2, False)):
        assert _of("nan_replaced")(_read(suspicious_operations=[{**row, "steps": steps}])).yes is yes


def test_an_evaluation_in_training_mode_may_be_among_the_passes_without_gradients():
    shown = {"eval_forwards": [0, 0, 0], "val_loss": [2.0] * 3}
    assert _of("validation_never_ran")(healthy(**shown, side_forwards=[0, 0, 0])).yes is True
    assert _of("validation_never_ran")(healthy(**shown, side_forwards=[1, 1, 1])).yes is None


def test_parameters_that_move_without_an_optimizer_were_trained():
    moved = _steps([0, 0, 0], drift=[0.1, 0.2, 0.1])
    assert _of("no_steps")(moved).yes is False and "moved by 0.2" in _of("no_steps")(moved).because
    assert _of("no_steps")(_steps([0, 0, 0], drift=[0.0] * 3)).yes is True


def test_the_table_below_covers_every_check():
    assert set(YES_AND_NO) == {entry.key for entry in all_checks(ALL)}


@pytest.mark.parametrize("key", YES_AND_NO)
def test_yes_no_and_silent(key):
    yes, no = YES_AND_NO[key]
    assert _of(key)(yes).yes is True, _of(key)(yes).because
    assert _of(key)(no).yes is False, _of(key)(no).because
    nothing = _of(key)(observed())
    assert nothing.yes is None and nothing.because.startswith("not observed: ")


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        ([2.85, 2.45, 2.05], "the mean"),
        ([2.7, 2.3, 1.9], "the last batch"),
        ([3.0, 2.9, 2.8], "smoothed"),
        ([2.9, 2.5, 2.0], "rounded to one decimal"),
    ],
)
def test_honest_displays_are_no_wrong_numbers(shown, why):
    assert _of("display_differs")(healthy(train_loss=shown)).yes is False, why


def test_a_display_of_the_sum_is_no_wrong_number():
    sums = healthy(train_loss=[11.4, 9.8, 8.2], loss_returned_mean=[2.85, 2.45, 2.05], loss_calls=[4, 4, 4])
    assert _of("display_differs")(sums).yes is False


def test_a_sum_loss_may_be_displayed_per_sample_and_a_mean_loss_may_not():
    shares = {"loss_mean": [2.85, 2.45, 2.05], "batch": [8.0] * 12}
    shown = [value / 8 for value in shares["loss_mean"]]
    for reduction, wrong in (("sum", False), ("mean", True)):
        run = healthy(train_loss=shown, **shares)
        run = replace(run, facts={**run.facts, "loss_reduction": reduction})
        assert _of("display_differs")(run).yes is wrong, reduction


def test_a_validation_sum_may_be_displayed_per_sample():
    run = healthy(val_loss=[0.3, 0.26, 0.22], eval_loss_mean=[9.0, 7.8, 6.6])
    assert _of("validation_display_differs")(run).yes is True
    run = replace(run, facts={**run.facts, "loss_reduction": "sum"})
    assert _of("validation_display_differs")(run).yes is False


def test_a_display_of_0_beside_tiny_losses_is_rounded_away():
    tiny = healthy(loss=[3e-6] * 12, loss_returned=[3e-6] * 12, train_loss=[0.0] * 3)
    assert _of("display_differs")(tiny).yes is True
    shown = replace(tiny, epochs=tiny.epochs.assign(train_loss=[3e-6] * 3))
    assert _of("display_differs")(shown).yes is False


def test_gradients_that_never_came_were_not_cleared():
    assert _of("gradients_cleared")(healthy(seen_none=[4] * 12, seen_fed=[4.0] * 12)).yes is True
    assert _of("gradients_cleared")(healthy(seen_none=[4] * 12, seen_fed=[0.0] * 12)).yes is None


def test_the_lines_that_may_have_cleared_them_are_named():
    run = healthy(seen_none=[4] * 12)
    said = {}
    for number, found in enumerate(([], ["train.py:7"], ["train.py:7", "train.py:8"])):
        facts = {**run.facts, "lines": {"backward": ["train.py:6"], "gradients": found}}
        said[number] = _of("gradients_cleared")(replace(run, facts=facts)).fact
    assert said[0] == "no gradient was left at each of 12 measured steps"
    assert said[1] == said[0] + "; train.py:7 stands between backward() and step()"
    assert said[2] == said[0] + "; train.py:7 and train.py:8 stand between backward() and step()"


def test_nan_that_a_hook_on_the_parameters_cleans_is_seen_on_its_way():
    assert _of("gradient_nonfinite")(healthy(flow_nonfinite=[1.0] * 12)).yes is True


def test_an_overflow_while_the_scaler_looks_for_its_scale_is_no_nan_gradient():
    searching = healthy(grad_nonfinite=[4, 4] + [0] * 10, scale=[65536.0] * 12)
    assert _of("gradient_nonfinite")(searching).yes is None


@pytest.mark.parametrize("key", YES_AND_NO)
def test_a_fact_is_part_of_a_yes_and_of_no_other_answer(key):
    for run in (*YES_AND_NO[key], observed()):
        answer = _of(key)(run)
        assert answer.yes is True or not answer.fact
        assert answer.fact == answer.fact.strip().rstrip(".")  # a clause, that stands inside a sentence


EVALUATED = {"batches": [0, 0, 0], "backwards": [0] * 3, "steps": [0] * 3, "train_loss": [0.0] * 3}
ALWAYS_AND_NEARLY = {
    "gradient_nonfinite": (healthy(grad_nonfinite=[4] * 12), healthy(grad_nonfinite=[4] * 11 + [0])),
    "gradients_cleared": (healthy(seen_none=[4] * 12), healthy(seen_none=[4] * 11 + [0])),
    "learning_rate_zero": (
        healthy(lr=[0.0] * 12, drift=[0.0] * 3),
        healthy(lr=[0.0] * 12),  # an optimizer that moves all the same keeps its rate elsewhere
    ),
    "loss_without_graph": (observed({"loss_graph": [0.0] * 12}), observed({"loss_graph": [0.0] * 11 + [1.0]})),
    "loss_nonfinite": (healthy(loss=[NAN] * 12), healthy(loss=[NAN] * 11 + [1.0])),
    "nothing_supervised": (observed({"supervised": [0.0] * 12}), observed({"supervised": [0.0] * 11 + [2.0]})),
    "no_batches": (healthy(**EVALUATED), healthy(**{**EVALUATED, "train_loss": [2.0, 1.5, 1.0]})),
    "no_steps": (_steps([0, 0, 0], drift=[0.0] * 3), _steps([0, 0, 0], drift=[NAN] * 3)),
    "display_differs": (healthy(train_loss=[0.0] * 3), healthy(train_loss=[0.0] * 3, loss=[1e-4] * 12)),
    "validation_display_differs": (
        healthy(val_loss=[9.0] * 3, eval_loss_mean=[3.0, 2.6, 2.2]),
        healthy(val_loss=[9.0, 8.9, 8.8], eval_loss_mean=[3.0, 2.6, 2.2]),
    ),
    "all_weights_zero": (
        _weights({"lam_a": 0.0}, loss=0.0, backwards=1),
        _weights({"lam_a": 0.0}, loss=1.0, backwards=1),  # another part of the loss has no weight
    ),
    "parameters_outside_optimizer": (
        observed(not_in_optimizer_count=8, trainable=8, not_in_optimizer=["a"]),
        observed(not_in_optimizer_count=7, trainable=8, not_in_optimizer=["a"]),
    ),
}


@pytest.mark.parametrize("key", ALWAYS_AND_NEARLY)
def test_a_fact_holds_without_exception(key):
    always, nearly = (_of(key)(run) for run in ALWAYS_AND_NEARLY[key])
    assert always.yes is True and always.fact
    assert nearly.yes is True and not nearly.fact
