"""Results as pictures: each function takes a frozen result and returns Axes; ``*_evidence`` adds the words."""

from kit.plots.bench import confusion, confusion_evidence, reliability, reliability_evidence
from kit.plots.curves import compare_runs, compare_runs_evidence, curve, symptom, symptom_evidence
from kit.plots.displayed_losses import displayed, displayed_evidence
from kit.plots.figures import Evidence, evidence, figure_html, figure_style, new_axes, own_evidence, png_of
from kit.plots.heatmap import layer_heatmap, layer_heatmap_evidence, layer_norms
from kit.plots.links import chain, chain_evidence
from kit.plots.looks import look, palette, palette_text, role
from kit.plots.overlay import overlaid, overlaid_evidence

__all__ = [
    "Evidence",
    "chain",
    "chain_evidence",
    "compare_runs",
    "compare_runs_evidence",
    "confusion",
    "confusion_evidence",
    "curve",
    "displayed",
    "displayed_evidence",
    "evidence",
    "figure_html",
    "figure_style",
    "layer_heatmap",
    "layer_heatmap_evidence",
    "layer_norms",
    "look",
    "new_axes",
    "overlaid",
    "overlaid_evidence",
    "own_evidence",
    "palette",
    "palette_text",
    "png_of",
    "reliability",
    "reliability_evidence",
    "role",
    "symptom",
    "symptom_evidence",
]
