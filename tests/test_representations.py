"""What is looked at prints as `Class(key=value, ...)`, on one short line; `print` may say more."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import kit
from kit.journal import Journal
from kit.panel import JournalView
from kit.training import OverfitResult, TrainingHistory
from tests.panel._panel_cases import make_report
from tests.stepgraph import _probe_cases as cases

KIT = Path(__file__).resolve().parents[1] / "kit"


def written_by_hand() -> list[tuple[str, ast.FunctionDef]]:
    texts = [path.read_text(encoding="utf-8") for path in sorted(KIT.rglob("*.py"))]
    trees = [ast.parse(text) for text in texts if "def __repr__" in text]
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return [(c.name, f) for c in classes for f in c.body if isinstance(f, ast.FunctionDef) and f.name == "__repr__"]


@pytest.mark.parametrize(("name", "function"), [pytest.param(*pair, id=pair[0]) for pair in written_by_hand()])
def test_a_representation_begins_with_the_class_and_a_key(name, function):
    returned = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    for value in returned:
        first = value.values[0] if isinstance(value, ast.JoinedStr) else value
        assert isinstance(first, ast.Constant) and first.value.startswith(f"{name}("), ast.unparse(value)
        assert first.value.partition("(")[2].partition("=")[0].isidentifier() and "\n" not in ast.unparse(value)


def watched():
    model, (inputs, _target) = cases.make()
    with kit.watch(model) as run:
        model(inputs)
    return run


def an_example(kind: str, tmp_path: Path) -> object:
    examples = {
        "Batch": kit.datasets.load_scenes,
        "Diagnosis": lambda: kit.diagnose(kit.datasets.load_faulty_run()),
        "Journal": lambda: Journal(tmp_path),
        "JournalView": lambda: JournalView(list, {}),
        "OverfitResult": lambda: OverfitResult(kit.datasets.load_faulty_run(), {"drop": ("1", "2", False)}),
        "Panel": lambda: kit.Panel(make_report(0)),
        "ProbeReport": lambda: kit.probe(cases.make()[0], cases.Weighted(), cases.make()[1]),
        "Trace": lambda: watched().trace,
        "TrainingHistory": kit.datasets.load_faulty_run,
        "Watch": watched,
        "Written": lambda: kit.write_html(tmp_path / "x.html", kit.Finding("Why?", "So.", "open", "Because.")),
    }
    return examples[kind]()


@pytest.mark.parametrize(
    ("kind", "parts"),
    {
        "Batch": ("scenes=96", "N=144", "dtype=torch.complex64"),
        "Diagnosis": ("verdict=", "top='NaN or infinity", "sure='"),
        "Journal": ("path='journal.db'", "findings=0"),
        "JournalView": ("findings=0",),
        "OverfitResult": ("passed=False", "epochs=8"),
        "Panel": ("case='as probed'", "weights={'lam_cov': "),
        "ProbeReport": ("total=", "grad_norm=", "terms=", "groups="),
        "Trace": ("epochs=", "steps=0", "model='", "ended='return'"),
        "TrainingHistory": ("epochs=8", "train_loss=0", "steps_taken=0"),
        "Watch": ("entered=True", "ended=True", "trace=Trace("),
        "Written": ("path='", "x.html'"),
    }.items(),
)
def test_a_representation_is_one_line_with_the_numbers_that_matter(kind, parts, tmp_path):
    text = repr(an_example(kind, tmp_path))
    assert text.startswith(f"{kind}(") and text.endswith(")") and "\n" not in text and len(text) < 220
    assert not [part for part in parts if part not in text], text


@pytest.mark.parametrize("kind", ["Diagnosis", "OverfitResult", "ProbeReport", "Trace", "Watch"])
def test_print_says_what_is_too_long_for_a_line(kind, tmp_path):
    assert len(str(an_example(kind, tmp_path)).splitlines()) > 1


def test_a_history_prints_where_its_losses_went():
    assert "train 0.0000 -> 0.0000" in str(kit.datasets.load_faulty_run())
    assert str(TrainingHistory((), ())) == "TrainingHistory(epochs=0)"
