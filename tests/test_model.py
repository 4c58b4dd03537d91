"""The network: what it returns, that it sees the phase, and that both sizes learn in all their parts."""

from __future__ import annotations

import pytest
import torch

import kit


def _input(n: int, batch: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(batch, n, n, dtype=torch.complex64, generator=generator)


@pytest.mark.parametrize("array", [kit.PlanarArray(), kit.PlanarArray(3, 2), kit.PlanarArray(5, 1)], ids=str)
@pytest.mark.parametrize("k_max", [5, 2])
def test_predictions_have_the_shapes_of_the_interface(array, k_max):
    prediction = kit.HybridModel(array, k_max=k_max)(_input(array.n))
    assert {key: tuple(value.shape) for key, value in prediction.items()} == {
        "cov_fact_angle": (3, 2 * array.n * k_max),
        "cov_fact_range": (3, 2 * array.n * k_max),
        "k_logits": (3, k_max),
        "phi_theta_r": (3, 3 * k_max),
    }
    assert (prediction["phi_theta_r"][:, 2 * k_max :] > 0).all(), "ranges are positive metres"


def test_the_phase_of_the_input_reaches_the_output():
    """A model that dropped the imaginary part would not notice that it changed sign."""
    torch.manual_seed(0)
    model, R = kit.HybridModel(kit.PlanarArray(4, 3)), _input(12)
    there, conjugate = model(R), model(R.conj().resolve_conj())
    for key in there:
        assert not torch.allclose(there[key], conjugate[key]), key


@pytest.mark.parametrize("size", ["small", "paper"])
def test_every_parameter_learns_from_the_full_loss(size):
    torch.manual_seed(0)
    array = kit.PlanarArray(4, 3)
    model = kit.HybridModel(array, size=size)
    batch = kit.CovarianceSampler(array).sample(4, generator=torch.Generator().manual_seed(1))
    kit.UltimateHybridLoss(array=array)(model(batch.inputs), batch.target).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_double_precision_works():
    model = kit.HybridModel(kit.PlanarArray(3, 3)).double()
    assert model(_input(9).to(torch.complex128))["k_logits"].dtype == torch.float64


def test_the_two_sizes_differ_as_said():
    count = {size: sum(p.numel() for p in kit.HybridModel(size=size).parameters()) for size in ("small", "paper")}
    assert 1.2e6 < count["small"] < 1.6e6
    assert 1.0e7 < count["paper"] < 1.3e7


@pytest.mark.parametrize(
    ("R", "found"),
    [
        (torch.zeros(2, 12, 12), "torch.float32 [2, 12, 12]"),
        (torch.zeros(12, 12, dtype=torch.complex64), "[12, 12]"),
        (torch.zeros(2, 9, 9, dtype=torch.complex64), "[2, 9, 9]"),
    ],
    ids=["real", "no batch", "another array"],
)
def test_a_wrong_input_is_refused(R, found):
    with pytest.raises(ValueError, match=r"R_samp should be complex \[B, 12, 12\]") as refusal:
        kit.HybridModel(kit.PlanarArray(4, 3))(R)
    assert found in str(refusal.value)


@pytest.mark.parametrize(("argument", "value"), [("size", "huge"), ("k_max", 0)])
def test_wrong_arguments_are_refused(argument, value):
    with pytest.raises(ValueError, match=f"{argument} should be"):
        kit.HybridModel(**{argument: value})
