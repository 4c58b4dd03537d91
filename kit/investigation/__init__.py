"""The investigation itself: from results to findings, one file per question; notebooks and ``make report`` share it."""

from kit.investigation.before_after import OverfitBeforeAfter, overfit_before_and_after, overfit_overlay_evidence
from kit.investigation.benched import bench_finding, bench_table
from kit.investigation.claims import Claim, claims_table
from kit.investigation.diagnosed import causes_table, findings_table, ranked_table
from kit.investigation.expected import Expected, expectations, expected_table
from kit.investigation.fault_runs import FaultRuns, Setup, run_faults, shows_symptom, symptom_table
from kit.investigation.fix_and_verify import (
    cured,
    debug_values,
    fix_and_verify_finding,
    fix_claims,
    fix_panel,
    run_fixes,
)
from kit.investigation.loss_initialisation import (
    lam_cov_evidence,
    loss_initialisation_claims,
    loss_initialisation_finding,
)
from kit.investigation.loss_weights import loss_weights_finding, run_weight_settings
from kit.investigation.missing_prediction import (
    missing_prediction_claims,
    missing_prediction_finding,
    near_zero_evidence,
    study_zero_factors,
)
from kit.investigation.nan_gradients import (
    nan_gradients_claims,
    nan_gradients_finding,
    nan_gradients_panel,
    nan_gradients_step,
    nan_heatmap_evidence,
)
from kit.investigation.outside_the_report import (
    LoopFaults,
    counts_table,
    diagnoses_table,
    few_scenes_system,
    one_by_one_table,
    outside_finding,
    run_loop_faults,
)
from kit.investigation.overfit import overfit_finding
from kit.investigation.own_page import diagnosis_finding
from kit.investigation.ranking import blended_predict, rank_at_one_step, ranking_finding
from kit.investigation.whole import investigate, write_investigation
from kit.investigation.your_own_run import before_after, before_after_evidence, four_counts, own_run_finding
from kit.investigation.zero_outputs import (
    predicted_at_zero,
    zero_outputs_claims,
    zero_outputs_finding,
    zero_terms_table,
)

__all__ = [
    "Claim",
    "Expected",
    "FaultRuns",
    "LoopFaults",
    "OverfitBeforeAfter",
    "Setup",
    "before_after",
    "before_after_evidence",
    "bench_finding",
    "bench_table",
    "blended_predict",
    "causes_table",
    "claims_table",
    "counts_table",
    "cured",
    "debug_values",
    "diagnoses_table",
    "diagnosis_finding",
    "expectations",
    "expected_table",
    "few_scenes_system",
    "findings_table",
    "fix_and_verify_finding",
    "fix_claims",
    "fix_panel",
    "four_counts",
    "investigate",
    "lam_cov_evidence",
    "loss_initialisation_claims",
    "loss_initialisation_finding",
    "loss_weights_finding",
    "missing_prediction_claims",
    "missing_prediction_finding",
    "nan_gradients_claims",
    "nan_gradients_finding",
    "nan_gradients_panel",
    "nan_gradients_step",
    "nan_heatmap_evidence",
    "near_zero_evidence",
    "one_by_one_table",
    "outside_finding",
    "overfit_before_and_after",
    "overfit_finding",
    "overfit_overlay_evidence",
    "own_run_finding",
    "predicted_at_zero",
    "rank_at_one_step",
    "ranked_table",
    "ranking_finding",
    "run_faults",
    "run_fixes",
    "run_loop_faults",
    "run_weight_settings",
    "shows_symptom",
    "study_zero_factors",
    "symptom_table",
    "write_investigation",
    "zero_outputs_claims",
    "zero_outputs_finding",
    "zero_terms_table",
]
