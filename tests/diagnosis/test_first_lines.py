"""The usual mistakes, from the program to the first lines that a newcomer reads."""

from __future__ import annotations

import pytest
import torch

import kit
from kit.diagnosis import diagnose
from tests.diagnosis._programs import (
    BATCHES,
    EPOCHS,
    Loss,
    Program,
    Vae,
    clipped_to_a_norm_of_0,
    clipped_to_values_of_0,
    removed,
    watched,
    zeroed,
)
from tests.diagnosis._runs import healthy, observed

STEPS = EPOCHS * BATCHES
NOT_LOGGED = (
    "I have not seen the displayed losses. Log them after the with block, one number per epoch: "
    "run.log(train_loss=[...], val_loss=[...])."
)
NO_SIGN = "No sign of trouble in the loop itself."
UNTRAINED = "Nothing was trained inside the with block: no training batch, no backward pass, no optimizer step."


def lines(trace) -> list[str]:
    return str(diagnose(trace)).split("\n")


def test_a_healthy_run_that_logged_its_losses_is_healthy():
    found = diagnose(watched(Program()))
    assert found.verdict == "healthy" and found.lacks == ()
    said = str(found)
    assert said.startswith("Healthy: no symptom, and no sign of any of the causes that were looked for. Train reads ")
    assert ", validation " in said and "\n" not in said


def test_forgotten_log():
    found = diagnose(watched(Program(), log=False))
    assert (
        found.verdict == "healthy" and found.top is None and found.guard() == ""
    )  # every link of the loop was seen to work
    assert str(found).split("\n") == [
        NOT_LOGGED,
        "Healthy as far as it was seen: no sign of any of the causes that were looked for. Whether 0 is displayed is not known.",
    ]
    last = found.explain().split("\n")[-1]
    assert "Most to gain: run.log(train_loss=[...], val_loss=[...]) (5 checks)" in last


def test_nan_that_was_displayed_was_displayed():
    with kit.watch() as run:
        Program().fit()
    run.log(train_loss=[float("nan")] * EPOCHS)
    assert NOT_LOGGED not in str(diagnose(run.trace))


def test_another_model_than_the_one_that_is_trained():
    found = diagnose(watched(Program(), model=Vae()))
    assert found.verdict == "nothing_found"
    first, second = str(found).split("\n")
    assert first.startswith("The model you passed (Vae) was never called; another Vae was.") and second == NO_SIGN
    other = lines(watched(Program(), model=torch.nn.Linear(2, 2)))
    assert other[0].startswith("The model you passed (Linear) was never called; a Vae was.")


def test_an_empty_block():
    with kit.watch(Vae(), loss=Loss()) as run:
        pass
    found = diagnose(run.trace)
    assert found.verdict == "nothing_found"
    assert str(found).split("\n") == [
        f"{UNTRAINED} Either the training loop is outside of the block, or its loader is empty.",
        "There is no training to judge.",
    ]
    assert "Most to gain: run the training inside the with block (" in found.explain().split("\n")[-1]


def test_an_evaluation_alone_is_no_training():
    program = Program()
    with kit.watch(program.model) as run, torch.no_grad():
        program.model.eval()
        program.model(program.held_out)
    assert lines(run.trace)[0].startswith(f"{UNTRAINED} Evaluation passes: 1. Either")


def test_batches_without_a_backward_pass_are_no_training():
    first, second, *_ = lines(watched(Program(), backward=False))
    assert first == (
        f"Nothing was trained inside the with block: {STEPS} batches passed through the network, and no backward pass and no "
        "optimizer step came after them."
    )
    assert second.startswith("Established: optimizer steps are skipped")


def test_a_training_without_backward_passes_is_a_training():
    """Gradients by torch.autograd.grad, and steps by hand: neither backward nor an optimizer is called."""
    program = Program()
    with kit.watch(program.model) as run:
        for x in program.batches:
            loss = program.loss(program.model(x), x)
            parameters = list(program.model.parameters())
            with torch.no_grad():
                for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                    parameter -= 0.01 * gradient
    assert "Nothing was trained" not in str(diagnose(run.trace))


def test_misspelt_weights():
    found = diagnose(watched(Program(), weights={"kl": 0.1, "beta": 2.0, "lam_rec": 1.0}))
    assert found.verdict == "nothing_found"
    assert str(found).split("\n") == [
        "The loss has no weights of these names: kl (did you mean lam_kl?), beta; its weights are lam_rec, lam_kl.",
        NO_SIGN,
    ]
    assert diagnose(watched(Program(), weights={"lam_kl": 0.1, "lam_rec": 1.0})).verdict == "healthy"


def test_a_weight_by_another_name_is_known_to_be_there():
    class Other(Loss):
        def __init__(self):
            super().__init__()
            self.w_rec = 1.0
            self.register_buffer("scale", torch.tensor(2.0))

    trace = watched(Program(loss=Other()), weights={"w_rec": 1.0, "scale": 2.0})
    assert trace.facts["weights_unknown"] == [] and diagnose(trace).verdict == "healthy"


def test_weights_without_a_loss_that_is_seen():
    program = Program(loss=lambda prediction, target: ((prediction[0] - target) ** 2).mean())
    first = lines(watched(program, weights={"lam_rec": 1.0}))[0]
    assert first == (
        "The loss has no weights of these names: lam_rec; no loss with weights was seen; pass loss=, an nn.Module."
    )


@pytest.mark.parametrize("cleared", [zeroed, removed, clipped_to_a_norm_of_0, clipped_to_values_of_0])
def test_gradients_that_are_gone_before_the_step_however_they_went(cleared):
    said = lines(watched(Program(), cleared=cleared))
    assert said[0] == (
        f"Established: the gradients are gone before the step: no gradient was left at each of {STEPS} measured steps."
    )
    assert said[1].startswith("What happens: The backward pass fills the gradients, something between it and the step")
    assert said[2] == f"Facts: No parameter changed in {STEPS} steps."
    assert said[3] == "The signal ends at: gradients (missing)."
    assert "zero_grad()" in said[4] and "clipping needs a limit above 0" in said[4]


def test_an_empty_loader_is_a_fact_and_no_percentage():
    said = lines(watched(Program(), empty=True))
    assert said[0] == (
        f"Established: the training loader is empty: 0 batches were drawn for training, and {EPOCHS} evaluation passes ran."
    )
    assert not any("%" in line for line in said)


def test_an_empty_loader_is_not_established_where_something_was_trained_elsewhere():
    program = Program()
    with kit.watch(program.model) as run, torch.no_grad():
        program.model.eval()
        program.model(program.held_out)
    run.log(train_loss=[2.0, 1.5, 1.2])
    found = diagnose(run.trace)
    assert found.established == () and found.lacks[0].key == "nothing_trained"


def test_two_causes_that_are_established_are_both_named():
    found = diagnose(watched(Program(lr=0.0), added=False))
    said = str(found).split("\n")
    assert said[0] == f"Established: the learning rate is 0: each of {STEPS} steps had the rate 0."
    assert said[1].startswith(
        "Also established: the displayed number is wrong: 0 was displayed in every epoch, and the "
    )
    assert [line.split(":")[0] for line in said[2:]] == [
        *("What happens", "Facts", "The signal ends at", "What to do", "And")
    ]
    assert said[4] == "The signal ends at: optimizer (zero); display (replaced)."
    assert [cause.key for cause in found.established] == ["zero_learning_rate", "wrong_number"]
    assert found.to_dict()["established"] == ["zero_learning_rate", "wrong_number"]


def test_nan_everywhere():
    said = lines(watched(Program(), poison=True, added=False))
    assert said[0] == (
        f"Established: NaN or infinity in gradients or losses: each of {STEPS} measured steps had NaN or infinity in its gradient."
    )
    assert said[1].startswith("Also established: the displayed number is wrong")
    assert f"Facts: No step of torch.optim was taken after {STEPS} backward passes." in said
    assert "the loss would be" not in "\n".join(said) and "zero loss" not in "\n".join(said)


def test_the_recorded_run_of_the_report():
    said = lines(kit.datasets.load_faulty_run())
    assert said[0].startswith("Established: NaN or infinity in gradients or losses: each of 32 measured steps")
    assert said[1].startswith("Also established: the displayed number is wrong: 0 was displayed in every epoch")
    assert "Facts: No optimizer step was taken after 32 backward passes." in said


def test_nothing_is_called_no_fault_while_a_fact_speaks_for_one():
    """A loss that cannot move since nothing is learnt looks constant by design."""
    level = healthy(loss=[1.0] * 12, lr=[0.0] * 12, drift=[0.0] * 3, train_loss=[1.0] * 3, val_loss=[1.0] * 3)
    found = diagnose(level)
    assert found.cause("constant_by_design").has_sign
    assert found.top.key == "zero_learning_rate" and "nothing in the loop is broken" not in found.explain()
    still = diagnose(healthy(loss=[1.0] * 12, lr=None, steps=[0] * 3, drift=[0.0] * 3, train_loss=[1.0] * 3))
    assert (
        still.cause("constant_by_design").has_sign
        and still.top.key == "steps_skipped"
        and "nothing in the loop is broken" not in still.explain()
    )


def test_the_print_is_short_and_names_no_key():
    for mistakes in ({"cleared": removed}, {"empty": True}, {"poison": True}, {}):
        found = diagnose(watched(Program(), **mistakes))
        assert 1 <= len(str(found).split("\n")) <= 6 and "\n" not in repr(found)
        said = f"{found!r} {found} {found.explain(verbose=True)} {found._repr_html_()}"
        keys = [f.key for f in found.results if "_" in f.key] + [c.key for c in found.causes if "_" in c.key]
        assert not [key for key in keys if key in said]
    assert repr(found) == "Diagnosis(verdict='healthy')"


def test_what_was_not_observed_is_one_line_or_one_for_each():
    found = diagnose(watched(Program()))
    hidden = [finding for finding in found.results if finding.yes is None]
    short, long = found.explain().split("\n"), found.explain(verbose=True).split("\n")
    assert short[-1].startswith(f"{len(hidden)} of {len(found.results)} checks had nothing to look at.")
    assert long[: len(short)] == short and len(long) == len(short) + len(hidden)
    assert all(line.startswith("- ") and "Not observed: " in line for line in long[len(short) :])


def test_what_is_added_answers_as_many_checks_as_was_said():
    """Second way: the addition is made, and the checks are counted."""

    def silent(found):
        return {f.key for f in found.results if f.yes is None}

    without = diagnose(watched(Program(), log=False))
    (log, weights) = without.additions
    logged = diagnose(watched(Program()))
    assert len(silent(without) - silent(logged)) == log.checks
    both = diagnose(watched(Program(), weights={"lam_rec": 1.0, "lam_kl": 0.1}))
    assert len(silent(logged) - silent(both)) == weights.checks
    assert weights.code == 'kit.watch(..., weights={"lam_rec": ..., "lam_kl": ...}) with those of your configuration'


def test_a_plain_function_as_loss_is_worth_a_module():
    loss = Loss()
    plain = diagnose(watched(Program(loss=lambda prediction, target: loss(prediction, target)), log=False))
    assert plain.additions[0].code == "kit.watch(model, loss=loss), with a loss that is an nn.Module"


def test_tables_that_are_no_trace_are_offered_no_additions():
    assert diagnose(healthy()).additions == ()
    assert str(diagnose(observed())).split("\n")[0] == "Nothing was recorded: the tables hold no step and no epoch."


@pytest.mark.parametrize("asked", [{}, {"verbose": True}])
def test_a_saved_trace_says_the_same(tmp_path, asked):
    trace = watched(Program(), model=Vae(), log=False, weights={"kl": 1.0})
    loaded = kit.Trace.load(trace.save(tmp_path / "run.npz"))
    assert diagnose(loaded).explain(**asked) == diagnose(trace).explain(**asked)
    assert [notice.key for notice in diagnose(loaded).lacks] == ["model_not_called", "not_displayed", "unknown_weights"]
