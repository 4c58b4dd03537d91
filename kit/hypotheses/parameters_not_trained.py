"""Beyond the report: what runs is not what the optimizer trains."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.steps import all_frozen, foreign_parameters, parameters_outside_optimizer, unregistered_parts

HYPOTHESIS = Hypothesis(
    key="parameters_not_trained",
    title="The optimizer does not train the network that runs",
    claim="Parameters are frozen, not registered (a Python list of layers), or the optimizer holds another instance's.",
    predicts="Losses and gradients are as usual, steps are taken, the parameters of the network that runs do not move, or a part of them does not.",
    fix="Build the optimizer after the network has its final form, from the parameters of that very object; keep layers in a ModuleList.",
    mechanism=(
        "The optimizer changes other parameters than those that run, or fewer: losses and gradients are computed, "
        "and what runs stays as it is."
    ),
    signs=(foreign_parameters, parameters_outside_optimizer, all_frozen, unregistered_parts),
    decisive=(
        all_frozen,
        parameters_outside_optimizer,
        unregistered_parts,
    ),
    fixed="Every trainable parameter of the network that runs is in an optimizer, and moves.",
    proves_not="It does not prove that leaving them out is a mistake: fine-tuning freezes parameters on purpose.",
    guard="""held = {id(p) for g in optimizer.param_groups for p in g["params"]}
missing = [name for name, p in model.named_parameters() if p.requires_grad and id(p) not in held]
assert not missing, f"not in the optimizer: {missing}"
lists = [name for part in model.modules() for name, value in vars(part).items() if isinstance(value, list)
         and any(isinstance(entry, torch.nn.Module) for entry in value)]
assert not lists, f"layers in a plain list are not registered: {lists}"
""",
)
