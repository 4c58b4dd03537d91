"""The investigation itself: from results to findings, one file per question; notebooks and ``make report`` share it."""

from kit.investigation.loss_weights import WeightRuns, loss_weights_finding, run_weight_settings
from kit.investigation.overfit import overfit_finding
from kit.investigation.ranking import rank_at_one_step, ranking_finding
from kit.investigation.whole import investigate, write_investigation

__all__ = [
    "WeightRuns",
    "investigate",
    "loss_weights_finding",
    "overfit_finding",
    "rank_at_one_step",
    "ranking_finding",
    "run_weight_settings",
    "write_investigation",
]
