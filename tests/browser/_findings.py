"""Findings with everything a page can hold, made in a moment."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd

import kit
from kit.panel import Preset
from kit.plots import compare_runs_evidence
from tests.panel._panel_cases import WEIGHT_NAMES, make_report


def full_finding(**changes) -> kit.Finding:
    runs = {
        name: SimpleNamespace(train_loss=[3.0, 2.0 * k, 1.5 * k], val_loss=[3.2, 2.4, 2.0 * k])
        for name, k in (("as reported", 1.0), ("lam_cov = 0", 0.5))
    }
    panel = kit.Panel(
        {"as it is": make_report(1), "epoch 9": make_report(2, weights=(0.1,) * 7)},
        presets=[
            Preset("zero", "All zero", dict.fromkeys(WEIGHT_NAMES, 0.0), "Zero weights", what="Nothing is weighed.")
        ],
    )
    table = pd.DataFrame(
        {"setting": ["as reported", "lam_cov = 0"], "train, last": [1.5, 0.75], "moves": ["yes", "yes"]}
    )
    parts = {
        "question": "Is a zero loss weight the cause?",
        "claim": "All loss weights are 0, or lam_cov is 0. Probability: 90%.",
        "verdict": "refuted",
        "answer": "With lam_cov = 0 six terms remain: train reads 0.75, validation moves.",
        "evidence": (
            panel,
            "What training does under other weights has to be trained:",
            compare_runs_evidence(runs),
            kit.report.Table(table, "Does any setting show the symptom?"),
        ),
        "fix": "Count the steps that are really taken.",
        "remains": "Whether another seed agrees.",
        "seed": 0,
        "command": "python -m kit investigate",
    }
    return kit.Finding(**{**parts, **changes})
