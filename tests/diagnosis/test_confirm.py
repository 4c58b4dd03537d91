"""A cause's fix alone, on copies of the reader's own parts."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import kit
from kit.diagnosis.own_run import MENDS, OF_THE_LOOP, OwnRun
from kit.hypotheses import ALL


class Weighed(nn.Module):
    def __init__(self, lam_fit, lam_size=0.1):
        super().__init__()
        self.lam_fit = lam_fit
        self.register_buffer("lam_size", torch.tensor(lam_size))

    def forward(self, prediction, target):
        return self.lam_fit * (prediction - target).square().mean() + self.lam_size * prediction.square().mean()


def parts(lr=0.1, frozen=False, lam_fit=1.0, lam_size=0.1):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.1), nn.Tanh(), nn.Linear(8, 1))
    batch = torch.randn(16, 3), torch.randn(16, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    model.requires_grad_(not frozen)
    return model, Weighed(lam_fit, lam_size), batch, optimizer


def watched(model, loss, batch, optimizer, *, stepped=True, steps=12):
    train, validation = [], []
    with kit.watch(model, loss=loss) as run:
        for _ in range(3):
            for _ in range(steps // 3):
                optimizer.zero_grad()
                total = loss(model(batch[0]), batch[1])
                if total.requires_grad:
                    total.backward()
                if stepped:
                    optimizer.step()
            train.append(total.item())
            model.eval()
            with torch.no_grad():
                validation.append(loss(model(batch[0]), batch[1]).item())
            model.train()
    run.log(train_loss=train, val_loss=validation)
    return kit.diagnose(run.trace)


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("zero_learning_rate", {"lr": 0.0}),
        ("parameters_not_trained", {"frozen": True}),
        ("loss_weights", {"lam_fit": 0.0, "lam_size": 0.0}),
    ],
)
def test_what_is_wrong_with_a_part_is_confirmed_by_its_fix_alone(key, fault):
    own = parts(**fault)
    found = watched(*own)
    assert found.top.key == key
    confirmed = found.confirm(*own)
    tried = confirmed.top.intervention
    assert tried.confirmed is True and tried.before.validation_level and not tried.after.validation_level
    assert "Intervention: confirmed by its fix." in confirmed.explain()
    for other in confirmed.causes:
        if other.intervention is not None and other.key not in (key, "loss_initialisation", "wrong_number"):
            assert other.intervention.confirmed is not True, other.key


def test_a_fault_of_the_loop_is_confirmed_by_a_plain_loop():
    own = parts()
    found = watched(*own, stepped=False)
    assert found.top.key == "steps_skipped"
    confirmed = found.confirm(*own)
    assert "not that your loop has no other fault" in str(confirmed) and "no other fault" not in str(found)
    tried = confirmed.top.intervention
    assert tried.confirmed is True
    assert tried.before.validation_level and not tried.after.validation_level


def test_the_parts_stay_bitwise_as_they_are():
    model, loss, batch, optimizer = parts(lr=0.0)
    found = watched(model, loss, batch, optimizer)
    state = copy.deepcopy((model.state_dict(), loss.state_dict(), optimizer.state_dict(), batch))
    modes, random = [m.training for m in model.modules()], torch.get_rng_state()
    found.confirm(model, loss, batch, optimizer)
    after = (model.state_dict(), loss.state_dict(), optimizer.state_dict(), batch)
    for before, now in zip(_tensors(state), _tensors(after), strict=True):
        assert torch.equal(before, now)
    assert [m.training for m in model.modules()] == modes and torch.equal(torch.get_rng_state(), random)
    assert optimizer.param_groups[0]["lr"] == 0.0 and loss.lam_fit == 1.0


def _tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for item in items for tensor in _tensors(item)]


def test_what_cannot_be_run_is_refused_with_what_was_found():
    model, loss, batch, optimizer = parts(lr=0.0)
    found = watched(model, loss, batch, optimizer)
    with pytest.raises(TypeError, match="optimizer should be one of torch.optim. Found None"):
        found.confirm(model, loss, batch, None)
    with pytest.raises(TypeError, match="is this the loss"):
        found.confirm(loss, model, batch, optimizer)
    with pytest.raises(ValueError, match="steps should be at least 5. Found 2"):
        found.confirm(model, loss, batch, optimizer, steps=2)
    with pytest.raises(ValueError, match=r"pair \(inputs, target\). Found a Tensor"):
        found.confirm(model, loss, torch.ones(3), optimizer)
    with pytest.raises(KeyError, match="key should be one of"):
        found.confirm(model, loss, batch, optimizer, keys=["nothing"])


def test_every_mended_cause_is_one_of_the_causes():
    assert {*MENDS} | OF_THE_LOOP <= {hypothesis.key for hypothesis in ALL} and not {*MENDS} & OF_THE_LOOP
    model, loss, batch, optimizer = parts()
    with pytest.raises(KeyError):
        OwnRun(model, loss, batch, optimizer).run(fix="collapse")
