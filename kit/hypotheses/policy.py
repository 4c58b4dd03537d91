"""Every threshold of the reasoning, with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """Thresholds and priors. ``replace`` one to see what it decides; the shipped likelihoods were counted with these."""

    # a loss below this prints as 0.000000, which is how the symptom is read
    reads_zero: float = 5e-7
    # relative spread of a validation loss that "does not change": far above rounding, far below one step of learning
    level: float = 1e-6
    # a loss that grew to so many times what it was (or than 1) is on its way to infinity
    beyond_bounds: float = 1e4
    # a value is exactly 0 up to the rounding of a sum of opposite terms in single precision
    exact_zero: float = 1e-9
    # a displayed number may be a mean, the last batch, smoothed, weighted by batch size, or rounded; within this share of the
    # batch losses' range it is no other number
    display_slack: float = 0.05
    # share of the epochs in which the display lies outside of what the batch losses allow: a right one hardly ever does
    often_outside: float = 0.5
    # decimals that displays commonly keep: half a unit of the third is not a wrong number
    display_rounding: float = 5e-4
    # relative disagreement between a total and the sum of its weighted terms that single precision cannot make
    sum_slack: float = 1e-3
    # "always": this share of the steps that were measured; a first step or a last short batch may differ
    nearly_always: float = 0.9
    # of two networks that are trained alternately, each has about half of the steps
    alternating: float = 0.3
    # a sign that comes and goes still counts from here: one NaN in a long run is noise, one in twenty is a cause
    sometimes: float = 0.05
    # a gradient scaler skips a few steps while it looks for its scale; half of them is not looking any more
    overflow_share: float = 0.5
    # of the numbers with a gradient, the share that a step leaves as they were: with half of them the rest hardly trains
    lost_share: float = 0.5
    # share of forward passes that some backward pass reaches: a loss after the loop reaches 1 of n
    reached_share: float = 0.5
    # trainable parameters in no optimizer, as a share: an unused head is common, a tenth of the tensors is not
    outside_optimizer: float = 0.1
    # tensors that run in every step and that no term reaches, as a share of those that are trained: more than any head that is not asked
    mostly_unreached: float = 0.5
    # what distinguishes the outputs of a batch, relative to their size: below the first, and by the second since the start, it is gone
    collapsed_to: float = 0.02
    collapsed_by: float = 0.02
    # a loss of distances whose samples are all alike is its margin; on the way there it is this share above
    near_margin: float = 0.15
    # a learning rate that fell to this share of its largest moves nothing any more
    rate_gone: float = 1e-6
    # a displayed loss that reads 0 from some row on died there if it was above this share of its largest; below, it got there by fitting
    died_from: float = 1e-3
    # from here on a share of the run is more than its end
    long_share: float = 0.3
    # what holds in this share of the steps, the last ones, set in on the way
    late_share: float = 0.1
    # an evaluated copy that moved by this share of what was trained stands still
    nearly_still: float = 0.02
    # a train loss that fell by this share was learned from; before that, an average is only young
    learns: float = 0.3
    # steps below which "in every step" says little
    enough_steps: int = 3
    # posterior from which a cause is worth a look, and evidence (in bits) from which a finding speaks for or against it
    possible: float = 0.05
    telling_bits: float = 1.0
    # a cause that is only weighed is not named below this: on the fault bench, in styles that were not counted, it was hardly ever right
    leads: float = 0.25
    # how sure a fact makes that establishes a cause, at least: right in 400 of 408 runs of styles that were not counted, and less is said
    established: float = 0.95
    # certainty at most, of what is only weighed, while display and recording disagree about what an epoch is
    unsure: float = 0.9
    # a cause that the report does not name gets the report's smallest prior, and so does "none of these"; all are then scaled to sum to 1
    prior_outside: float = 0.01
    # of a cause that a fact establishes and that the fault bench has not counted: without its fact it is hardly possible
    prior_by_fact: float = 1e-5


POLICY = Policy()
