"""How good the diagnosis is on runs whose cause is known: counting on one half of them, scoring on the other.

The runs were recorded by the fault bench of a checkout (``tests/bench``, ``python -m kit bench --write``) and are shipped in ``data/``.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from kit.diagnosis.judging import judge
from kit.diagnosis.result import Diagnosis
from kit.files import shipped
from kit.hypotheses import ALL, Answer, all_checks
from kit.hypotheses.base_rates import base_rates
from kit.hypotheses.likelihoods import NONE, Likelihoods

RUNS_FILE = "bench_runs.csv"
OWN_LOOP = "ours"  # the style of the loop of ``kit.training``
COMMAND = "python -m kit bench --write"
_COLUMNS = ("style", "fault", "truth", "setting", "seed", "split")
_WORDS = {"y": True, "n": False, "F": True, "P": True}  # F: as a fact of the whole, P: as a fact about a part
_BINS = 10
SURE = 0.9


@dataclass(frozen=True)
class BenchRun:
    """One run with a known fault, and what every check answered.

    Attributes:
        style: how the loop is written; "ours" (``OWN_LOOP``) is the loop of ``kit.training``.
        fault: the fault, in words.
        truth: the key of the hypothesis that this fault makes true, or "none" for a healthy run.
        setting, seed: of data, network and order of the batches.
        split: likelihoods are counted on "calibration", scores on "evaluation".
        answers: check -> answered yes. A check that was silent is not in it, and neither is one that did not exist yet.
        facts: check -> whether its fact is about a part. Checks whose answer holds without exception.
    """

    style: str
    fault: str
    truth: str
    setting: str
    seed: int
    split: str
    answers: Mapping[str, bool]
    facts: Mapping[str, bool] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.style}/{self.truth}/{self.fault}/{self.setting}/{self.seed}"

    @property
    def way(self) -> str:
        """One way to have the cause: this fault in this style of loop."""
        return f"{self.style}: {self.fault}"


def count(runs: Iterable[BenchRun]) -> Likelihoods:
    """Answers per cause and way (a fault in a style), of the calibration half alone."""
    runs = [run for run in runs if run.split == "calibration"]
    counts = Counter((run.truth, run.way, key, yes) for run in runs for key, yes in run.answers.items())
    order = {cause: place for place, cause in enumerate([*(hypothesis.key for hypothesis in ALL), NONE])}
    ways = sorted({(run.truth, run.way) for run in runs}, key=lambda pair: (order[pair[0]], pair[1]))
    keys = check_keys()
    return Likelihoods(
        {(*pair,): {key: (counts[*pair, key, True], counts[*pair, key, False]) for key in keys} for pair in ways}
    )


def check_keys() -> tuple[str, ...]:
    """The keys of all checks, in their order."""
    return tuple(entry.key for entry in all_checks(ALL))


def diagnosis_of(run: BenchRun, likelihoods: Likelihoods) -> Diagnosis:
    """What ``kit.diagnose`` says about this run."""
    answers = {
        entry: Answer(
            run.answers.get(entry.key), "", entry.key if entry.key in run.facts else "", run.facts.get(entry.key, False)
        )
        for entry in all_checks(ALL)
    }
    return judge(answers, likelihoods=likelihoods, rates=None if run.style == OWN_LOOP else base_rates())


@dataclass(frozen=True)
class Score:
    """How good the diagnosis is on runs that it was not counted on.

    Attributes:
        runs: one row per evaluation run: id, style, fault, truth, top (a key, or the verdict without one), rank of the truth,
            probability given to the truth.
        brier: mean over the runs of the sum over causes of (probability - truth)^2; 0 is perfect, 2 the worst.
        reliability: bins of the highest probability: mean probability, share that was right, number of runs.
    """

    runs: pd.DataFrame
    brier: float
    reliability: pd.DataFrame

    @property
    def faulty(self) -> pd.DataFrame:
        return self.runs[self.runs["truth"] != NONE]

    @property
    def healthy(self) -> pd.DataFrame:
        return self.runs[self.runs["truth"] == NONE]

    @property
    def top1(self) -> float:
        """Share of the faulty runs whose first cause is the true one."""
        return float((self.faulty["top"] == self.faulty["truth"]).mean())

    @property
    def top3(self) -> float:
        """Share of the faulty runs whose true cause is among the first three."""
        return float((self.faulty["rank"] <= 3).mean())

    @property
    def false_alarms(self) -> int:
        """Healthy runs in which something was found, or a symptom without a cause."""
        return int((~self.healthy["top"].isin(("healthy", "nothing_found"))).sum())

    @property
    def sure_and_wrong(self) -> float:
        """Of the runs whose most probable cause has more than 90 %, the share in which it is not the true one."""
        sure = self.runs[self.runs["highest"] > SURE]
        return float((~sure["right"]).mean()) if len(sure) else 0.0

    @property
    def confusion(self) -> pd.DataFrame:
        """True cause (rows) against what was said (columns), in runs."""
        table = pd.crosstab(self.runs["truth"].replace(NONE, "healthy"), self.runs["top"])
        order = [h.key for h in ALL] + ["healthy", "unexplained"]
        rows = [key for key in order if key in table.index]
        columns = [key for key in order if key in table.columns or key in rows]
        return table.reindex(index=rows, columns=columns, fill_value=0)

    def __str__(self) -> str:
        return (
            f"{len(self.faulty)} faulty runs: top-1 {self.top1:.1%}, top-3 {self.top3:.1%}; "
            f"{len(self.healthy)} healthy runs in {self.healthy['style'].nunique()} styles: {self.false_alarms} false alarms; "
            f"Brier score {self.brier:.4f}"
        )


def score(runs: Iterable[BenchRun], likelihoods: Likelihoods) -> Score:
    """On the evaluation half alone.

    Raises:
        ValueError: there is no evaluation run.
    """
    return _score(runs, lambda run: likelihoods)


def leave_one_style_out(runs: Iterable[BenchRun]) -> Score:
    """On the evaluation half, each run weighed by counts that hold no program of its style.

    Raises:
        ValueError: there is no evaluation run.
    """
    runs = list(runs)
    every = count(runs).counts
    others = {
        style: Likelihoods({(cause, way): c for (cause, way), c in every.items() if not way.startswith(f"{style}: ")})
        for style in {run.style for run in runs}
    }
    return _score(runs, lambda run: others[run.style])


def _score(runs: Iterable[BenchRun], counted: Callable[[BenchRun], Likelihoods]) -> Score:
    runs = [run for run in runs if run.split == "evaluation"]
    if not runs:
        raise ValueError("runs should hold some of the evaluation half. Found none.")
    rows, errors = [], []
    for run in runs:
        diagnosis = diagnosis_of(run, counted(run))
        p = {cause.key: cause.posterior for cause in diagnosis.causes} | {NONE: diagnosis.nothing_probability}
        order = sorted(p, key=lambda key: -p[key])
        errors.append(sum((value - (key == run.truth)) ** 2 for key, value in p.items()))
        top = diagnosis.verdict if diagnosis.top is None else diagnosis.top.key
        rows.append(
            {
                "id": run.id,
                "style": run.style,
                "fault": run.fault,
                "truth": run.truth,
                "top": top,
                "rank": 1 + order.index(run.truth),
                "probability": p[run.truth],
                "highest": p[order[0]],
                "right": order[0] == run.truth,
            }
        )
    table = pd.DataFrame(rows)
    return Score(table, float(np.mean(errors)), _reliability(table))


def _reliability(runs: pd.DataFrame) -> pd.DataFrame:
    bins = np.minimum((runs["highest"] * _BINS).astype(int), _BINS - 1)
    table = runs.groupby(bins).agg(probability=("highest", "mean"), right=("right", "mean"), runs=("right", "size"))
    return table.rename_axis("bin").reset_index(drop=True)


def to_csv(runs: Sequence[BenchRun]) -> str:
    """The runs as a table; the answers in one column, a letter per check, in the order of the checks named in its heading."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    keys = check_keys()
    writer.writerow([*_COLUMNS, " ".join(keys)])
    for run in runs:
        letters = "".join(_letter(run, key) for key in keys)
        writer.writerow([*(getattr(run, name) for name in _COLUMNS), letters])
    return out.getvalue()


def _letter(run: BenchRun, key: str) -> str:
    if key in run.facts:
        return "P" if run.facts[key] else "F"
    return {True: "y", False: "n", None: "-"}[run.answers.get(key)]


def from_csv(text: str) -> list[BenchRun]:
    """Answers are matched by the name of the check: one that the table does not know is silent.

    Raises:
        ValueError: another table, or a row that does not fit its heading.
    """
    rows = list(csv.reader(io.StringIO(text)))
    if not rows or tuple(rows[0][:-1]) != _COLUMNS:
        raise ValueError(f"The table of runs should begin with the columns {', '.join(_COLUMNS)}. Found {rows[:1]}.")
    keys = rows[0][-1].split()
    runs = []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(rows[0]) or len(row[-1]) != len(keys):
            raise ValueError(f"Line {number} of the table of runs should hold {len(keys)} answers. Found {row}.")
        record: dict[str, Any] = dict(zip(_COLUMNS, row, strict=False))
        answers = {key: _WORDS[letter] for key, letter in zip(keys, row[-1], strict=True) if letter in _WORDS}
        facts = {key: letter == "P" for key, letter in zip(keys, row[-1], strict=True) if letter in "FP"}
        runs.append(BenchRun(**{**record, "seed": int(record["seed"])}, answers=answers, facts=facts))
    return runs


def shipped_runs() -> list[BenchRun]:
    """The recorded fault bench of ``data/``: every run with its answers."""
    return from_csv(shipped(RUNS_FILE, COMMAND).read_text(encoding="utf-8"))
