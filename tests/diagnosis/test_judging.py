"""The posterior against Bayes by hand; silence; verdicts."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import pytest

import kit
from kit.diagnosis import diagnose, judge, prior_of
from kit.diagnosis.missing import Notice
from kit.hypotheses import ALL, POLICY, REPORT, Answer, Check
from kit.hypotheses.likelihoods import NONE, Likelihoods
from tests.diagnosis._runs import healthy, observed

SUNNY = Check("sunny", "Is it sunny?", lambda seen, policy: Answer(None, ""))
WINDY = Check("windy", "Is it windy?", lambda seen, policy: Answer(None, ""))


def _hypothesis(key, prior, *signs):
    return kit.hypotheses.Hypothesis(key, key, "", "", "", signs=signs, prior=prior)


A, B = _hypothesis("a", 0.7, SUNNY), _hypothesis("b", 0.29, WINDY)
COUNTS = Likelihoods(
    {
        ("a", "only"): {"sunny": (8, 0), "windy": (2, 6)},
        ("b", "only"): {"sunny": (1, 7), "windy": (7, 1)},
        (NONE, "only"): {"sunny": (0, 8), "windy": (0, 8)},
    }
)


def _answers(**yes):
    checks = {"sunny": SUNNY, "windy": WINDY}
    return {checks[key]: Answer(value, "by hand") for key, value in yes.items()}


@pytest.mark.parametrize("sunny", [True, False, None])
@pytest.mark.parametrize("windy", [True, False, None])
def test_the_posterior_is_bayes_by_hand(sunny, windy):
    got = judge(_answers(sunny=sunny, windy=windy), hypotheses=(A, B), likelihoods=COUNTS)
    answers = {name: answer for name, answer in (("sunny", sunny), ("windy", windy)) if answer is not None}
    p_yes, joint = {}, {}
    for key in ("a", "b", NONE):
        for name in ("sunny", "windy"):
            yes, no = COUNTS.counts[key, "only"][name]
            p_yes[key, name] = (yes + 2 * (yes + 1) / (yes + no + 2)) / (yes + no + 2)
    average = {name: sum(p_yes[key, name] for key in ("a", "b", NONE)) / 3 for name in ("sunny", "windy")}
    for key, prior, sign in (("a", 0.7, "sunny"), ("b", 0.29, "windy"), (NONE, 0.01, None)):
        counted = math.prod(p_yes[key, name] if yes else 1 - p_yes[key, name] for name, yes in answers.items())
        unknown = {**average, sign: 2 / 3}
        other = math.prod(unknown[name] if yes else 1 - unknown[name] for name, yes in answers.items())
        joint[key] = prior * ((counted + other) / 2 if sign in answers else counted)
    total = sum(joint.values())
    for cause in got.causes:
        assert cause.posterior == pytest.approx(joint[cause.key] / total, rel=1e-12)
    assert got.nothing_probability == pytest.approx(joint[NONE] / total, rel=1e-12)


def test_probabilities_sum_to_one_for_any_answers():
    for sunny, windy in itertools.product([True, False, None], repeat=2):
        got = judge(_answers(sunny=sunny, windy=windy), hypotheses=(A, B), likelihoods=COUNTS)
        assert math.fsum(c.posterior for c in got.causes) + got.nothing_probability == pytest.approx(1)


def test_silent_findings_move_nothing():
    silent = judge(_answers(sunny=None, windy=None), hypotheses=(A, B), likelihoods=COUNTS)
    assert {c.key: c.posterior for c in silent.causes} == pytest.approx({"a": 0.7, "b": 0.29})
    one = judge(_answers(sunny=True), hypotheses=(A, B), likelihoods=COUNTS)
    with_silence = judge(_answers(sunny=True, windy=None), hypotheses=(A, B), likelihoods=COUNTS)
    assert [c.posterior for c in one.causes] == [c.posterior for c in with_silence.causes]
    assert with_silence.cause("b").silent == ("windy",)


def test_findings_for_and_against():
    got = judge(_answers(sunny=True, windy=False), hypotheses=(A, B), likelihoods=COUNTS)
    assert (
        "sunny" in got.cause("a").speaks_for
        and "sunny" in got.cause("b").speaks_against
        or got.cause("b").posterior < 0.29
    )
    assert "windy" in got.cause("b").speaks_against


def test_the_priors_are_the_reports_scaled():
    priors = prior_of(ALL)
    assert math.fsum(priors.values()) == pytest.approx(1)
    for one, other in itertools.combinations(REPORT, 2):
        assert priors[one.key] / priors[other.key] == pytest.approx(one.prior / other.prior)
    outside = {h.key for h in ALL} - {h.key for h in REPORT}
    assert {round(priors[key] / priors["nan_gradients"], 9) for key in outside | {NONE}} == {1.0}


def test_a_cause_without_a_sign_is_never_the_verdict():
    got = judge(_answers(sunny=False, windy=True), hypotheses=(A, B), likelihoods=COUNTS)
    assert got.top.key == "b" and not got.cause("a").has_sign
    nothing = judge(_answers(sunny=False, windy=False), hypotheses=(A, B), likelihoods=COUNTS)
    assert nothing.top is None


def test_a_cause_that_weighs_more_and_could_not_show_itself_is_named():
    likely = _hypothesis("a", 0.98, SUNNY)
    unseen = judge(_answers(sunny=None, windy=True), hypotheses=(likely, B), likelihoods=COUNTS)
    assert unseen.top.key == "b" and unseen.cause("a").posterior > unseen.top.posterior
    assert "Not ruled out, since none of its own signs was measured: a." in unseen.explain()
    seen = judge(_answers(sunny=False, windy=True), hypotheses=(likely, B), likelihoods=COUNTS)
    assert "none of its own signs" not in seen.explain()


def test_a_sign_that_healthy_runs_show_as_well_is_no_alarm():
    common = Likelihoods({**COUNTS.counts, (NONE, "only"): {"windy": (400, 0), "sunny": (0, 400)}})
    rare = _hypothesis("b", 0.001, WINDY)
    got = judge({WINDY: Answer(True, ""), SUNNY: Answer(False, ""), **_seen()}, hypotheses=(rare,), likelihoods=common)
    assert got.nothing_probability > got.cause("b").posterior
    assert got.verdict == "healthy" and got.top is None


def _seen():
    seen = {"loss_zero": "the losses were 1 to 2", "parameters_unmoved": "the parameters moved by 1 at most"}
    return {check: Answer(False, seen[check.key]) for check in kit.hypotheses.all_checks() if check.key in seen}


def test_healthy_not_a_fault_wrong_number_unexplained():
    assert diagnose(healthy()).verdict == "healthy"
    assert diagnose(healthy(train_loss=[0.0, 0.0, 0.0])).verdict == "wrong_number"
    assert diagnose(healthy(val_loss=[2.0, 2.0, 2.0])).verdict == "unexplained"
    assert diagnose(observed()).verdict == "nothing_found"
    alive = healthy(loss=[0.0] * 12, train_loss=[0.0] * 3)
    got = diagnose(alive)
    assert (got.verdict, got.top.key) == ("not_a_fault", "constant_by_design")
    assert str(got).startswith("Not a fault: the loss is constant by design (") and got.top.posterior >= POLICY.possible


def test_an_answer_is_asked_for_by_its_key_and_the_old_name_warns():
    found = diagnose(healthy())
    assert found.result("loss_zero").yes is False
    with pytest.raises(KeyError, match=r"key should be that of a check: train_reads_zero, .* Found 'x'"):
        found.result("x")
    with pytest.warns(DeprecationWarning, match=r"Diagnosis\.findings is now Diagnosis\.results"):
        assert found.findings is found.results


def test_unexplained_lists_what_was_seen_and_what_was_not():
    text = diagnose(healthy(val_loss=[2.0, 2.0, 2.0])).explain()
    assert "Observed: validation does not change (it reads 2 throughout)." in text
    verbose = diagnose(healthy(val_loss=[2.0, 2.0, 2.0])).explain(verbose=True)
    assert "- Has no target a supervised element? Not observed: the targets." in verbose


def test_the_table_and_the_json_say_the_same():
    got = diagnose(healthy(steps=[0] * 12, val_loss=[2.0] * 3))
    assert list(got.table.columns) == ["key", "title", "prior", "posterior", "for", "against", "silent", "verdict"]
    assert set(got.table["key"]) == {h.key for h in ALL}
    record = json.loads(json.dumps(got.to_dict()))
    assert record["verdict"] == got.verdict
    assert [c["posterior"] for c in record["causes"]] == list(got.table["posterior"])
    assert {f["answer"] for f in record["findings"]} <= {"yes", "no", "silent"}


def test_html_is_escaped():
    evil = Check("evil", "<img src=x onerror=alert(1)>?", lambda seen, policy: Answer(True, "</script><b>x</b>"))
    got = diagnose(
        healthy(), hypotheses=(kit.hypotheses.Hypothesis("evil", "<i>t</i>", "<u>c</u>", "", "", signs=(evil,)),)
    )
    html = got._repr_html_()
    assert "<img" not in html and "<i>" not in html and "<u>" not in html and "</script>" not in html


def test_frozen_and_clear_errors():
    got = diagnose(healthy())
    with pytest.raises(AttributeError):
        got.verdict = "fault"
    with pytest.raises(KeyError, match="key should be one of .*Found 'nobody'"):
        got.cause("nobody")
    with pytest.raises(TypeError, match=r"tables \.steps and \.epochs.*Found dict"):
        diagnose({"train_loss": [0.0]})
    with pytest.raises(ValueError, match="at least one hypothesis"):
        diagnose(healthy(), hypotheses=())


def test_thresholds_come_from_the_policy():
    nearly = healthy(val_loss=[2.0, 2.0 + 1e-5, 2.0])
    assert diagnose(nearly).result("validation_level").yes is False
    assert diagnose(nearly, policy=replace(POLICY, level=1e-4)).result("validation_level").yes is True


def test_without_what_has_to_be_there_nothing_is_called_healthy():
    lacks = (Notice("unknown_weights", "No losses."),)
    answers = _answers(sunny=False, windy=False) | _seen()
    assert judge(answers, hypotheses=(A, B), likelihoods=COUNTS).verdict == "healthy"
    lacking = judge(answers, hypotheses=(A, B), likelihoods=COUNTS, lacks=lacks)
    assert lacking.verdict == "nothing_found" and lacking.top is None
    assert str(lacking) == "No losses.\nNo sign of trouble in the loop itself."
    found = judge(_answers(sunny=True), hypotheses=(A, B), likelihoods=COUNTS, lacks=lacks)
    assert found.verdict == "fault" and str(found).startswith("No losses.\nMost likely: a (")


@pytest.mark.parametrize("unseen", ["loss_zero", "parameters_unmoved"])
def test_healthy_is_earned(unseen):
    part = {check: answer for check, answer in _seen().items() if check.key != unseen}
    assert judge(_answers(sunny=False) | _seen(), hypotheses=(A, B), likelihoods=COUNTS).verdict == "healthy"
    assert judge(_answers(sunny=False) | part, hypotheses=(A, B), likelihoods=COUNTS).verdict == "nothing_found"


def test_a_fact_that_decides_nothing_moves_no_probability():
    said = {SUNNY: Answer(True, "by hand", "the sun shone"), WINDY: Answer(True, "by hand")}
    plain = judge(_answers(sunny=True, windy=True), hypotheses=(A, B), likelihoods=COUNTS)
    stated = judge(said, hypotheses=(A, B), likelihoods=COUNTS)
    assert [c.posterior for c in plain.causes] == [c.posterior for c in stated.causes]
    assert plain.established == () and str(stated).startswith("Established: a: the sun shone.")


def test_a_fault_that_a_fact_establishes_comes_before_a_more_probable_one():
    said = {SUNNY: Answer(True, "by hand"), WINDY: Answer(True, "by hand", "the wind blew")}
    decided = replace(B, decisive=(WINDY,))
    weighed = judge(said, hypotheses=(A, B), likelihoods=COUNTS)
    found = judge(said, hypotheses=(A, decided), likelihoods=COUNTS)
    assert weighed.top.key == "a" and found.top.key == "b"
    assert found.cause("b").posterior == POLICY.established > weighed.cause("b").posterior
    assert sum(c.posterior for c in found.causes) + found.nothing_probability == pytest.approx(1)
    assert [cause.key for cause in found.named] == ["b"]
    consequence = judge(said, hypotheses=(replace(A, explains=("b",)), decided), likelihoods=COUNTS)
    assert consequence.top.key == "a" and consequence.established == ()


def test_an_improbable_cause_is_not_named():
    symptom = {next(c for c in kit.hypotheses.all_checks() if c.key == "validation_level"): Answer(True, "it reads 2")}
    said = _answers(sunny=True) | symptom
    rare = judge(said, hypotheses=(_hypothesis("a", 1e-6, SUNNY), B), likelihoods=COUNTS)
    assert rare.verdict == "unexplained" and rare.top is None and rare.cause("a").has_sign
    assert str(rare) == "Unexplained: there is a symptom, and the likeliest with a sign is a (below 0.1%)."
    calm = judge(_answers(sunny=True) | _seen(), hypotheses=(_hypothesis("a", 1e-6, SUNNY), B), likelihoods=COUNTS)
    assert calm.verdict == "healthy"


def test_while_display_and_recording_disagree_about_an_epoch_nothing_weighed_is_nearly_certain():
    run = healthy(train_loss=[9.0, 8.0, 7.0])
    policy, unclear = replace(POLICY, unsure=0.7), replace(run, facts={**run.facts, "epochs_displayed": 5})
    known, unknown = diagnose(run, policy=policy), diagnose(unclear, policy=policy)
    assert known.top.posterior > 0.7 and not known.top.facts, "the display is another number, and that is weighed"
    assert unknown.top.key == known.top.key and unknown.top.posterior == pytest.approx(0.7)
    assert sum(c.posterior for c in unknown.causes) + unknown.nothing_probability == pytest.approx(1)
