"""How often each check is answered yes under each cause: counted on the fault bench, smoothed after Laplace."""

from __future__ import annotations

import csv
import functools
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kit.files import shipped
from kit.hypotheses.base import Hypothesis

FILE = "likelihoods.csv"
NONE = "none"  # the cause of a healthy run
Counts = Mapping[tuple[str, str], Mapping[str, tuple[int, int]]]


@dataclass(frozen=True)
class Likelihoods:
    """Counts of answers, for every way to have a cause that the bench knows.

        P(yes | cause) = (yes + 1) / (yes + no + 2)                         over the runs of all its ways
        P(yes | way)   = (yes + 2 P(yes | cause)) / (yes + no + 2)          a way seen seldom answers like its cause
        P(answers | cause) = mean over its ways of the product over the answers of P(answer | way)

    A cause can be had in several ways that look different (all weights zero, one weight zero): within one way the answers are taken
    as independent, over the whole cause they are not. One more way stands for those that were not counted: one of the cause's signs is there, yes
    with 2/3, and all else is as on average. Runs in which a check was silent count for neither. A cause that the bench has
    not counted yet answers like the average of the others, and yes to its own signs with 2/3: as if it had been seen once.

    Attributes:
        counts: (cause, way) -> check -> (runs answered yes, runs answered no).
    """

    counts: Counts

    @functools.cached_property
    def ways(self) -> Mapping[str, tuple[Mapping[str, float], ...]]:
        """Cause -> P(yes) of every check, for each of its ways."""
        grouped: dict[str, list[Mapping[str, tuple[int, int]]]] = {}
        for (cause, _), checks in self.counts.items():
            grouped.setdefault(cause, []).append(checks)
        found = {}
        for cause, ways in grouped.items():
            keys = {key for way in ways for key in way}
            overall = {
                key: _smoothed(*map(sum, zip(*(way.get(key, (0, 0)) for way in ways), strict=True))) for key in keys
            }
            found[cause] = tuple(
                {key: _smoothed(*way.get(key, (0, 0)), towards=overall[key]) for key in keys} for way in ways
            )
        return found

    def log_likelihood(self, cause: str, told: Mapping[str, bool], signs: Iterable[str] = ()) -> float:
        """log P(answers | cause). ``told``: check -> answered yes; silent checks are not in it."""
        if cause not in self.ways:
            return math.fsum(math.log(self.probability(cause, key, yes, signs)) for key, yes in told.items())
        keys, logs = self._logs
        columns = np.array([2 * keys[key] + yes for key, yes in told.items() if key in keys], dtype=np.intp)
        sums = logs[cause][:, columns].sum(axis=1) + (len(told) - len(columns)) * math.log(0.5)
        unknown = self._unknown_ways(told, [sign for sign in signs if sign in told])
        weighed = np.concatenate([sums, unknown - math.log(max(len(unknown), 1))])
        return float(np.logaddexp.reduce(weighed) - math.log(len(sums) + min(len(unknown), 1)))

    def _unknown_ways(self, told: Mapping[str, bool], signs: Sequence[str]) -> np.ndarray:
        """log P(answers) of a way that was not counted, for each sign that it may show: all else is as on average."""
        keys, average = self._logs[0], self._log_average
        known = {key: average[2 * keys[key] + yes] for key, yes in told.items() if key in keys}
        total = math.fsum(known.values()) + (len(told) - len(known)) * math.log(0.5)
        shown = {True: math.log(_smoothed(1, 0)), False: math.log(1 - _smoothed(1, 0))}
        return np.array([total + shown[told[sign]] - known.get(sign, math.log(0.5)) for sign in signs])

    @functools.cached_property
    def _log_average(self) -> np.ndarray:
        """Every counted cause weighing the same: log P of no in column 2 k, of yes in column 2 k + 1."""
        p = np.array([self.background(key) for key in self._logs[0]])
        return np.log(np.stack([1 - p, p], axis=1)).reshape(-1)

    @functools.cached_property
    def _logs(self) -> tuple[Mapping[str, int], Mapping[str, np.ndarray]]:
        """Check -> its place k, and per cause log P [ways, 2 checks]: of no in column 2 k, of yes in column 2 k + 1."""
        keys = {
            key: place for place, key in enumerate(dict.fromkeys(key for way in self.counts.values() for key in way))
        }
        logs = {}
        for cause, ways in self.ways.items():
            p = np.array([[way.get(key, 0.5) for key in keys] for way in ways])
            logs[cause] = np.log(np.stack([1 - p, p], axis=2)).reshape(len(ways), -1)
        return keys, logs

    def probability(self, cause: str, check: str, yes: bool, signs: Iterable[str] = ()) -> float:
        """P(answer | cause) of one check alone, never 0 and never 1."""
        if cause in self.ways:
            p = self._means[cause].get(check, 0.5)
            return p if yes else 1 - p
        p = _smoothed(1, 0) if check in signs else self.background(check)
        return p if yes else 1 - p

    def background(self, check: str) -> float:
        """P(yes), every counted cause weighing the same; 1/2 if nothing was counted."""
        return self._backgrounds.get(check, 0.5)

    @functools.cached_property
    def _means(self) -> Mapping[str, Mapping[str, float]]:
        """Cause -> check -> P(yes), the mean over its ways."""
        return {
            cause: {key: math.fsum(way[key] for way in ways) / len(ways) for key in ways[0]}
            for cause, ways in self.ways.items()
        }

    @functools.cached_property
    def _backgrounds(self) -> Mapping[str, float]:
        keys = {key for checks in self._means.values() for key in checks}
        return {key: math.fsum(m.get(key, 0.5) for m in self._means.values()) / len(self._means) for key in keys}

    def bits(self, hypothesis: Hypothesis, check: str, yes: bool) -> float:
        """How much this answer speaks for the hypothesis, against the average of all causes: log2 of the ratio."""
        place = hypothesis.key, check, yes
        if place in self._bits:
            return self._bits[place]
        p = self.probability(*place, [sign.key for sign in hypothesis.signs])
        background = self.background(check)
        found = math.log2(p / (background if yes else 1 - background))
        if hypothesis.key in self.ways:  # of others it depends on their signs
            self._bits[place] = found
        return found

    @functools.cached_property
    def _bits(self) -> dict[tuple[str, str, bool], float]:
        """What ``bits`` has computed: a bench asks for the same again and again."""
        return {}

    def to_csv(self) -> str:
        """One row per way: cause, way, and for each check the counts as ``yes:no``."""
        checks = list(dict.fromkeys(key for way in self.counts.values() for key in way))
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["cause", "way", *checks])
        for (cause, name), way in self.counts.items():
            writer.writerow([cause, name, *("{}:{}".format(*way.get(key, (0, 0))) for key in checks)])
        return out.getvalue()

    @classmethod
    def from_csv(cls, text: str) -> Likelihoods:
        """Raises ValueError for another table, or a count that is not two integers >= 0."""
        rows = list(csv.reader(io.StringIO(text)))
        if not rows or rows[0][:2] != ["cause", "way"]:
            raise ValueError(f"The likelihood table should begin with the columns cause, way. Found {rows[:1]}.")
        counts = {}
        for number, row in enumerate(rows[1:], start=2):
            pairs = [cell.split(":") for cell in row[2:]]
            if len(row) != len(rows[0]) or not all(len(pair) == 2 and all(map(str.isdecimal, pair)) for pair in pairs):
                raise ValueError(f"Line {number} of the likelihood table should hold counts like 3:1. Found {row}.")
            numbers = [(int(yes), int(no)) for yes, no in pairs]
            counts[row[0], row[1]] = dict(zip(rows[0][2:], numbers, strict=True))
        return cls(counts)


def _smoothed(yes: int, no: int, towards: float = 0.5) -> float:
    return (yes + 2 * towards) / (yes + no + 2)


@functools.cache
def shipped_likelihoods() -> Likelihoods:
    """The table in ``data/``; ``python -m kit bench --write`` counts it again."""
    return Likelihoods.from_csv(shipped(FILE, "python -m kit bench --write").read_text(encoding="utf-8"))
