"""A study: one question, the runs that answer it, and the page entry that follows from what they show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import pandas as pd

from kit import datasets
from kit.hypotheses import OneStep
from kit.panel import Guess, Panel, Preset, presets_of
from kit.plots import Evidence, compare_runs_evidence
from kit.report import Answer, Finding, PanelSetting, Table
from kit.studies.setup import Setup, WatchedRun
from kit.studies.symptom import shows_symptom
from kit.studies.tables import Claim, claims_table, readings_table, runs_frame, runs_sure, symptom_table
from kit.training import System, TrainingHistory

PANEL = "panel"  # where the panel stands among the evidence
Shown = Evidence | Table | str
_NO_RUNS: Mapping[str, TrainingHistory] = MappingProxyType({})
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Words:
    """The sentences of a page entry, which follow what was measured; fields as in ``Finding``."""

    verdict: str
    answer: str
    fix: str = ""
    remains: str = ""
    why: str = ""
    sure: str = ""
    summary: Answer | None = None


@dataclass(frozen=True)
class Asked:
    """What a reader guesses at before anything is measured.

    Args:
        question: as it is asked.
        answers: answer -> whether it holds of what was measured.
        measured: what was measured, in a sentence.
    """

    question: str
    answers: Mapping[str, Callable[[Results], bool]]
    measured: Callable[[Results], str]


@dataclass(frozen=True)
class Study:
    """A question, as data.

    Args:
        key: of the study, an identifier.
        question: the title of its notebook and of its page entry.
        claim: the sentence that is tested.
        asked: what a reader guesses at first.
        words: what the results say.
        evidence: what the page shows of it, in order: keys of ``shown``, of ``COMMON``, or ``PANEL``.
        setups: name of a run -> what it changes in the system.
        watched: whether the runs are watched and diagnosed as well.
        system: what is trained unless another is given; None where nothing is.
        before: name of a fact -> how it is measured on the system before anything is trained; ``step`` is one probed batch.
        after: name of a fact -> how it follows from the runs.
        claims: the sentences that are judged one by one.
        shown: name -> a figure, table or text of the results, beside those of ``COMMON``.
        panel_title: over the panel of one batch.
        presets: the panel's buttons.
        panel: the panel, where it is not every state of the step with these presets.
        setting: the state in which the panel opens, and which an entry refers to on a page that has the panel elsewhere.
    """

    key: str
    question: str
    claim: str
    words: Callable[[Results], Words]
    evidence: tuple[str, ...]
    asked: Asked | None = None
    setups: Mapping[str, Setup] = field(default_factory=lambda: _NOTHING)
    watched: bool = False
    system: Callable[[], System | None] = lambda: datasets.reference_system()
    before: Mapping[str, Callable[[Any], Any]] = field(default_factory=lambda: _NOTHING)
    after: Mapping[str, Callable[[Results], Any]] = field(default_factory=lambda: _NOTHING)
    claims: Callable[[Results], tuple[Claim, ...]] = lambda results: ()
    shown: Mapping[str, Callable[[Results], Shown]] = field(default_factory=lambda: _NOTHING)
    panel_title: str = ""
    presets: Callable[[OneStep], Sequence[Preset]] = presets_of
    panel: Callable[[OneStep], Panel] | None = None
    setting: PanelSetting | None = None

    def guess(self) -> Guess:
        """The study's question to the reader, as buttons; ``Results.judge`` replies.

        Raises:
            ValueError: the study asks nothing.
        """
        if self.asked is None:
            raise ValueError(f"study {self.key!r} should ask the reader something. Found no question.")
        return Guess(self.asked.question, list(self.asked.answers))

    def prepare(self, system: System | None = None, **facts: Any) -> Results:
        """What is measured before anything is trained; a fact that is passed is not measured again.

        Raises:
            ValueError: a fact that the study does not have.
        """
        for name in facts:
            if name not in self.before:
                known = ", ".join(self.before) or "none"
                raise ValueError(f"facts of {self.key!r} should be of {known}. Found {name!r}.")
        system = self.system() if system is None else system
        measured = {name: facts[name] if name in facts else measure(system) for name, measure in self.before.items()}
        return Results(self, system, facts=MappingProxyType(measured))

    def of(self, **facts: Any) -> Results:
        """Results of what was measured elsewhere."""
        return Results(self, facts=MappingProxyType(facts))

    def run(
        self,
        system: System | None = None,
        *,
        known: Mapping[str, TrainingHistory] = _NO_RUNS,
        progress: Callable[[str], None] = lambda run: None,
    ) -> Results:
        """Prepare, and train every setup: the same network, data, seed and order of batches.

        Args:
            system: what is trained.
            known: name -> a run of the same system that need not be trained again.
            progress: called with a run's name when it is there.
        """
        return self.prepare(system).train(known=known, progress=progress)


@dataclass(frozen=True)
class Results:
    """What a study found.

    Attributes:
        study, system: of what.
        runs: name -> what the loop recorded of itself.
        watched: name -> the same run as a watch saw it, for a study whose runs are watched.
        facts: what was measured beside the runs: ``step``, ``diagnosis``, …
    """

    study: Study
    system: System | None = None
    runs: Mapping[str, TrainingHistory] = field(default_factory=lambda: _NO_RUNS)
    watched: Mapping[str, WatchedRun] = field(default_factory=lambda: _NOTHING)
    facts: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)

    def __repr__(self) -> str:
        return f"Results(study={self.study.key!r}, runs=[{', '.join(self.runs)}], facts=[{', '.join(self.facts)}])"

    def train(
        self,
        *,
        known: Mapping[str, TrainingHistory] = _NO_RUNS,
        progress: Callable[[str], None] = lambda run: None,
    ) -> Results:
        """Train every setup of the study; see ``Study.run``."""
        runs: dict[str, TrainingHistory] = {}
        watched: dict[str, WatchedRun] = {}
        for name, setup in self.study.setups.items():
            if name in known:
                runs[name] = known[name]
            elif self.system is None:
                raise ValueError(
                    f"study {self.study.key!r} should have a system to train. Found facts that were measured elsewhere."
                )
            elif self.study.watched:
                watched[name] = setup.watched(self.system)
                runs[name] = watched[name].history
            else:
                runs[name] = setup.run(self.system)
            progress(name)
        trained = replace(self, runs=MappingProxyType(runs), watched=MappingProxyType(watched))
        after = {name: follow(trained) for name, follow in self.study.after.items()}
        return replace(trained, facts=MappingProxyType({**self.facts, **after}))

    @property
    def step(self) -> OneStep:
        """One batch of the system as it is, and under what the hypothesis changes."""
        return self.facts["step"]

    @property
    def table(self) -> pd.DataFrame:
        """One row per run: losses first and last, counts, gradient norm, and whether it shows the symptom."""
        return runs_frame(self.runs)

    @property
    def claims(self) -> tuple[Claim, ...]:
        return self.study.claims(self)

    @property
    def seed(self) -> int | None:
        return None if self.system is None else self.system.seed

    def caption(self, run: str) -> str:
        """The run's name where it is shown."""
        return self.study.setups[run].caption

    def captioned(self) -> dict[str, TrainingHistory]:
        """The runs under the names that are shown."""
        return {self.caption(name): history for name, history in self.runs.items()}

    def showing_symptom(self, *names: str) -> list[str]:
        """Captions of those of these runs (of all, if none is named) that show the symptom."""
        return [self.caption(name) for name in names or self.runs if shows_symptom(self.runs[name])]

    def show(self, name: str) -> Shown:
        """A figure, table or text of these results.

        Raises:
            ValueError: a name that the study does not have.
        """
        known = {**COMMON, **self.study.shown}
        if name not in known:
            raise ValueError(f"name should be one of {', '.join(known)}. Found {name!r}.")
        return known[name](self)

    def judge(self, guess: Guess) -> Guess:
        """The reader's guess, with its verdict: what was measured decides, whatever was pressed.

        Args:
            guess: of the same study.
        Raises:
            ValueError: a guess at another question.
        """
        asked = self.study.asked
        if asked is None or guess.question != asked.question:
            found = f"Found a guess at {guess.question!r}."
            raise ValueError(f"guess should be of study {self.study.key!r}, of its guess(). {found}")
        guess.judge({answer: holds(self) for answer, holds in asked.answers.items()}, asked.measured(self))
        return guess

    def panel(self) -> Panel:
        """The panel of one batch, with the presets of this study."""
        study = self.study
        if study.panel is not None:
            return study.panel(self.step)
        panel = Panel(self.step.reports, presets=study.presets(self.step), title=study.panel_title)
        if study.setting is not None:
            panel.case = study.setting.case
        return panel

    def finding(self, panel: Panel | PanelSetting | None = None, *, command: str = "") -> Finding:
        """The page entry, worded by what was measured.

        Args:
            panel: stands among the evidence; where there is none, nothing does.
            command: how to see it again.
        """
        said = self.study.words(self)
        shown = [panel if name == PANEL else self.show(name) for name in self.study.evidence]
        return Finding(
            question=self.study.question,
            claim=self.study.claim,
            verdict=said.verdict,
            answer=said.answer,
            evidence=[piece for piece in shown if piece is not None],
            fix=said.fix,
            why=said.why,
            remains=said.remains,
            sure=said.sure or (runs_sure(self.runs, self.seed) if self.runs else ""),
            summary=said.summary,
            seed=self.seed,
            command=command,
        )


COMMON: Mapping[str, Callable[[Results], Shown]] = MappingProxyType(
    {
        "readings": lambda results: readings_table(results.step),
        "claims": lambda results: claims_table(results.claims),
        "curves": lambda results: compare_runs_evidence(results.captioned()),
        "symptoms": lambda results: symptom_table(results.captioned()),
    }
)
