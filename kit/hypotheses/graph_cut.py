"""Beyond the report: the loss, or one term of it, does not hang on the network."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checks.gradients import (
    loss_without_graph,
    optimizer_never_fed,
    parameters_cut,
    part_cut_off,
    term_cut,
    term_without_graph,
)

HYPOTHESIS = Hypothesis(
    key="graph_cut",
    title="The graph is cut between network and loss",
    claim="detach(), no_grad() or a new tensor around the value cuts the loss, or one of its terms, off the parameters.",
    predicts="Losses have the right values, no parameter (or none through that term) gets a gradient; validation does not change, or that term is not learned.",
    fix="Remove detach(), no_grad() and torch.tensor(...) between the network's output and the loss; requires_grad_(True) on a loss only hides it.",
    mechanism=(
        "The loss has the right value, and no path leads from it, or from one of its terms, back to the "
        "parameters: they get no gradient and stay as they are."
    ),
    signs=(loss_without_graph, term_without_graph, part_cut_off, term_cut, parameters_cut, optimizer_never_fed),
    decisive=(term_cut, parameters_cut, optimizer_never_fed),
    explains=("loss_outside_loop",),
    fixed="Every term that should be learned reaches a parameter.",
    proves_not="It does not prove that the cut is a mistake: a frozen teacher, a stop-gradient or a term that is only displayed is cut on purpose.",
    guard="""total = loss(model(batch), target)
total.backward()
assert any(p.grad is not None for p in model.parameters()), "the loss reaches no parameter"
""",
)
