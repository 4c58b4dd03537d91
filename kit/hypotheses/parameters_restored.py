"""Beyond the report: the parameters are put back to where they were."""

from __future__ import annotations

from kit.hypotheses.base import Hypothesis
from kit.hypotheses.checking import Answer, check, silent
from kit.hypotheses.observed import Observed
from kit.hypotheses.policy import Policy

_EPOCHS = 2  # an epoch may be undone on purpose once, as a search for a learning rate is


@check(
    "Do the parameters stand at the end of each epoch where they began it, though its steps change them?",
    "parameters put back",
    "parameters keep what steps change",
    needs=("training",),
    link="parameters",
    state="replaced",
)
def parameters_restored(seen: Observed, policy: Policy) -> Answer:
    drift, moved = seen.over_epochs("drift"), seen.over_steps("update_norm")
    elsewhere = seen.facts.get(
        "foreign_in_optimizer_count"
    )  # what is stepped may be a tensor of its own, as a latent code
    if drift.size < _EPOCHS or not moved.size or elsewhere:
        return silent("what the steps change, and the parameters before and after two epochs")
    if drift.any() or not moved.any():
        return Answer(False, f"they moved by up to {drift.max():.3g} over an epoch")
    said = f"steps changed the parameters by up to {moved.max():.3g}, and they stood where they began at the end of each of {drift.size} epochs"
    return Answer(True, said, said)


HYPOTHESIS = Hypothesis(
    key="parameters_restored",
    title="The parameters are put back after training",
    claim="load_state_dict, reset_parameters or a swap of averaged weights puts back what the steps of an epoch changed.",
    predicts="Losses, gradients and steps are as usual; after each epoch the parameters are those of before, and validation does not change.",
    mechanism="Each epoch trains, and then its result is thrown away: validation sees the parameters with which the epoch began.",
    fix="Look for load_state_dict, reset_parameters and swaps of averaged weights between the last step of an epoch and its evaluation.",
    signs=(parameters_restored,),
    decisive=(parameters_restored,),
    explains=("stale_validation", "parameters_not_trained"),
    fixed="Over an epoch the parameters move by what its steps changed.",
    proves_not="It does not prove that the steps were good ones: what they changed was thrown away before it was evaluated.",
    guard="""before = [p.detach().clone() for p in model.parameters()]
train_one_epoch()
assert any(not torch.equal(old, p) for old, p in zip(before, model.parameters())), "the epoch was undone"
""",
)
