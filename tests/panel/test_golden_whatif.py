"""The same golden what-if numbers, made by exact arithmetic, for the Python algebra and for the front end: 1e-12 relative."""

from __future__ import annotations

import json
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from kit import whatif
from kit.panel import panel_data
from tests.panel.golden_whatif import PATH, golden
from tests.panel.test_panel_algebra import evaluate

TOLERANCE = 1e-12


@pytest.fixture(scope="module")
def known():
    return json.loads(PATH.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def report(known):
    parts = {key: np.array(known[key]) for key in ("L", "weights", "adjustable", "G", "G_groups")}
    w = parts["weights"]
    return SimpleNamespace(
        **parts,
        names=tuple(known["names"]),
        weight_names=tuple(known["weight_names"]),
        groups=tuple(known["groups"]),
        n_parameters=np.array([10, 20, 30]),
        residual=0.0,
        total=float(w @ parts["L"]),
        grad_norm=float(np.sqrt(w @ parts["G"] @ w)),
        notes=(),
    )


def same(found, wanted, scale=0.0):
    """Equal to TOLERANCE relative to the answer, or to what was added up where parts of both signs cancel."""
    if wanted is None or isinstance(wanted, (int, float)):
        if wanted is None or found is None:
            assert found is wanted
        else:
            assert abs(found - wanted) <= TOLERANCE * max(abs(wanted), scale), (found, wanted)
        return
    assert len(found) == len(wanted)
    for one, two in zip(found, wanted, strict=True):
        same(one, two, scale)


def slopes(known, w):
    """(G w)_i and the sum of its parts' sizes [m], by exact arithmetic."""
    parts = [[Fraction(g) * Fraction(x) for g, x in zip(row, w, strict=True)] for row in known["G"]]
    return [(float(sum(row)), float(sum(map(abs, row)))) for row in parts]


def test_the_next_step_in_python_and_in_the_front_end(known, report):
    named = [dict(zip(report.weight_names[:4], setting["w"], strict=False)) for setting in known["settings"]]
    answers = evaluate(panel_data(report), [(0, weights) for weights in named])["answers"]
    for setting, answer in zip(known["settings"], answers, strict=True):
        for lr, found in zip((1.0, 0.01), answer["nextStep"], strict=True):
            here = whatif.next_step(report, lr, setting["w"])
            for i, (slope, size) in enumerate(slopes(known, setting["w"])):
                same(here[i], -lr * slope, lr * size)
                same(found[i], -lr * slope, lr * size)


def test_the_file_is_what_exact_arithmetic_gives(known):
    assert json.loads(json.dumps(golden())) == known
    assert len(known["settings"]) == 18


def test_the_python_algebra(known, report):
    for setting in known["settings"]:
        w = setting["w"]
        same(whatif.total(report, w), setting["total"], np.abs(setting["weighted"]).sum())
        same(list(whatif.weighted(report, w)), setting["weighted"])
        same(list(whatif.shares(report, w)), setting["shares"])
        for place, group in enumerate((None, *report.groups)):
            norms = setting["termNorms"][place]
            same(whatif.grad_norm(report, w, group), setting["gradNorm"][place], max(norms))
            same(list(whatif.term_grad_norms(report, w, group)), norms)
            cosines = whatif.cosines(report, group)
            pairs = [(i, j) for i in range(5) for j in range(5) if setting["cosines"][place][i][j] is not None]
            same([cosines[i, j] for i, j in pairs], [setting["cosines"][place][i][j] for i, j in pairs], 1.0)


def test_the_front_end(known, report):
    named = [
        {name: x for name, x in zip(report.weight_names, setting["w"], strict=True) if name}
        for setting in known["settings"]
    ]
    answers = evaluate(panel_data(report), [(0, weights) for weights in named])["answers"]
    for setting, answer in zip(known["settings"], answers, strict=True):
        assert answer["w"] == setting["w"]
        same(answer["total"], setting["total"], np.abs(setting["weighted"]).sum())
        for key in ("weighted", "shares", "termNorms"):
            same(answer[key], setting[key])
        for found, wanted, norms in zip(answer["gradNorm"], setting["gradNorm"], setting["termNorms"], strict=True):
            same(found, wanted, max(norms))
        same(answer["cosines"], setting["cosines"], 1.0)
