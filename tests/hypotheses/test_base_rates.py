"""Base rates are counted from public threads, and are the prior of everybody's run but the report's."""

from __future__ import annotations

import csv

import pytest
import torch
from torch import nn

import kit
from kit.diagnosis import diagnose, prior_of
from kit.files import shipped
from kit.hypotheses import ALL
from kit.hypotheses.base_rates import COLUMNS, FILE, OTHER, base_rates, count_cases
from kit.hypotheses.checking import LINKS
from kit.hypotheses.likelihoods import NONE

HEAD = ",".join(COLUMNS)


@pytest.fixture(scope="module")
def rows():
    with shipped(FILE).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_thread_has_an_address_a_cause_and_a_link_of_ours(rows):
    keys = {hypothesis.key for hypothesis in ALL}
    assert len(rows) > 130 and len({row["address"] for row in rows}) == len(rows)
    for row in rows:
        assert row["address"].startswith("https://") and row["symptom"].strip()
        assert row["cause"] in keys | {OTHER} and row["link"] in LINKS and row["status"] in ("C", "P")


def test_the_prior_of_a_strangers_run_is_counted_by_hand(rows):
    counted = [row["cause"] for row in rows]
    priors = prior_of(ALL, rates=base_rates())
    total = len(rows) + len(ALL) + 1
    for hypothesis in ALL:
        assert priors[hypothesis.key] == pytest.approx((counted.count(hypothesis.key) + 1) / total)
    assert priors[NONE] == pytest.approx((counted.count(OTHER) + 1) / total)
    assert sum(priors.values()) == pytest.approx(1)


def test_the_report_has_its_own_percentages_and_no_other_run_has():
    report = diagnose(kit.datasets.load_faulty_run())
    assert report.cause("loss_weights").prior / report.cause("loss_initialisation").prior == pytest.approx(90 / 5)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with kit.watch(model) as run:
        for _ in range(4):
            optimizer.zero_grad()
            model(torch.ones(4, 3)).square().mean().backward()
            optimizer.step()
    other = diagnose(run.trace)
    rates = base_rates()
    wanted = (rates["loss_weights"] + 1) / (rates["nan_gradients"] + 1)
    assert other.cause("loss_weights").prior / other.cause("nan_gradients").prior == pytest.approx(wanted)


def test_tables_that_are_none_of_cases():
    with pytest.raises(ValueError, match="should have the columns address, symptom, cause, link, status. Found 'a,b"):
        count_cases("a,b\n1,2\n")
    with pytest.raises(ValueError, match="once. Found twice: https://x"):
        count_cases(f"{HEAD}\nhttps://x,s,other,data,C\nhttps://x,s,other,data,C\n")
