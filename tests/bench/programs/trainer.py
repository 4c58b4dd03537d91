"""A Trainer class with a configuration, a model that returns a mapping, and a weighted loss that offers its terms."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tests.bench.programs.losses import HeadsLoss
from tests.bench.programs.models import ManyHeads
from tests.bench.programs.program import AS_INTENDED, Case, Console, Displayed, Setting, family
from tests.bench.programs.tasks import Annotated, annotated, batches

ASKED = {"lam_class": 1.0, "lam_offset": 1.0, "lam_quality": 0.2}


class MisnamedLoss(HeadsLoss):
    """Looks its weights up by the names of the terms; the constructor calls one of them otherwise."""

    def __init__(self, lam_cls: float = 1.0, lam_offset: float = 1.0, lam_quality: float = 0.2) -> None:
        super().__init__(lam_offset=lam_offset, lam_quality=lam_quality)
        del self.lam_class
        self.lam_cls = lam_cls

    def forward(self, prediction: Mapping[str, Tensor], target: Annotated) -> Tensor:
        terms = self.components(prediction, target)
        return sum(getattr(self, f"lam_{name}", 0.0) * term for name, term in terms.items())


class ForgetfulLoss(HeadsLoss):
    """Computes the offset, never adds it."""

    def forward(self, prediction: Mapping[str, Tensor], target: Annotated) -> Tensor:
        terms = self.components(prediction, target)
        return self.lam_class * terms["class"] + self.lam_quality * terms["quality"]


class LenientLoss(HeadsLoss):
    """Off unless switched on, and swallows keys that it does not know."""

    def __init__(
        self, lam_class: float = 0.0, lam_offset: float = 0.0, lam_quality: float = 0.0, **options: float
    ) -> None:
        super().__init__(lam_class, lam_offset, lam_quality)
        self.options = options


class Renamed(ManyHeads):
    """The mapping under the names of an older version."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {f"pred_{name}": value for name, value in super().forward(x).items()}


class WithSpareHead(ManyHeads):
    """A head for later, not used in forward."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.spare = nn.Linear(width, 1)


class Trainer:
    def __init__(self, s: Setting, variant: str, model: nn.Module, loss: nn.Module) -> None:
        self.s, self.variant, self.model, self.loss = s, variant, model, loss
        self.train_data, self.val_data = annotated(s)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=0.015 * s.lr)
        self.cache: Mapping[str, Tensor] | None = None
        self.global_step = 0

    def ready(self) -> bool:
        if self.variant != "the gate wants a gradient everywhere":
            return True
        return all(p.grad is not None and p.grad.abs().sum() > 0 for p in self.model.parameters())

    def training_epoch(self) -> float:
        self.model.train()
        running = count = 0.0
        for columns in batches(self.s, *self.train_data):
            batch = Annotated(*columns)
            self.optimizer.zero_grad()
            loss = self.loss(self.model(batch.x), batch)
            if loss.requires_grad and self.variant != "the step returns nothing":
                loss.backward()
            count += 1
            self.global_step += 1
            if self.ready():
                self.optimizer.step()
                running += loss.item()
        if self.variant == "divided by the global step":
            return running / (8 * self.global_step)
        return running / count

    @torch.no_grad()
    def validate(self) -> float:
        self.model.eval()
        prediction = self.cache if self.cache is not None else self.model(self.val_data.x)
        if self.variant == "predictions are cached":
            self.cache = prediction
        return self.loss(prediction, self.val_data).item()

    def fit(self) -> Displayed:
        if self.variant == "the search overwrites the weights":
            for name, value in {"lam_class": 0.0, "lam_offset": 0.0}.items():
                setattr(self.loss, name, value)
        console = Console()
        for epoch in range(1, self.s.epochs + 1):
            console.line(epoch, self.training_epoch(), self.validate())
        return console.shown


def _make(s: Setting, variant: str) -> Case:
    asked = dict(ASKED)
    if variant == "all weights 0 in the configuration":
        asked = dict.fromkeys(asked, 0.0)
    if variant == "an auxiliary weight 0 on purpose":
        asked["lam_quality"] = 0.0

    if variant == "lam_cls against the term class":
        asked = {"lam_cls": 1.0, "lam_offset": 1.0, "lam_quality": 0.2}
        loss = MisnamedLoss(**asked)
    elif variant == "computed and never added":
        loss = ForgetfulLoss(**asked)
    elif variant == "the keys of the configuration are swallowed":
        loss = LenientLoss(**{name.replace("lam", "weight"): value for name, value in asked.items()})
    else:
        loss = HeadsLoss(**asked)

    if variant == "the head is not built":
        model = ManyHeads(s.width, heads=("offset", "quality"))
    elif variant == "every key is renamed":
        model = Renamed(s.width)
    elif variant == "the gate wants a gradient everywhere":
        model = WithSpareHead(s.width)
    else:
        model = ManyHeads(s.width)
    if variant == "the trunk is dead":
        with torch.no_grad():
            model.trunk[2].bias.fill_(-50.0)
    if variant == "everything frozen":
        model.requires_grad_(False)
    return Case(Trainer(s, variant, model, loss).fit, model=model, loss=loss, weights=asked)


PROGRAMS = family(
    "trainer",
    _make,
    healthy=(AS_INTENDED, "an auxiliary weight 0 on purpose"),
    faults={
        "loss_weights": ("all weights 0 in the configuration",),
        "loss_initialisation": ("the keys of the configuration are swallowed", "the search overwrites the weights"),
        "weight_names": ("lam_cls against the term class", "computed and never added"),
        "missing_prediction": ("the head is not built", "every key is renamed"),
        "zero_outputs": ("the trunk is dead",),
        "parameters_not_trained": ("everything frozen",),
        "steps_skipped": ("the gate wants a gradient everywhere", "the step returns nothing"),
        "wrong_number": ("divided by the global step",),
        "stale_validation": ("predictions are cached",),
    },
)
