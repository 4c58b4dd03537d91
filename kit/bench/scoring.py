"""Counting on one half of the bench, scoring on the other."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
import pandas as pd

from kit.bench.running import Line, check_keys
from kit.diagnosis import Diagnosis, judge
from kit.hypotheses import ALL, Answer, all_checks
from kit.hypotheses.likelihoods import NONE, Likelihoods

_WORDS = {"y": True, "n": False, "-": None}
_BINS = 10


def count(lines: Iterable[Line]) -> Likelihoods:
    """Answers per cause and way (a fault in a style), of the calibration half alone."""
    keys = check_keys()
    lines = [line for line in lines if line.split == "calibration"]
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for line in lines:
        counts.update((line.truth, line.way, key, word) for key, word in zip(keys, line.answers, strict=True))
    order = {cause: place for place, cause in enumerate([*(hypothesis.key for hypothesis in ALL), NONE])}
    ways = sorted({(line.truth, line.way) for line in lines}, key=lambda pair: (order[pair[0]], pair[1]))
    return Likelihoods(
        {(*pair,): {key: (counts[*pair, key, "y"], counts[*pair, key, "n"]) for key in keys} for pair in ways}
    )


def diagnosis_of(line: Line, likelihoods: Likelihoods) -> Diagnosis:
    """What ``kit.diagnose`` says about this run."""
    answers = {entry: Answer(_WORDS[word], "") for entry, word in zip(all_checks(ALL), line.answers, strict=True)}
    return judge(answers, likelihoods=likelihoods)


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
        """Healthy runs that were not called healthy."""
        return int((self.healthy["top"] != "healthy").sum())

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


def score(lines: Iterable[Line], likelihoods: Likelihoods) -> Score:
    """On the evaluation half alone.

    Raises:
        ValueError: there is no evaluation run.
    """
    lines = [line for line in lines if line.split == "evaluation"]
    if not lines:
        raise ValueError("lines should hold runs of the evaluation half. Found none.")
    rows, errors = [], []
    for line in lines:
        diagnosis = diagnosis_of(line, likelihoods)
        p = {cause.key: cause.posterior for cause in diagnosis.causes} | {NONE: diagnosis.nothing_probability}
        order = sorted(p, key=lambda key: -p[key])
        errors.append(sum((value - (key == line.truth)) ** 2 for key, value in p.items()))
        top = diagnosis.verdict if diagnosis.top is None else diagnosis.top.key
        rows.append(
            {
                "id": line.id,
                "style": line.style,
                "fault": line.fault,
                "truth": line.truth,
                "top": top,
                "rank": 1 + order.index(line.truth),
                "probability": p[line.truth],
                "highest": p[order[0]],
                "right": order[0] == line.truth,
            }
        )
    runs = pd.DataFrame(rows)
    return Score(runs, float(np.mean(errors)), _reliability(runs))


def _reliability(runs: pd.DataFrame) -> pd.DataFrame:
    bins = np.minimum((runs["highest"] * _BINS).astype(int), _BINS - 1)
    table = runs.groupby(bins).agg(probability=("highest", "mean"), right=("right", "mean"), runs=("right", "size"))
    return table.rename_axis("bin").reset_index(drop=True)


def to_csv(lines: Sequence[Line]) -> str:
    """The lines as a table; the answers in one column, in the order of the checks named in its heading."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [entry.name for entry in fields(Line) if entry.name not in ("id", "answers")]
    writer.writerow([*names, " ".join(check_keys())])
    for line in lines:
        record = asdict(line)
        writer.writerow([*(record[name] for name in names), line.answers])
    return out.getvalue()


def from_csv(text: str) -> list[Line]:
    """Raises ValueError for another table, or one whose checks are not those of this kit."""
    rows = list(csv.reader(io.StringIO(text)))
    names = [entry.name for entry in fields(Line) if entry.name not in ("id", "answers")]
    if not rows or rows[0] != [*names, " ".join(check_keys())]:
        raise ValueError(
            "The table of runs should have been made with these checks. Found another heading; run: python -m kit bench"
        )
    lines = []
    for row in rows[1:]:
        record = dict(zip(names, row[:-1], strict=True))
        record["seed"] = int(record["seed"])
        name = "/".join(str(record[key]) for key in ("style", "truth", "fault", "setting", "seed"))
        lines.append(Line(id=name, answers=row[-1], **record))
    return lines
