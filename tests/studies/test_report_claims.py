"""Sentences of the diagnosis report that can be tested, one by one; data/report_claims.md points here.

Numbers that the table quotes are those of the shipped system's first batch: 16 scenes, the recorded run's initial network.
"""

from __future__ import annotations

import inspect
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import kit
from kit import faults, whatif
from kit.hypotheses import REPORT
from kit.loss import ALL_ZERO, COVARIANCE_ONLY, TRAINER_AFTER_FIX, TRAINER_BEFORE_FIX
from kit.studies.expected import expectations
from kit.studies.symptom import shows_symptom
from kit.training.schedule import SEARCH_RANGES
from tests.training._runs import small_system

# what the report's steps 1 and 2 print
PRINTED_WEIGHTS = ("lam_cov", "lam_cov_pred", "lam_subspace_align", "lam_peak_contrast", "lam_aux", "lam_K")
PRINTED_TERMS = ("loss_nmse", "loss_nmse_pred", "loss_ortho", "loss_K", "aux_l2")


@pytest.fixture(scope="module")
def system():
    return kit.datasets.reference_system()


@pytest.fixture(scope="module")
def batch(system):
    return system.batch(16)


@pytest.fixture(scope="module")
def prediction(system, batch):
    """As in training: R_blend holds 30 % of the sample covariance."""
    with torch.no_grad():
        return kit.training.predict(system.new_model(), batch, 0.3)


@pytest.fixture(scope="module")
def terms(system, batch, prediction):
    with torch.no_grad():
        components = system.new_loss().eval().components(prediction, batch.target)
    return {name: value.item() for name, value in components.items()}


def total_of(terms, weights) -> float:
    names = kit.UltimateHybridLoss.weight_names
    return math.fsum(weights[names[term]] * value for term, value in terms.items())


@pytest.fixture(scope="module")
def total(system, batch, prediction):
    """The loss itself, under some weights."""

    def measured(**weights: float) -> float:
        loss = system.with_weights(**weights).new_loss().eval()
        with torch.no_grad():
            return loss(prediction, batch.target).item()

    return measured


# hypothesis 1


def test_the_total_is_the_sum_of_the_weighted_terms(terms, total):
    """total = (self.lam_cov * loss_nmse + self.lam_cov_pred * loss_nmse_pred + ... other terms)"""
    assert len(terms) == 7 and min(terms.values()) > 0
    assert total() == pytest.approx(total_of(terms, TRAINER_BEFORE_FIX), rel=1e-6)


@pytest.mark.filterwarnings("ignore::kit.loss.ZeroWeightWarning")
def test_lam_cov_zero_makes_the_main_term_zero_and_leaves_the_rest(terms, total):
    """If self.lam_cov = 0, the entire main loss term is zero!"""
    main = 0.3 * terms["loss_nmse"]
    assert 0.0 * terms["loss_nmse"] == 0 and main == pytest.approx(0.2135, rel=1e-3)
    assert total() - total(lam_cov=0.0) == pytest.approx(main, rel=1e-4)
    assert total(lam_cov=0.0) == pytest.approx(3.4338, rel=1e-3)


@pytest.mark.filterwarnings("ignore::kit.loss.ZeroWeightWarning")
def test_a_very_small_lam_cov_makes_the_main_term_small_and_not_zero(terms, total):
    """If lam_cov = 0 (or very small), the main NMSE loss would be zero."""
    small = [lam * terms["loss_nmse"] for lam in (1e-3, 1e-6, 1e-30)]
    assert all(value > 0 for value in small) and f"{small[1]:.6f}" == "0.000001"
    assert total(lam_cov=1e-3) - total(lam_cov=0.0) == pytest.approx(small[0], rel=1e-2)


@pytest.mark.filterwarnings("ignore::kit.loss.ZeroWeightWarning")
def test_without_lam_cov_an_eleventh_of_the_pull_on_the_covariance_stays():
    """lam_cov is 0 (critical weight for NMSE): without R_blend, lam_cov_pred weighs the same error."""
    system = small_system()
    seen = kit.probe(system.new_model(), system.new_loss(), system.batch(8))
    only = {name: TRAINER_BEFORE_FIX[name] for name in ("lam_cov", "lam_cov_pred")}
    both = whatif.grad_norm(seen, {**ALL_ZERO, **only})
    rest = whatif.grad_norm(seen, {**ALL_ZERO, **only, "lam_cov": 0.0})
    assert rest > 0 and both / rest == pytest.approx((0.3 + 0.03) / 0.03, rel=1e-4)


# hypothesis 2


def test_the_constructor_call_of_the_report_leaves_lam_cov_at_its_default():
    """lam_cov is NOT passed during initialization. It uses the default value from __init__: lam_cov: float = 0.3."""
    loss = kit.UltimateHybridLoss(lam_subspace_align=0.05, lam_peak_contrast=0.1, lam_cov_pred=0.03)
    assert inspect.signature(kit.UltimateHybridLoss).parameters["lam_cov"].default == loss.lam_cov == 0.3
    assert loss.weights == dict(TRAINER_BEFORE_FIX)


def test_the_schedule_sets_two_weights_and_only_these():
    """_update_structure_loss_weights() only sets lam_subspace_align and lam_peak_contrast."""
    moved = set()
    for epoch in range(30):
        loss = kit.UltimateHybridLoss(**dict.fromkeys(TRAINER_BEFORE_FIX, 0.123))
        kit.training.update_structure_loss_weights(loss, epoch, 30)
        moved |= {name for name, value in loss.weights.items() if value != 0.123}
    assert moved == {"lam_subspace_align", "lam_peak_contrast"}


def test_a_search_in_its_range_cannot_set_lam_cov_to_zero_and_one_outside_can():
    """If HPO loss weights are applied later, they might set lam_cov=0."""
    low, high = SEARCH_RANGES["lam_cov"]
    draws = low + (high - low) * torch.rand(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for value in (low, *draws.tolist(), high):
        loss = kit.UltimateHybridLoss()
        kit.training.apply_hpo_loss_weights(loss, {"lam_cov": value})
        assert loss.lam_cov == value >= 0.10
    kit.training.apply_hpo_loss_weights(loss, {"lam_cov": 0.0})
    assert loss.lam_cov == 0


# hypotheses 3 to 5


def test_without_blend_the_covariance_is_built_from_the_factors(system, batch):
    """If R_blend is not in y_pred, the loss falls back to constructing R_hat from factors."""
    loss = system.new_loss().eval()
    with torch.no_grad():
        plain = kit.training.predict(system.new_model(), batch)
        A, C = (
            torch.view_as_complex(plain[key].unflatten(-1, (144, -1, 2)))
            for key in ("cov_fact_angle", "cov_fact_range")
        )
        by_hand = A @ A.mH + 0.3 * (C @ C.mH)
        fallen_back = loss.components(plain, batch.target)["loss_nmse"]
        handed_over = loss.components({**plain, "R_blend": by_hand}, batch.target)["loss_nmse"]
    assert "R_blend" not in plain
    assert fallen_back.item() == pytest.approx(handed_over.item(), rel=1e-5)
    assert fallen_back.item() == pytest.approx(1.216, rel=1e-2)


def test_a_fresh_network_has_no_output_that_is_zero(system, batch):
    """All outputs are zero: this is unlikely given the model architecture."""
    for seed in range(5):
        with torch.no_grad():
            outputs = replace(system, seed=seed).new_model()(batch.inputs)
        assert sum(int((value == 0).sum()) for value in outputs.values()) == 0


def test_nan_gradients_are_set_to_zero_after_the_loss_was_computed():
    """Gradients are NaN and being sanitized to 0: they are, and the loss of every batch is what it was."""
    system = small_system(structure_schedule=False)
    history = faults.FaultySystem(system, (faults.NanGradients(),), epochs=1).run()
    entries = sum(parameter.numel() for parameter in system.new_model().parameters())
    assert history.steps["nan_replaced"].tolist() == [entries] * 3
    assert history.steps["grad_norm"].tolist() == [0.0] * 3
    healthy = faults.FaultySystem(system, (), epochs=1).run()
    assert history.steps["loss"][0] == healthy.steps["loss"][0], "the same first batch, before any step"
    assert history.train_loss[0] > 1


def test_the_five_percentages_are_a_distribution():
    """90 %, 5 %, 3 %, 1 %, 1 %: nothing is left for a cause that the report does not name."""
    assert [hypothesis.prior for hypothesis in REPORT] == [0.90, 0.05, 0.03, 0.01, 0.01]
    assert math.fsum(hypothesis.prior for hypothesis in REPORT) == pytest.approx(1)


# the diagnostic steps


def test_step_1_does_not_print_every_weight(terms):
    """Step 1: Check Loss Weights. It prints six of seven; all six can be 0 while the loss is not."""
    assert set(TRAINER_BEFORE_FIX) - set(PRINTED_WEIGHTS) == {"lam_ortho"}
    assert total_of(terms, {**ALL_ZERO, "lam_ortho": 1.0}) > 0.1


def test_step_2_prints_a_total_that_its_terms_do_not_make(terms, total):
    """Step 2: Check Loss Components. It prints five of seven terms; the other two make the difference."""
    printed = total_of({name: terms[name] for name in PRINTED_TERMS}, TRAINER_BEFORE_FIX)
    assert set(terms) - set(PRINTED_TERMS) == {"loss_subspace_align", "loss_peak_contrast"}
    assert total() - printed == pytest.approx(0.0557, rel=1e-2)


def test_step_3_stops_at_the_complex_input(batch):
    """Step 3: print(f"R_in: min={R_in.min():.4f}, ..."): a complex number has no order; the labels have one."""
    assert math.isfinite(batch.ptr.min()) and math.isfinite(batch.ptr.max())
    for read in (torch.Tensor.min, torch.Tensor.max):
        with pytest.raises(RuntimeError, match=r"(?i)complex|not implemented"):
            read(batch.R_samp)


# the fix


def test_lam_cov_was_never_set_to_zero_in_the_recorded_run():
    """VERIFY: Check if lam_cov is being set to 0."""
    recorded = kit.datasets.load_faulty_run()
    assert shows_symptom(recorded)
    assert recorded.epochs["lam_cov"].tolist() == [0.3] * 8
    weights = recorded.epochs.filter(like="lam_")
    assert (weights > 0).all(axis=None) and len(weights.drop_duplicates()) == 1


@pytest.mark.parametrize("lam_cov", [0.1, 0.3, 1.0])
def test_the_symptom_stays_at_every_reasonable_lam_cov(lam_cov):
    """FIX: Ensure lam_cov is always set to a reasonable value (>= 0.1)."""
    faulty = (faults.NanGradients(), faults.LossCountedOnStepsOnly())
    system = small_system(structure_schedule=False).with_weights(lam_cov=lam_cov)
    history = faults.FaultySystem(system, faulty, epochs=2).run()
    assert min(history.epochs["lam_cov"]) >= 0.1 and shows_symptom(history)


def test_option_1_puts_lam_cov_at_one():
    """lam_cov=1.0,  # ADD THIS! Default to 1.0"""
    loss = kit.UltimateHybridLoss(lam_cov=1.0, lam_subspace_align=0.05, lam_peak_contrast=0.1, lam_cov_pred=0.03)
    assert loss.weights == dict(TRAINER_AFTER_FIX)
    kit.training.update_structure_loss_weights(loss, 29, 30)
    assert loss.lam_cov == 1.0


@pytest.mark.filterwarnings("ignore::kit.loss.ZeroWeightWarning")
def test_option_2_as_printed_guards_an_absent_weight_and_not_a_zero_one():
    """if "lam_cov" in weights: ... else: self.loss_fn.lam_cov = 1.0"""
    for weights, in_force in (({}, 1.0), ({"lam_K": 0.1}, 1.0), ({"lam_cov": 0.2}, 0.2), ({"lam_cov": 0.0}, 0.0)):
        loss = kit.UltimateHybridLoss()
        loss.lam_cov = weights["lam_cov"] if "lam_cov" in weights else 1.0  # noqa: SIM401, the report's own lines
        assert loss.lam_cov == in_force
        applied = kit.UltimateHybridLoss()
        kit.training.apply_hpo_loss_weights(applied, weights)
        assert applied.lam_cov == in_force, "the trainer's function does the same"


# expected behaviour


@pytest.fixture(scope="module")
def learnt():
    """The overfit test of a small system, on the covariance term alone and under the report's seven weights."""
    system = small_system()
    tests = {}
    for name, weights in (("covariance", COVARIANCE_ONLY), ("seven", TRAINER_AFTER_FIX)):
        one = replace(system, weights=weights)
        tests[name] = kit.overfit_test(one.new_model(), one.new_loss(), one.train[:8], epochs=12, batch_size=4).history
    return tests


def test_the_train_loss_of_the_covariance_term_starts_in_range_and_falls(learnt):
    """Train loss: Should start around 0.5-2.0 and decrease."""
    assert expectations(learnt["covariance"])[0].verdict == "confirmed"
    start = expectations(learnt["seven"])[0]
    assert start.verdict == "partly" and learnt["seven"].train_loss[0] > 2, start


def test_the_validation_loss_falls_in_the_overfit_test(learnt):
    """Val loss: Should decrease over epochs (overfit test)."""
    assert [expectations(history)[1].verdict for history in learnt.values()] == ["confirmed", "confirmed"]


def test_healthy_gradients_are_finite_and_not_zero_and_faulty_ones_neither(learnt):
    """Gradients: Should be non-zero and finite."""
    assert [expectations(history)[2].verdict for history in learnt.values()] == ["confirmed", "confirmed"]
    assert expectations(kit.datasets.load_faulty_run())[2].verdict == "refuted"


def test_a_falling_train_loss_is_no_proof_of_learning():
    """... and decrease: without one step the displayed loss falls while the share of the sample covariance in R_blend rises."""
    falls = {}
    for blend in (0.3, 0.0):
        system = small_system(structure_schedule=False, epochs=4, blend=blend, batch_size=24)
        history = faults.FaultySystem(system, (faults.NanGradients(),), epochs=4).run()
        assert history.epochs["steps_taken"].sum() == 0
        falls[blend] = history.train_loss[0] - history.train_loss[-1]
    assert falls[0.3] > 0.01 and abs(falls[0.0]) < 1e-5


# the page that lists all of this

ROOT = Path(__file__).resolve().parents[2]


def test_the_list_of_claims_counts_right_and_names_tests_that_exist():
    page = (ROOT / "data" / "report_claims.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")][1:]
    verdicts = [row[1] for row in rows]
    confirmed, partly, refuted = (verdicts.count(word) for word in ("confirmed", "partly", "refuted"))
    said = f"Of {len(rows)} sentences {confirmed} are confirmed, {partly} hold in part and {refuted} are refuted."
    assert said in page and len(rows) == confirmed + partly + refuted
    said = (
        f"{len(rows)} sentences that can be tested, {confirmed} are confirmed, {partly} hold in part and {refuted} are"
    )
    assert said in " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", page)
    assert len(named) == len(rows) + 1 and all(f"def {name}(" in code for name in named)
