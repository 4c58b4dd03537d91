"""The report's action plan: what its fix does to a faulty run, what cures it, and a finding that follows what was measured."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

import kit
from kit import faults, whatif
from kit.hypotheses import ALL, all_checks
from kit.hypotheses.likelihoods import NONE, Likelihoods
from kit.studies import Setup, the_reports_fix
from kit.studies.answered import answer_of
from kit.studies.expected import expectations, expected_table
from kit.studies.overfit_thrice import overfit_thrice, overlay
from kit.studies.questions.nan_gradients import ALL_CASE, one_batch_with_nan
from kit.studies.questions.the_reports_fix import (
    ALL_COUNTED,
    AS_RECORDED,
    BOTH,
    FAULTS,
    NAN_GONE,
    OPTION_1,
    OPTION_2,
    debug_values,
    fix_panel,
)
from kit.studies.symptom import is_cured
from tests.training._runs import small_system

SEEN_WITH_NAN = {"train_reads_zero", "validation_level", "no_steps", "display_differs"}


@pytest.fixture(scope="module")
def system():
    return small_system(structure_schedule=False)


@pytest.fixture(scope="module")
def faulty_system(system):
    return faults.FaultySystem(system, FAULTS, epochs=2)


@pytest.fixture(scope="module")
def healthy(system):
    return system.run()


@pytest.fixture(scope="module")
def step(system):
    return one_batch_with_nan(system)


@pytest.fixture(scope="module")
def overfit(faulty_system):
    return overfit_thrice(faulty_system, samples=8, epochs=3)


@pytest.fixture(scope="module")
def likelihoods():
    """Made by hand: a cause is seen by its own signs, and NaN gradients by what they do to the loop as well."""
    counts = {(NONE, "by hand"): {entry.key: (0, 10) for entry in all_checks(ALL)}}
    for hypothesis in ALL:
        seen = {sign.key for sign in hypothesis.signs}
        seen |= SEEN_WITH_NAN if hypothesis.key == "nan_gradients" else set()
        counts[hypothesis.key, "by hand"] = {e.key: (9, 1) if e.key in seen else (1, 9) for e in all_checks(ALL)}
    return Likelihoods(counts)


@pytest.fixture(scope="module")
def results(system, faulty_system, step, likelihoods, overfit):
    """The study on a small system, its diagnosis by likelihoods made by hand, its overfit test a short one."""

    def diagnosis(results):
        return kit.diagnose(results.runs[AS_RECORDED], likelihoods=likelihoods).confirmed_by(faulty_system)

    study = replace(the_reports_fix, after={"diagnosis": diagnosis, "overfit": lambda _: overfit})
    return study.prepare(system, step=step).train()


@pytest.fixture(scope="module")
def runs(results):
    return results.runs


@pytest.fixture(scope="module")
def diagnosis(results):
    return results.facts["diagnosis"]


def with_run(results, diagnosis=None, **changed):
    assert set(changed) <= set(results.runs)
    facts = results.facts if diagnosis is None else {**results.facts, "diagnosis": diagnosis}
    return replace(results, runs={**results.runs, **changed}, facts=facts)


# the fixes


def test_both_options_move_the_level_as_the_weights_say_and_cure_nothing(runs):
    """Second way: 0.7 of the validation NMSE on top, from the faulty run alone."""
    faulty = runs[AS_RECORDED]
    level = faulty.val_loss[0] + (1.0 - 0.3) * faulty.epoch_records[0]["val_loss_nmse"]
    for option in (OPTION_1, OPTION_2):
        history = runs[option]
        assert history.train_loss == [0.0, 0.0]
        assert history.val_loss == pytest.approx([level] * 2, rel=1e-5)
        assert history.epochs["lam_cov"].tolist() == [1.0, 1.0] and not is_cured(history)


def test_without_the_nan_it_is_the_run_that_was_never_faulty(runs, healthy):
    for name in (NAN_GONE, BOTH):
        assert runs[name].epoch_records == healthy.epoch_records
        assert is_cured(runs[name])


def test_counting_every_batch_tells_the_truth_and_takes_no_step(runs):
    history = runs[ALL_COUNTED]
    mean = history.steps.groupby("epoch").loss.mean().tolist()
    assert history.train_loss == pytest.approx(mean, rel=1e-12) and min(mean) > 1
    assert len(set(history.val_loss)) == 1 and not is_cured(history)


def test_two_fixes_are_both_applied(system, healthy):
    """Second way: the faulty system with its own fix."""
    broken = (faults.LossOutsideLoop(), faults.NanGradients())
    keys = ("nan_gradients", "loss_outside_loop")
    first, second, both = (Setup("x", broken, fixes=fixes).run(system) for fixes in (keys[:1], keys[1:], keys))
    assert both.epoch_records == healthy.epoch_records
    assert first.epochs["loss_calls"].tolist() == [1, 1]
    assert second.epochs["steps_taken"].tolist() == [0, 0]
    alone = faults.FaultySystem(system, broken, epochs=2).run(fix="nan_gradients")
    assert first.epoch_records == alone.epoch_records


def test_a_fix_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="fixes should be of .*Found 'more_epochs'"):
        Setup("x", fixes=("more_epochs",))


def test_a_cure_needs_both_numbers(healthy, runs):
    level = [{**record, "val_loss": 1.0} for record in healthy.epoch_records]
    zero = [{**record, "train_loss": 0.0} for record in healthy.epoch_records]
    assert is_cured(healthy)
    assert not is_cured(replace(healthy, epoch_records=level))
    assert not is_cured(replace(healthy, epoch_records=zero))


def test_the_claims_follow_the_runs(results, healthy):
    assert [claim.holds for claim in results.claims] == [False, False, False, True, False, True]
    faulty = results.runs[AS_RECORDED]
    zeroed = replace(faulty, epoch_records=[{**record, "lam_cov": 0.0} for record in faulty.epoch_records])
    changed = {AS_RECORDED: zeroed, OPTION_1: healthy, OPTION_2: healthy, NAN_GONE: faulty, ALL_COUNTED: healthy}
    claims = with_run(results, **changed).claims
    assert [claim.holds for claim in claims] == [True, True, True, False, True, False]
    assert claims[-1].measured.startswith("another run: train ")


# what the report expects


def history_of(train, validation, gradients):
    epochs = [{"train_loss": t, "val_loss": v} for t, v in zip(train, validation, strict=True)]
    return kit.training.TrainingHistory(epochs, [{"grad_norm": norm, "nan_replaced": nan} for norm, nan in gradients])


@pytest.mark.parametrize(
    ("train", "verdict"),
    [
        ([1.2, 0.3], "confirmed"),
        ([0.5, 0.4], "confirmed"),
        ([2.0, 2.0], "partly"),
        ([3.8, 3.5], "partly"),
        ([0.0, 0.0], "refuted"),
        ([0.4, 0.4], "refuted"),
        ([math.nan, 1.0], "refuted"),
    ],
)
def test_the_expected_start_and_fall(train, verdict):
    assert expectations(history_of(train, [2.0, 1.0], [(1.0, 0)]))[0].verdict == verdict


@pytest.mark.parametrize(
    ("validation", "verdict", "said"),
    [
        ([2.0, 2.5, 1.9], "confirmed", "lower in 1 of 2 epochs"),
        ([2.0, 3.0, 2.5], "partly", "lower in 1 of 2 epochs"),
        ([2.0, 2.0, 2.0], "refuted", "lower in 0 of 2 epochs"),
        ([1.0, 2.0, 3.0], "refuted", "lower in 0 of 2 epochs"),
        ([4.0], "refuted", "lower in 0 of 0 epochs"),
    ],
)
def test_the_expected_validation(validation, verdict, said):
    judged = expectations(history_of([1.0] * len(validation), validation, [(1.0, 0)]))[1]
    assert judged.verdict == verdict and judged.measured.endswith(said)


@pytest.mark.parametrize(
    ("gradients", "verdict"),
    [
        ([(1.0, 0), (2.0, 0)], "confirmed"),
        ([(1.0, 0), (0.0, 0)], "partly"),
        ([(1.0, 5), (2.0, 0)], "partly"),
        ([(math.inf, 0)], "partly"),
        ([(0.0, 5)], "refuted"),
    ],
)
def test_the_expected_gradients(gradients, verdict):
    assert expectations(history_of([1.0], [1.0], gradients))[2].verdict == verdict


def test_the_table_of_expectations_judges_every_run(runs):
    frame = expected_table(runs).frame.set_index("run")
    assert list(frame.index) == list(runs)
    gradients = frame["gradients finite and not 0"]
    assert gradients[OPTION_1] == "refuted: NaN in 6 of 6 steps, norm 0"
    assert gradients[NAN_GONE].startswith("confirmed: NaN in 0 of 6 steps")
    for name in (AS_RECORDED, OPTION_1, OPTION_2):
        assert all(cell.startswith("refuted: ") for cell in frame.loc[name])


# one step


def test_the_debug_values_are_the_loss(system, step):
    rows = debug_values(step.reports["as it is"]).frame
    assert list(rows["weight name"][:-1]) == list(system.weights)
    assert list(rows["weight"][:-1]) == pytest.approx(list(system.weights.values()))
    products = [w * v for w, v in zip(rows["weight"][:-1], rows["value"][:-1], strict=True)]
    assert list(rows["product"][:-1]) == pytest.approx(products)
    loss = system.new_loss()
    prediction = kit.training.predict(system.new_model(), system.batch(), 0.3)
    assert rows["product"].iloc[-1] == pytest.approx(loss(prediction, system.batch().target).item(), rel=1e-5)


def test_no_weight_makes_the_gradient_a_number(step):
    panel = fix_panel(step)
    assert panel.case == ALL_CASE and panel.weights["lam_cov"] == 1.0
    faulty, well = (step.reports[case] for case in (ALL_CASE, "as it is"))
    for lam_cov in (0.1, 0.3, 1.0):
        assert math.isnan(whatif.grad_norm(faulty, {"lam_cov": lam_cov}))
        assert whatif.grad_norm(well, {"lam_cov": lam_cov}) > 0
    asked = {(preset["case"], preset["weights"].get("lam_cov")) for preset in panel.to_record()["data"]["presets"]}
    assert len(asked) == 4, "both states, as recorded and with the fix"


# the overfit test


def test_the_overfit_test_before_and_after(faulty_system, overfit):
    """Second way: the faulty run of the test without its NaN is the test's own healthy run, epoch by epoch."""
    before, after = overfit.before, overfit.after.history
    assert before.train_loss == [0.0] * 3 and len(set(before.val_loss)) == 1
    assert before.settings["config"] == after.settings["config"]
    scenes = faulty_system.system.train[:8]
    config = kit.training.TrainingConfig(**after.settings["config"])
    weights = overfit.before.epochs.filter(like="lam_").iloc[0].to_dict()
    assert [name for name, value in weights.items() if value] == ["lam_cov"] and weights["lam_cov"] == 1.0
    same = replace(faulty_system.system, train=scenes, validation=scenes, config=config, weights=weights)
    mended = replace(faulty_system, system=same, epochs=3).run(fix="nan_gradients")
    assert mended.epoch_records == after.epoch_records
    assert overfit.seven.history.epochs["lam_aux"].tolist() == [1.0] * 3


def test_the_overlay_says_its_numbers(overfit):
    shown = overlay(overfit)
    for history in overfit.runs.values():
        assert f"train {history.train_loss[0]:.4f} to {history.train_loss[-1]:.4f}" in shown.alt
    assert shown.numbers["epoch"] == [1, 2, 3] and len(shown.numbers) == 7


# the finding


def test_the_intervention_confirms_the_nan_and_not_the_display(diagnosis):
    assert diagnosis.top.key == "nan_gradients" and diagnosis.top.intervention.confirmed is True
    assert diagnosis.cause("wrong_number").intervention.confirmed is False


def test_the_entry_refutes_the_fix_and_names_what_cures(results, diagnosis, tmp_path):
    panel = results.panel()
    finding = results.finding(panel, command="x")
    assert finding.verdict == "refuted" and "Neither option cures it." in finding.answer
    assert f"validation {results.runs[OPTION_1].val_loss[0]:.4f} in every epoch" in finding.answer
    assert "confirmed by its fix" in finding.answer and f"{diagnosis.top.posterior:.1%}" in finding.answer
    assert finding.answer.endswith(f"What cures the run: {results.caption(NAN_GONE)}; {results.caption(BOTH)}.")
    assert finding.fix.startswith("Find the operation that makes the NaN") and "displayed mean" not in finding.fix
    assert finding.panels == [panel] and "Several faults of the loop acted" in finding.remains
    page = finding.write(tmp_path / "06.html")
    assert the_reports_fix.question in page.path.read_text(encoding="utf-8").replace("&#39;", "'")


def test_the_entry_follows_other_runs(results, healthy, likelihoods):
    faulty = results.runs[AS_RECORDED]
    unknown = kit.diagnose(healthy, likelihoods=likelihoods)
    assert unknown.top is None
    untried = kit.diagnose(faulty, likelihoods=likelihoods)
    assert "its fix was not tried" in with_run(results, untried).finding().answer
    failing = {NAN_GONE: faulty, BOTH: faulty}
    for curing, verdict in (((OPTION_1,), "partly"), ((OPTION_1, OPTION_2), "confirmed")):
        finding = with_run(results, unknown, **failing, **dict.fromkeys(curing, healthy)).finding()
        assert finding.verdict == verdict
        assert f"cures it under: {', '.join(map(results.caption, curing))}." in finding.answer
        assert "names no cause" in finding.answer
        assert finding.answer.endswith("None of the fixes tried cures the run.")
        assert finding.fix.startswith("Try the fix of the next cause")


# the answer in a few lines


def test_the_answer_says_what_was_measured(results, runs, diagnosis):
    """Each number of the box, counted here a second time from the records of the runs."""
    said = results.finding().summary
    faulty, mended = runs[AS_RECORDED], runs[NAN_GONE]
    batches = len(faulty.step_records)
    taken = sum(record["stepped"] for record in faulty.step_records)
    losses = sorted(record["loss"] for record in faulty.step_records)
    first, second = said.wrong.splitlines()
    assert (
        f"NaN in all {batches} batches" in first
        and "no step was taken" in first
        and "validation did not change" in first
    )
    assert "only when a step was taken" in second and "printed a train loss of 0" in second
    recorded, printed, without = (number for _, number in said.evidence)
    assert recorded == f"{taken} of {batches} steps taken"
    assert printed == f"{losses[0]:.2f} to {losses[-1]:.2f}"
    taken = sum(record["stepped"] for record in mended.step_records)
    ends = [f"{curve[0]:.2f} to {curve[-1]:.2f}" for curve in (mended.train_loss, mended.val_loss)]
    assert without == f"{taken} of {batches} steps taken; train {ends[0]}, validation {ends[1]}"
    weights, nan = said.context.splitlines()
    for line, key, believed in ((weights, "loss_weights", "90%"), (nan, "nan_gradients", "1%")):
        cause = diagnosis.cause(key)
        measured = "below 0.1%" if cause.posterior < 0.001 else f"{cause.posterior:.1%}"
        assert line == f"{cause.title}: {believed} in the report, {measured} by what was measured."


def test_the_lines_of_the_answer_are_guards_that_find_it(results):
    """The code is run: on a healthy network it passes, on one whose gradient is NaN it stops."""
    said = results.finding().summary
    for poisoned in (False, True):
        model = torch.nn.Linear(2, 1)
        if poisoned:
            model.weight.register_hook(lambda gradient: gradient * math.nan)
        names = {
            "model": model,
            "loss": torch.nn.functional.mse_loss,
            "batch": torch.ones(3, 2),
            "target": torch.zeros(3, 1),
        }
        names |= {"batch_losses": [3.5, 4.0], "displayed": 3.7}
        if not poisoned:
            exec(said.code, names)  # noqa: S102
            with pytest.raises(AssertionError, match="displayed 0"):
                exec(said.code, {**names, "displayed": 0.0})  # noqa: S102
        else:
            with pytest.raises(AssertionError, match="gradient of weight is not finite"):
                exec(said.code, names)  # noqa: S102


def test_the_answer_follows_other_runs(runs, healthy, diagnosis):
    def said(**changed):
        shown = {"recorded": runs[AS_RECORDED], "without_nan": runs[NAN_GONE], "counted": runs[ALL_COUNTED]}
        return answer_of(diagnosis, **{**shown, **changed})

    level = runs[ALL_COUNTED]  # every batch counted: the NaN alone is left
    only_nan = said(recorded=level, counted=level)
    assert only_nan.wrong.startswith("The gradient was NaN") and "printed" not in only_nan.wrong
    assert "displayed" not in only_nan.code and "train printed 0" not in only_nan.evidence[1][0]
    only_display = said(without_nan=runs[AS_RECORDED])  # taking the NaN away changed nothing
    assert only_display.wrong.startswith("The loop added") and "NaN" not in only_display.wrong + only_display.code
    assert said(recorded=healthy) is None
