"""What the studies ask the reader: every answer has a verdict, exactly one holds unless the run has two faults, others are refused."""

from __future__ import annotations

import pytest

import kit
from kit.studies import Study

STUDIES = [study for study in vars(kit.studies).values() if isinstance(study, Study) and study.asked is not None]


def test_every_notebook_has_something_to_ask():
    assert len(STUDIES) == 9


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.key)
def test_the_question_is_a_question_with_different_answers(study):
    guess = study.guess()
    assert guess.question.endswith("?")
    assert len(guess.options) >= 3


@pytest.mark.parametrize(
    ("study", "holds"),
    [
        (kit.studies.missing_prediction, {"error near 1, gradient 0"}),
        (kit.studies.zero_outputs, {"larger than before"}),
        (kit.studies.ranking, {"Numerical instability: NaN becomes 0", "something else"}),
    ],
    ids=lambda value: getattr(value, "key", ""),
)
def test_the_verdict_is_of_what_was_measured_before_a_training(study, holds):
    guess = study.prepare().judge(study.guess())
    assert {answer for answer, reply in guess.replies.items() if ": confirmed." in reply} == holds


def test_a_guess_at_another_question_and_a_study_that_asks_nothing_are_refused():
    results = kit.studies.your_own_run.of(traces={})
    with pytest.raises(ValueError, match=r"guess should be of study 'your_own_run', of its guess\(\)\. Found a guess"):
        results.judge(kit.studies.zero_outputs.guess())
    with pytest.raises(ValueError, match=r"study 'overfit' should ask the reader something\. Found no question\."):
        kit.studies.overfit.guess()
