"""The affinity check where the sliders go: 0, alone, and the end; and what is said where the loss refuses that."""

from __future__ import annotations

import itertools

import pytest
import torch

from kit import whatif
from kit.stepgraph import DecompositionError, decompose, probe
from kit.stepgraph.slider import MANY, listed, slider_settings
from tests.stepgraph import _probe_cases as cases


@pytest.fixture
def step():
    model, (inputs, target) = cases.make()
    return {k: v.detach().requires_grad_() for k, v in model(inputs).items()}, target


def two(total, lam_a=0.5, lam_b=0.2):
    """A loss of two terms A (about 1) and B; `total(lam_a, lam_b, A, B)`."""

    class Loss:
        def __init__(self):
            self.lam_a, self.lam_b = lam_a, lam_b

        def __call__(self, p, t):
            L = cases.terms(p, t)
            return total(self.lam_a, self.lam_b, L["a"], L["b"])

    return Loss()


@pytest.mark.parametrize(
    "total, where",
    [
        (lambda a, b, A, B: torch.maximum(a * (A + 9), b * B), "lam_a = 0 the loss returns 0.[0-9]+, but .* is 0"),
        (lambda a, b, A, B: torch.relu(a * (A + 9) - b * B), "lam_a = 0 the loss returns 0, but .* is -0"),
        (lambda a, b, A, B: a * A + min(b, 1) * B, "lam_b alone at 2 the loss returns"),
        (lambda a, b, A, B: a * A + (b * B if b > 0.95 else 0), "lam_b alone at 2 the loss returns 0.[0-9]+, but .* 0"),
        (lambda a, b, A, B: a * A + b * B * (1 if a < 1.5 or b < 1.5 else 3), "all weights at 2"),
        (lambda a, b, A, B: a * A + b * B * (b > 0.15 or a > 0), "lam_a = 0 the loss"),
        (lambda a, b, A, B: a * A + b * B + (0 if b else A), "lam_b = 0"),
        (lambda a, b, A, B: a * A + b * B + (float("inf") if b > 1 else 0), "loss returns inf"),
    ],
)
def test_a_total_that_bends_only_where_sliders_go_is_refused(step, total, where):
    loss = two(total, lam_b=0.1)
    with pytest.raises(DecompositionError, match=f"not affine.*{where}.*terms="):
        decompose(loss, *step)
    assert (loss.lam_a, loss.lam_b) == (0.5, 0.1)


def test_an_exposed_loss_is_verified_through_its_forward(step):
    class Loss(cases.Exposed):
        def forward(self, p, t):
            L = self.components(p, t)
            parts = self.lam_a * L["term_a"] + self.lam_b * L["term_b"]
            return parts + min(self.lam_c, 1.75) * L["term_c"]

    with pytest.raises(DecompositionError, match="at lam_c alone at 2 the loss returns") as caught:
        decompose(Loss(), *step)
    assert str(caught.value.__cause__).startswith("Tried: exposed, ") and "exposed" not in str(caught.value)
    assert "at lam_c alone at 2 the loss returns" in str(caught.value.__cause__)


def test_a_weight_alone_is_tried(step):
    class Loss(cases.Weighted):
        def forward(self, p, t):
            return super().forward(p, t) + 0.1 * (1.4 < self.lam_c < 1.6 and not self.lam_a + self.lam_b)

    with pytest.raises(DecompositionError, match="at lam_c alone the loss returns"):
        decompose(Loss(), *step)


def test_given_terms_are_verified_there_too(step):
    loss = two(lambda a, b, A, B: a * A + min(b, 1) * B)
    with pytest.raises(DecompositionError, match="lam_b alone at 2"):
        decompose(loss, *step, terms=lambda p, t: {n: cases.terms(p, t)[n] for n in "ab"})


@pytest.mark.parametrize("loss", [cases.Exposed, cases.Weighted, cases.Branching, cases.Alpha, cases.Dot])
def test_what_passes_is_right_at_every_corner(step, loss):
    loss = loss()
    found = decompose(loss, *step)
    assert not any("refuses" in note for note in found.notes)
    for corner in itertools.product((0.0, 2.0), repeat=3):
        loss.lam_a, loss.lam_b, loss.lam_c = corner
        expected = sum(w * v.item() for w, v in zip(corner, found.values, strict=True))
        assert float(torch.as_tensor(loss(*step)).detach()) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("nothing", [0, 0.0, torch.zeros(())])
def test_a_total_that_is_a_plain_zero_when_all_is_off(step, nothing):
    def total(a, b, A, B):
        return sum(([a * A] if a else []) + ([b * B] if b else []), nothing)

    for lam_a, lam_b in ((0.5, 0.2), (0.5, 0.0)):
        found = decompose(two(total, lam_a, lam_b), *step)
        assert found.way == "float_subclass" and found.names == ("a", "b") and found.notes == ()


def test_a_refused_zero_is_checked_at_a_tiny_weight_and_said(step):
    found = decompose(cases.Guarded(), *step)
    (note,) = found.notes
    assert "refuses any weight at 0, any weight alone, any weight alone at 2 (AssertionError)" in note
    assert "checked at 1e-30" in note

    def bent(a, b, A, B):
        assert a > 0 and b > 0
        return torch.maximum(a * (A + 9), b * B)

    with pytest.raises(DecompositionError, match="lam_a = 0 .1e-30 for 0. the loss returns"):
        decompose(two(bent), *step)


def test_what_the_loss_refuses_is_an_extrapolation(step):
    def total(a, b, A, B):
        if not 0.05 <= b <= 1:
            raise ValueError(f"lam_b should be in [0.05, 1]. Found {b:.3g}")
        return a * A + b * B

    (note,) = decompose(two(total), *step).notes
    assert note.startswith("The loss refuses lam_b = 0, lam_a alone at 2, ")
    assert "lam_a = 0" not in note and "Found 0" in note and note.endswith("so the what-if there is an extrapolation.")


def test_weights_that_must_sum_to_one(step):
    found = decompose(cases.SumToOne(), *step)
    (note,) = found.notes
    assert "refuses any weight at 0, any weight alone, any weight alone at 2, all weights at 2" in note
    assert "add up to 1" in note and "extrapolation" in note

    class Bent(cases.SumToOne):
        def forward(self, p, t):
            return super().forward(p, t) + (self.lam_a == 0)

    with pytest.raises(DecompositionError, match="at lam_a = 0, lam_b = 0.375, lam_c = 0.625 the loss returns"):
        decompose(Bent(), *step)


def test_a_weight_is_called_dead_only_after_it_was_tried(step):
    def total(a, b, A, B):
        return a * A

    (note,) = decompose(two(total), *step).notes
    assert note == "lam_b has no effect on the total: a dead weight (tried at 0 and at 2 too)."

    def shy(a, b, A, B):
        if b > 1:
            raise ValueError("too much")
        return a * A

    notes = decompose(two(shy), *step).notes
    assert not any("dead" in note for note in notes)
    assert any("lam_b = 2 could not be tried (ValueError: too much)" in note for note in notes)

    def stripped(a, b, A, B):
        return torch.mul(A, torch.tensor(float(a), dtype=A.dtype))

    found = decompose(two(stripped), *step)
    assert found.way == "tiny_probe" and any("lam_b has no effect" in note for note in found.notes)


def test_many_weights_are_tried_at_zero_and_together():
    now = {f"lam_{i}": 0.5 for i in range(MANY + 1)}
    settings = slider_settings(now)
    assert len(settings) == len(now) + 1
    assert settings[-1].weights == dict.fromkeys(now, 2.0)
    assert len(slider_settings(dict(list(now.items())[:MANY]))) == 3 * MANY + 1
    assert listed(settings, settings) == "any weight at 0, all weights at 2"
    assert [str(s) for s in slider_settings({"lam_a": 0.5})] == ["lam_a = 0", "lam_a alone at 2"]
    assert slider_settings({"lam_a": 2.0, "lam_b": 0.0})[0].kind == "{} = 0"


def test_the_check_costs_about_four_evaluations_a_term(step):
    m = 12

    class Loss:
        def __init__(self):
            vars(self).update({f"lam_{i}": 0.1 * (i + 1) for i in range(m)})

        def __call__(self, p, t):
            CALLS.append(1)
            return sum(getattr(self, f"lam_{i}") * (p["x"] - i).square().mean() for i in range(m))

    CALLS.clear()
    decompose(Loss(), *step)
    assert 3 * m < len(CALLS) <= 3 * m + 8


CALLS = []  # global, since what a loss holds is put back


def test_a_repeated_decomposition_is_not_checked_again(step):
    class Loss(cases.Weighted):
        def forward(self, p, t):
            CALLS.append(1)
            return super().forward(p, t)

    loss = Loss()
    first = decompose(loss, *step)
    CALLS.clear()
    again = decompose(loss, *step, like=first)
    assert len(CALLS) <= 4
    assert again.way == first.way and [v.item() for v in again.values] == [v.item() for v in first.values]


def test_a_skipped_term_that_leaves_its_random_numbers_to_the_next_is_noted(step):
    class Loss(cases.Weighted):
        def forward(self, p, t):
            total = 0.0
            for lam in (self.lam_a, self.lam_b, self.lam_c):
                if lam > 0:
                    total = total + lam * (p["x"] + torch.randn_like(p["x"])).square().mean()
            return total

    torch.manual_seed(0)
    found = decompose(Loss(), *step)
    assert found.way == "float_subclass"
    assert any("draws other random numbers at lam_a = 0, lam_b = 0" in note for note in found.notes)

    class Bent(Loss):
        def forward(self, p, t):
            return torch.relu(super().forward(p, t) - float(self.lam_a < 0.05))

    with pytest.raises(DecompositionError, match="not affine"):
        decompose(Bent(), *step)


def test_a_rest_that_is_small_beside_the_terms_is_found(step):
    loss = two(lambda a, b, A, B: a * (A + 1e7) + b * B + 0.5 * B)
    found = decompose(loss, *step)
    assert found.way == "float_subclass" and found.names == ("a", "b", "rest")
    assert found.values[2].item() == pytest.approx(0.5 * found.values[1].item(), rel=1e-12)


def test_a_term_below_the_rounding_of_the_rest_is_noted():
    def total(a, b, A, B):
        return torch.add(torch.add(0.3 * A, A, alpha=a), A.sqrt() * 3e-9, alpha=b)

    model, batch = cases.make(torch.float32)
    report = probe(model, two(total), batch)
    assert report.decomposition == "tiny_probe" and report.names == ("a", "b", "rest")
    assert report.norms[1] == 0 and report.L[0] > 0
    notes = [note for note in report.notes if "below rounding" in note]
    assert len(notes) == 1 and notes[0].startswith("b is below rounding")


def test_the_what_if_of_a_probe_equals_the_loss_where_sliders_go():
    model, batch = cases.make()
    report = probe(model, cases.Branching(), batch)
    state = torch.get_rng_state()
    for setting in slider_settings({"lam_a": 0.5, "lam_b": 0.2, "lam_c": 1.5}):
        torch.set_rng_state(state)
        total = cases.Branching(**setting.weights)(model(batch[0]), batch[1])
        assert whatif.total(report, setting.weights) == pytest.approx(float(torch.as_tensor(total).detach()), rel=1e-12)
