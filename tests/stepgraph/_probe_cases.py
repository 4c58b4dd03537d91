"""Small models, losses of many habits, and a second way to the Gram matrix: plain autograd, one term at a time."""

from __future__ import annotations

import copy
import random
from typing import ClassVar

import numpy as np
import torch
from torch import nn


class TwoHeads(nn.Module):
    """Encoder with batch statistics and dropout, two heads; prediction is a dict."""

    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(dropout))
        self.x = nn.Linear(8, 3)
        self.y = nn.Linear(8, 2)

    def forward(self, inputs):
        h = self.encoder(inputs)
        return {"x": self.x(h), "y": self.y(h)}


def make(dtype=torch.float64, model=None, seed=0):
    torch.manual_seed(seed)
    model = (TwoHeads() if model is None else model()).to(dtype)
    return model, (torch.randn(16, 4, dtype=dtype), torch.randn(16, 3, dtype=dtype))


def terms(prediction, target):
    """The three terms of every affine loss here, in closed form."""
    return {
        "a": (prediction["x"] - target).square().mean(),
        "b": prediction["y"].abs().mean(),
        "c": (prediction["y"].square().sum(-1) - 1).square().mean(),
    }


class Weighted(nn.Module):
    """The simplest one; subclasses change how the weights are used."""

    def __init__(self, lam_a=0.5, lam_b=0.2, lam_c=1.5) -> None:
        super().__init__()
        self.lam_a, self.lam_b, self.lam_c = lam_a, lam_b, lam_c

    def forward(self, p, t):
        L = terms(p, t)
        return self.lam_a * L["a"] + self.lam_b * L["b"] + L["c"] * self.lam_c


class Exposed(Weighted):
    """Tells its terms and skips those with weight 0."""

    weight_names: ClassVar = {"term_a": "lam_a", "term_b": "lam_b", "term_c": "lam_c"}

    def components(self, p, t):
        return {f"term_{name}": value for name, value in terms(p, t).items()}

    def forward(self, p, t):
        on = [getattr(self, self.weight_names[n]) * v for n, v in self.components(p, t).items()
              if getattr(self, self.weight_names[n]) != 0]  # fmt: skip
        return sum(on)


class Guarded(Weighted):
    def forward(self, p, t):
        assert self.lam_a > 0 and self.lam_b > 0 and self.lam_c > 0
        assert isinstance(self.lam_a, float)
        return super().forward(p, t)


class Branching(Weighted):
    def forward(self, p, t):
        L, total = terms(p, t), 0.0
        for name in "abc":
            if (lam := getattr(self, f"lam_{name}")) > 0:
                total = total + lam * L[name]
        return total


class SumToOne(Weighted):
    def __init__(self):
        super().__init__(0.2, 0.3, 0.5)

    def forward(self, p, t):
        if abs(self.lam_a + self.lam_b + self.lam_c - 1) > 1e-6:
            raise ValueError("weights should add up to 1")
        return super().forward(p, t)


class Alpha(Weighted):
    """`alpha=` takes the number and strips what a float carries."""

    def forward(self, p, t):
        L = terms(p, t)
        total = self.lam_a * L["a"]
        return torch.add(torch.add(total, L["b"], alpha=self.lam_b), L["c"], alpha=self.lam_c)


class Dot(Weighted):
    def forward(self, p, t):
        lam = torch.tensor([self.lam_a, self.lam_b, self.lam_c], dtype=p["x"].dtype)
        return lam @ torch.stack(list(terms(p, t).values()))


class Normalised(Weighted):
    def forward(self, p, t):
        return super().forward(p, t) / (self.lam_a + self.lam_b + self.lam_c)


class Squared(Weighted):
    def forward(self, p, t):
        L = terms(p, t)
        return self.lam_a**2 * L["a"] + self.lam_b * L["b"] + self.lam_c * L["c"]


class Product(Weighted):
    def forward(self, p, t):
        L = terms(p, t)
        return self.lam_a * L["a"] + self.lam_a * self.lam_b * L["b"] + self.lam_c * L["c"]


class LogOfAll(Weighted):
    def forward(self, p, t):
        return torch.log1p(super().forward(p, t))


class OneNan(Weighted):
    def forward(self, p, t):
        L = terms(p, t)
        return self.lam_a * L["a"] + self.lam_b * (L["b"] - 1e9).sqrt() + self.lam_c * L["c"]


class Noisy(Weighted):
    def forward(self, p, t):
        noisy = {"x": p["x"] + 0.1 * torch.randn_like(p["x"]), "y": p["y"] * (1 + random.random() * np.random.rand())}
        return super().forward(noisy, t)


class Remembering(Weighted):
    """An average in a buffer, a counter and a history, all changed by every call."""

    def __init__(self):
        super().__init__()
        self.register_buffer("average", torch.zeros(2))
        self.calls, self.history, self.cache = 0, [], {"last": torch.zeros(3)}

    def forward(self, p, t):
        with torch.no_grad():
            self.average.mul_(0.9).add_(0.1 * p["y"].mean(0))
            self.cache["last"].add_(p["x"].mean(0))
        self.calls += 1
        self.history.append(self.calls)
        return super().forward({"x": p["x"] - self.cache["last"], "y": p["y"] - self.average}, t) + 0.0 * self.calls


class WithRest(Weighted):
    def forward(self, p, t):
        return super().forward(p, t) + 0.7 * p["x"].pow(4).mean()


class Fixed(Weighted):
    """Weights copied at construction: attributes have no effect."""

    def __init__(self):
        super().__init__()
        self._w = (self.lam_a, self.lam_b, self.lam_c)

    def forward(self, p, t):
        return sum(w * v for w, v in zip(self._w, terms(p, t).values(), strict=True))


class FixedExposed(Fixed):
    components = Exposed.components
    weight_names = Exposed.weight_names


class Plain:
    """No nn.Module: slots, a property with a setter, and attributes that only look like weights."""

    __slots__ = ("_a", "lam_b", "lam_c", "lam_kind", "lam_on")

    def __init__(self):
        self._a, self.lam_b, self.lam_c, self.lam_on, self.lam_kind = 0.5, 0.2, 1.5, True, "l2"

    @property
    def lam_a(self):
        return self._a

    @lam_a.setter
    def lam_a(self, value):
        if value < 0:
            raise ValueError("lam_a should be >= 0")
        self._a = value

    def __call__(self, p, t):
        L = terms(p, t)
        return self.lam_a * L["a"] + self.lam_b * L["b"] + self.lam_c * L["c"]


class Buffered(nn.Module):
    """Weights as 0-d buffers."""

    def __init__(self):
        super().__init__()
        for name, lam in zip("abc", (0.5, 0.2, 1.5), strict=True):
            self.register_buffer(f"lam_{name}", torch.tensor(lam, dtype=torch.float64))

    def forward(self, p, t):
        L = terms(p, t)
        return self.lam_a * L["a"] + self.lam_b * L["b"] + self.lam_c * L["c"]


def reference(model, batch, each, forward=None):
    """Per-term gradients [m, d] by plain autograd in the order of model.parameters(), on a copy."""
    model = copy.deepcopy(model)
    parameters = [p for p in model.parameters() if p.requires_grad]
    state = torch.get_rng_state()
    prediction = model(batch[0]) if forward is None else forward(model, batch)
    torch.set_rng_state(state)
    rows = []
    for value in each(prediction, batch[1]).values():
        grads = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
        flat = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, grads, strict=True)]
        rows.append(torch.cat([(torch.view_as_real(g) if g.is_complex() else g).reshape(-1) for g in flat]))
    return torch.stack(rows).double().numpy()


def assert_gram(report, J, tolerance=1e-12):
    G = J @ J.T
    norms = np.sqrt(np.diag(G))
    scale = np.maximum(np.outer(norms, norms), np.finfo(float).tiny)
    np.testing.assert_array_less(np.abs(report.G - G) / scale, tolerance)
    np.testing.assert_allclose(report.G_groups.sum(0), report.G, rtol=1e-12, atol=1e-300)


def snapshot(*modules):
    """Everything a probe must leave bitwise alone, as comparable values."""
    found = {"rng": torch.get_rng_state().tolist(), "python": random.getstate(), "numpy": str(np.random.get_state())}
    for i, module in enumerate(modules):
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            found[i, name] = (id(tensor), tensor.data_ptr(), tensor.detach().numpy().tobytes(), tensor.requires_grad)
        for name, p in module.named_parameters():
            found[i, name, "grad"] = (id(p.grad), None if p.grad is None else p.grad.numpy().tobytes())
        for name, child in module.named_modules():
            plain = {k: repr(v) for k, v in vars(child).items()}
            hooks = {k: (id(v), len(v)) for k, v in vars(child).items() if "hooks" in k}
            found[i, name, "attributes"] = (list(plain), plain, hooks, child.training)
    return found
