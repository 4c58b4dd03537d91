"""What is measured agrees with a second way to the same number."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kit.recording import watch
from kit.recording.norms import any_nonzero, change, copies, norms_of, reusable, sizes
from tests.recording._loops import BATCH, PlainSum, TwoTerms, adamw, batches, data, job, mlp, sgd


def flat(tensors) -> torch.Tensor:
    return torch.cat([t.detach().double().flatten() for t in tensors])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [1, 100, 40_000, 40_001, 500_000])
def test_norms_keep_four_digits_whatever_the_size(size, dtype):
    generator = torch.Generator().manual_seed(size)
    small = 1e-30 if dtype is not torch.float16 else 1e-3
    drawn = torch.randn(size, generator=generator)
    tensors = [(drawn * scale).to(dtype) for scale in (1.0, small)] + [torch.full((size,), 1e-3, dtype=dtype)]
    expected = [tensor.double().norm().item() for tensor in tensors]
    assert norms_of(tensors) == pytest.approx(expected, rel=5e-5)  # the worst is one number repeated


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_norms_of_large_tensors_keep_six_digits_however_they_lie(dtype):
    drawn = torch.randn(8, 64, 30, 31, generator=torch.Generator().manual_seed(5)).to(dtype)
    tensors = [
        drawn,
        drawn.flatten(1).T,
        drawn.contiguous(memory_format=torch.channels_last),
        drawn[:, ::2],
        drawn.expand(2, *drawn.shape),
        torch.full((100_001,), 1e-3, dtype=dtype),
        torch.zeros(100_001, dtype=dtype),
        torch.full((100_001,), math.inf, dtype=dtype),
    ]
    expected = [tensor.double().norm().item() for tensor in tensors]
    assert norms_of(tensors) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        ([], False),
        ([torch.zeros(3), torch.zeros(0)], False),
        ([torch.zeros(50_000), torch.tensor([0.0, 1e-45])], True),
        ([torch.tensor([math.nan])], True),
        ([torch.zeros(2, dtype=torch.complex64), torch.tensor([0, 1j])], True),
        ([torch.sparse_coo_tensor([[1]], [0.0], (4,), check_invariants=True)], False),
        ([torch.empty(3, device="meta")], None),
    ],
)
def test_whether_anything_is_not_zero(tensors, expected):
    assert any_nonzero(tensors) is expected


def test_memory_of_earlier_copies_is_used_where_it_fits():
    tensors = [torch.arange(6.0).view(2, 3), torch.ones(4, dtype=torch.float64)]
    first = copies(tensors)
    places = [tensor.data_ptr() for tensor in first]
    tensors[0] += 1
    second = copies(tensors, reusable(first))
    assert [tensor.data_ptr() for tensor in second] == places
    assert all(torch.equal(copy, tensor) for copy, tensor in zip(second, tensors, strict=True))
    other = copies([torch.ones(3, 2), tensors[1]], second)
    assert other[0].data_ptr() not in places
    assert reusable([torch.empty(3, device="meta")]) == []


def test_norms_of_gradients_updates_and_parameters():
    one = job(adamw)
    expected = []
    with watch(one.model) as run:
        for x, y in batches():
            one.optimizer.zero_grad()
            one.loss(one.model(x), y).backward()
            raw = flat(p.grad for p in one.model.parameters())
            torch.nn.utils.clip_grad_norm_(one.model.parameters(), 0.05)
            handed = flat(p.grad for p in one.model.parameters())
            before = flat(one.model.parameters())
            one.optimizer.step()
            after = flat(one.model.parameters())
            expected.append([v.norm().item() for v in (raw, handed, after - before, after)])
    found = run.trace.steps[["grad_norm", "seen_norm", "update_norm", "param_norm"]].to_numpy()
    assert np.allclose(found, expected, rtol=1e-5)


def test_drift_is_the_way_from_the_start_of_the_epoch():
    one = job()
    start = flat(one.model.parameters())
    expected = []
    with watch(one.model) as run:
        for _ in range(3):
            one.model.train()
            for x, y in batches():
                one.loss(one.model(x), y).backward()
                one.optimizer.step()
            expected.append((flat(one.model.parameters()) - start).norm().item())
            start = flat(one.model.parameters())
            one.evaluate()
    assert np.allclose(run.trace.epochs["drift"], expected, rtol=1e-5)


def test_gradients_are_those_of_the_backward_pass_not_the_sanitised_ones():
    one = job()
    with watch(one.model) as run:
        for number, (x, y) in enumerate(batches()):
            one.optimizer.zero_grad()
            value = one.loss(one.model(x), y)
            (value * math.nan if number == 1 else value).backward()
            for parameter in one.model.parameters():
                parameter.grad.data = torch.nan_to_num(parameter.grad)
            one.optimizer.step()
    steps = run.trace.steps
    assert steps["grad_nonfinite"].tolist() == [0, 6, 0]
    assert steps["seen_nonfinite"].tolist() == [0, 0, 0]
    assert steps["seen_zero"].iloc[1] == 6
    assert steps["loss"].isna().tolist() == [False, True, False]
    assert math.isnan(steps["grad_norm"].iloc[1])  # no tensor was finite


def test_zero_missing_and_non_finite_tensors():
    odd = [
        torch.zeros(3),
        torch.tensor([1e-30]),
        torch.tensor([3e38, 3e38]),
        torch.tensor([1.0, math.inf]),
        None,
        torch.zeros(0),
        torch.tensor([1e-200, 1e-200], dtype=torch.float64),
        torch.tensor([1e200], dtype=torch.float64),
        torch.tensor([3 + 4j]),
        torch.sparse_coo_tensor([[1, 1]], [3.0, 1.0], (4,), check_invariants=True),
        torch.tensor([2.0], dtype=torch.bfloat16),
    ]
    found = sizes(odd)
    assert (found.zero, found.nonfinite, found.none, found.tensors) == (2, 1, 1, len(odd))
    norms = norms_of([t for t in odd if t is not None])
    assert norms[1] == pytest.approx(1e-30)
    assert norms[2] == pytest.approx(3e38 * math.sqrt(2))
    assert norms[5] == pytest.approx(1e-200 * math.sqrt(2), rel=1e-12)
    assert norms[6:] == pytest.approx([1e200, 5, 4, 2])
    assert sizes([]).tensors == 0
    assert math.isnan(sizes([None]).norm)


def test_change_and_copies_leave_the_tensors_alone():
    tensors = [torch.ones(2, 2), torch.zeros(3, dtype=torch.complex64)]
    before = copies(tensors)
    tensors[0][0, 0] = 4.0
    tensors[1][0] = 4j
    assert change(tensors, before) == pytest.approx(5.0)
    assert before[0].sum() == 4


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (lambda h: h, [1, 0, 0, 0]),
        (lambda h: h * 0, [1, 1, 1, 0]),
        (lambda h: h * 0 + h.detach()[:1], [1, 0, 1, 0]),
        (lambda h: h + math.nan, [1, 0, 0, 1]),
        (lambda h: {"a": h, "b": h * 0, "n": 3}, [2, 1, 1, 0]),
        (lambda h: (h, [h * 0, torch.complex(h, h)]), [3, 1, 1, 0]),
    ],
)
@pytest.mark.parametrize("by_loss", [True, False])
def test_outputs(output, expected, by_loss):
    class Sum(nn.Module):
        def forward(self, prediction, y):
            tensors = [t for t in torch.utils._pytree.tree_leaves(prediction) if isinstance(t, torch.Tensor)]
            return sum(t.abs().sum() for t in tensors)

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp()

        def forward(self, x):
            return output(self.net(x))

    model, loss = Wrapped(), Sum()
    with watch(model) as run:
        prediction = model(data()[0])
        (loss(prediction, data()[1]) if by_loss else Sum.forward(loss, prediction, None)).backward()
    names = ["outputs", "outputs_zero", "outputs_constant", "outputs_nonfinite"]
    assert run.trace.steps[names].to_numpy().tolist() == [expected]


class Supervised(nn.Module):
    ignore_index = -1

    def forward(self, logits, target, mask=None):
        return logits.square().mean()


@pytest.mark.parametrize(
    ("loss", "target", "options", "expected"),
    [
        (nn.CrossEntropyLoss(), torch.tensor([0, 1, 1, -100, 2, 0, 0, 0]), {}, [8, 7, 3]),
        (nn.CrossEntropyLoss(), torch.full((8,), -100), {}, [8, 0, 0]),
        (nn.CrossEntropyLoss(ignore_index=1), torch.tensor([0, 1, 1, 2, 2, 0, 0, 0]), {}, [8, 6, 2]),
        (nn.MSELoss(), torch.zeros(8, 3), {}, [24, 24, math.nan]),
        (Supervised(), torch.tensor([-1, 5, 5, 5, -1, 5, 5, 5]), {}, [8, 6, 1]),
        (Supervised(), torch.zeros(8, 3), {"mask": torch.arange(8) < 2}, [24, 6, math.nan]),
        (Supervised(), {"label": torch.ones(8).long(), "label_mask": torch.zeros(8)}, {}, [8, 0, 1]),
        (Supervised(), {"a": torch.ones(8), "b": torch.ones(8), "b_mask": torch.zeros(8)}, {}, [16, 8, math.nan]),
        (Supervised(), {"a": torch.ones(8, 2), "valid_mask": torch.arange(8) < 3}, {}, [16, 6, math.nan]),
        (Supervised(), (torch.arange(8), torch.ones(8)), {}, [16, 16, 8]),
        (Supervised(), None, {}, [math.nan] * 3),
    ],
)
def test_targets(loss, target, options, expected):
    model = mlp()
    with watch(model, loss=loss) as run:
        loss(model(data()[0][:BATCH]), target, **options).backward()
    found = run.trace.steps[["targets", "supervised", "classes"]].to_numpy()[0]
    assert np.array_equal(found, expected, equal_nan=True)


def test_labels_by_keyword_and_large_labels():
    class Loss(nn.Module):
        def forward(self, *, prediction, labels):
            return prediction.square().mean()

    model, loss = mlp(), Loss()
    with watch(model) as run:
        loss(prediction=model(data()[0]), labels=torch.arange(24) * 10_000).backward()
    assert run.trace.steps[["targets", "supervised", "classes"]].to_numpy().tolist() == [[24, 24, 24]]


def test_keys_that_the_loss_expects():
    class Reads(nn.Module):
        expects = ("logits", "box", "angle")

        def forward(self, prediction, target):
            return sum(value.sum() for value in prediction.values())

    model, loss = mlp(), Reads()
    with watch(model, loss=loss, every=100) as run:
        for number, (x, y) in enumerate(batches()):
            keys = ("box", "logits", "angle")[number:]
            loss(dict.fromkeys(keys, model(x)), y).backward()
    assert run.trace.steps["missing_keys"].tolist() == ["", "box", "box,logits"]


def test_a_loss_that_expects_nothing_has_no_missing_keys():
    one = job()
    with watch(one.model) as run:
        one.plain()
    assert run.trace.steps["missing_keys"].isna().all()


@pytest.mark.parametrize("given", [True, False], ids=["given", "found"])
def test_terms_and_weights(given):
    loss = TwoTerms(lam_size=0.25)
    one = job(loss=loss)
    with watch(one.model, loss=loss if given else None, weights={"lam_size": 0.5}) as run:
        one.plain()
        loss.lam_size = 0.75
        one.plain()
    steps, facts = run.trace.steps, run.trace.facts
    assert steps["lam_size"].tolist() == [0.25] * 6 + [0.75] * 6
    terms = {term: f"term:{term}" for term in facts["term_weights"]}
    assert sorted(facts["term_weights"].values()) == ["lam_fit", "lam_size"]
    total = sum(steps[column] * steps[facts["term_weights"][term]] for term, column in terms.items())
    assert np.allclose(total, steps["loss"], rtol=1e-5)
    assert facts["weights_at_entry"] == {"lam_fit": 1.0, "lam_size": 0.25}
    assert facts["weights_default"] == {"lam_fit": 1.0, "lam_size": 0.1}
    assert facts["weights_asked"] == {"lam_size": 0.5}
    assert facts["ignored_weights"] == []


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64, torch.uint8], ids=str)
def test_a_weight_that_is_a_tensor_is_read_as_the_number_it_is(dtype):
    class Buffered(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("lam_size", torch.tensor(0.5).to(dtype))
            self.lam_fit = torch.tensor(2).to(dtype)
            self.lam_mask = torch.tensor(True)
            self.lam_trained = nn.Parameter(torch.tensor(1.0))

        def forward(self, prediction, target):
            return self.lam_fit * prediction.square().mean() + self.lam_size * prediction.abs().mean()

    one = job(loss=Buffered())
    with watch(one.model, loss=one.loss) as run:
        one.plain()
    assert run.trace.facts["weights_at_entry"] == {"lam_size": 0.5 if dtype.is_floating_point else 0.0, "lam_fit": 2.0}


def test_terms_that_a_loss_returns():
    class Returns(nn.Module):
        lam_size = 0.5

        def forward(self, prediction, target):
            size = prediction.square().mean()
            return {"loss": self.lam_size * size, "size": size.detach()}

    one = job(loss=Returns())
    with watch(one.model) as run:
        for x, y in batches():
            one.loss(one.model(x), y)["loss"].backward()
    steps = run.trace.steps
    assert np.allclose(steps["term:size"] * 0.5, steps["loss"])
    assert steps["loss_returned"].tolist() == steps["loss"].tolist()


def test_a_loss_that_shows_no_terms_is_not_asked_for_them():
    loss = PlainSum(lam_size=0.25)
    one = job(loss=loss)
    with watch(one.model, loss=loss) as run:
        one.plain()
    steps, facts = run.trace.steps, run.trace.facts
    assert (steps["lam_size"] == 0.25).all() and facts["terms"] == [] and "ignored_weights" not in facts
    assert not [name for name in steps if name.startswith("term:")]
    assert any("terms of the loss were not observed" in note for note in facts["not_seen"])


def test_a_term_that_the_loss_leaves_out_is_not_observed():
    class Lazy(TwoTerms):
        def components(self, prediction, target, only=("fit", "size")):
            return {name: value for name, value in super().components(prediction, target).items() if name in only}

        def forward(self, prediction, target):
            return self.lam_fit * self.components(prediction, target, only=("fit",))["fit"]

    one = job(loss=Lazy(lam_size=0.0))
    with watch(one.model, loss=one.loss) as run:
        one.plain()
    assert run.trace.steps["term:fit"].notna().all() and "term:size" not in run.trace.steps
    assert run.trace.facts["ignored_weights"] == []


class _Offers(nn.Module):
    """Three terms, the third without a weight; `sums` makes the total of them."""

    def __init__(self, sums):
        super().__init__()
        self.lam_fit, self.lam_size, self.sums = 0.7, 0.2, sums

    def components(self, prediction, target):
        return {
            "fit": F.cross_entropy(prediction, target),
            "size": prediction.square().mean(),
            "far": (prediction - 3).abs().mean(),
        }

    def forward(self, prediction, target):
        return self.sums(self, **self.components(prediction, target))


@pytest.mark.parametrize(
    ("sums", "ignored", "lonely"),
    [
        (lambda s, fit, size, far: s.lam_fit * fit + s.lam_size * size + far, [], []),
        (lambda s, fit, size, far: s.lam_fit * fit + s.lam_size * size, [], ["far"]),
        (lambda s, fit, size, far: s.lam_fit * fit + far, ["lam_size"], []),
        (lambda s, fit, size, far: s.lam_size * size + far, ["lam_fit"], []),
        # terms that were weighted before they were offered: no weight is idle
        (lambda s, fit, size, far: fit + size + far, None, None),
        (lambda s, fit, size, far: s.lam_fit * fit + s.lam_size * size + far + 0.5 * fit.sqrt(), None, None),
        (lambda s, fit, size, far: torch.stack([fit, size, far]).log().sum(), None, None),
    ],
)
def test_which_weight_and_which_term_is_in_the_total_is_arithmetic(sums, ignored, lonely):
    one = job(loss=_Offers(sums))
    with watch(one.model, loss=one.loss) as run:
        one.plain()
    assert run.trace.facts.get("ignored_weights") == ignored
    assert run.trace.facts.get("terms_without_weight") == lonely


def test_one_call_that_adds_up_by_chance_is_no_fact():
    one = job(loss=_Offers(lambda s, fit, size, far: s.lam_fit * fit + far))
    with watch(one.model, loss=one.loss) as run:
        one.loss(one.model(data()[0]), data()[1]).backward()
    assert "ignored_weights" not in run.trace.facts


def test_a_weight_is_read_as_it_is_stored():
    class Reads(nn.Module):
        lam_class = 0.5

        def __init__(self):
            super().__init__()
            self._lam_kept, self.asked = 0.25, []
            self.register_buffer("lam_buffer", torch.tensor(2.0))

        @property
        def lam_kept(self):
            self.asked.append("kept")
            return self._lam_kept

        @property
        def lam_computed(self):
            self.asked.append("computed")
            raise ZeroDivisionError

        def forward(self, prediction, target):
            return self.lam_class * prediction.square().mean()

    one = job(loss=Reads())
    with watch(one.model, loss=one.loss) as run:
        one.plain()
    assert one.loss.asked == [], "a property is code of the program"
    assert run.trace.facts["weights_at_entry"] == {"lam_class": 0.5, "lam_buffer": 2.0, "lam_kept": 0.25}


def test_weights_without_effect_and_terms_without_weight_or_graph():
    class Wrong(nn.Module):
        def __init__(self, lam_fit: float = 1.0, lam_sise: float = 0.3):
            super().__init__()
            self.lam_fit, self.lam_sise = lam_fit, lam_sise

        def components(self, prediction, target):
            return {"fit": F.cross_entropy(prediction, target), "size": prediction.detach().square().mean()}

        def forward(self, prediction, target):
            return self.lam_fit * self.components(prediction, target)["fit"]

    one = job(loss=Wrong())
    with watch(one.model, loss=one.loss) as run:
        one.plain()
    facts = run.trace.facts
    assert facts["ignored_weights"] == ["lam_sise"]
    assert facts["terms_without_weight"] == ["size"]
    assert facts["terms_without_graph"] == ["size"]


def test_a_weight_of_a_term_that_is_0_here_is_not_called_ignored():
    class Hinge(nn.Module):
        lam_fit, lam_far = 1.0, 1.0

        def components(self, prediction, target):
            return {"fit": prediction.square().mean(), "far": (prediction - 0.7).relu().mean()}

        def forward(self, prediction, target):
            terms = self.components(prediction, target)
            return self.lam_fit * terms["fit"] + self.lam_far * terms["far"]

    one = job(loss=Hinge())
    with torch.no_grad():
        for parameter in one.model.parameters():
            parameter.mul_(0.01)
    with watch(one.model, loss=one.loss) as run:
        for x, y in batches():
            one.loss(one.model(x), y).backward()
    assert (run.trace.steps["term:far"] == 0).all() and run.trace.facts["ignored_weights"] == []


def test_the_root_of_a_weighted_backward_pass_is_its_product():
    model = mlp()
    weights = torch.arange(72.0).reshape(24, 3)
    with watch(model) as run:
        prediction = model(data()[0])
        prediction.backward(weights)
    assert run.trace.steps["loss"].item() == pytest.approx((prediction.detach() * weights).sum().item(), rel=1e-5)


def test_autograd_backward_with_several_roots():
    model = mlp()
    with watch(model) as run:
        one, two = model(data()[0]).mean(), model(data(1)[0]).mean()
        torch.autograd.backward([one, two])
    assert run.trace.steps["loss"].item() == pytest.approx((one + two).item(), rel=1e-5)
    assert run.trace.steps["reached"].item() == 2


def test_two_losses_in_one_loop():
    model, fit, size = mlp(), nn.CrossEntropyLoss(), nn.MSELoss()
    optimizer = sgd(model)
    with watch() as run:
        for x, y in batches():
            logits = model(x)
            (fit(logits, y) + size(logits, torch.zeros_like(logits))).backward()
            optimizer.step()
    assert run.trace.facts["loss"] == "CrossEntropyLoss, MSELoss"
    assert run.trace.epochs["loss_calls"].tolist() == [6]
