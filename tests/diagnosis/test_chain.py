"""The chain of a step: which link breaks, what follows from it, since when, and how it is drawn."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import kit
from kit.diagnosis import diagnose
from kit.diagnosis.chain import NOT_OBSERVED, WORKING, chain_of
from kit.hypotheses import ALL, Answer, all_checks
from kit.hypotheses.checking import BROKEN, LINKS, check
from kit.plots import chain as drawn
from kit.plots import chain_evidence
from tests.diagnosis._programs import Program, watched
from tests.diagnosis._runs import healthy, observed

BREAKING = [entry for entry in all_checks(ALL) if entry.state]


def ends(found):
    return [(link.name, link.state) for link in found.broken]


def test_every_link_once_and_in_order_and_none_broken_in_a_healthy_run():
    found = diagnose(healthy()).chain
    assert [link.name for link in found.whole] == list(LINKS)
    assert found.broken == () and found.parts == ()
    assert found.whole[LINKS.index("total")].state == WORKING
    assert found.ends.startswith("Every link that was observed works.")


def test_of_nothing_nothing_was_observed():
    found = chain_of(observed(), {})
    assert found.not_observed == LINKS and not found.broken
    assert {link.state for link in found.links} == {NOT_OBSERVED}


@pytest.mark.parametrize("entry", BREAKING, ids=[entry.key for entry in BREAKING])
@pytest.mark.parametrize("part", [False, True])
def test_a_yes_breaks_the_link_that_the_check_asks_about(entry, part):
    found = chain_of(observed(), {entry: Answer(True, "measured", "a fact", part)})
    (link,) = found.broken
    assert (link.name, link.state, link.said, link.check) == (entry.link, entry.state, "a fact", entry.key)
    assert bool(link.path) is part
    for answer in (Answer(False, "measured"), Answer(None, "not observed")):
        assert not chain_of(observed(), {entry: answer}).broken


def test_every_check_asks_about_a_link_and_every_cause_breaks_one():
    assert all(entry.link in LINKS and entry.state in ("", *BROKEN) for entry in all_checks(ALL))
    for hypothesis in ALL:
        assert hypothesis.links and any(sign.state for sign in hypothesis.signs), hypothesis.key
    with pytest.raises(ValueError, match=r"link should be one of data, .* Found 'netz'"):
        check("?", link="netz")
    with pytest.raises(ValueError, match="state should be one of constant, .* Found 'broken'"):
        check("?", link="data", state="broken")


def test_what_follows_from_a_broken_link_is_no_finding_of_its_own():
    found = diagnose(healthy(grad_nonfinite=[4] * 12, val_loss=[2.0] * 3)).chain
    assert ends(found) == [("gradients", "not finite")]
    evaluation = found.whole[LINKS.index("evaluation")]
    assert evaluation.broken and evaluation.behind
    assert str(found).count("\nx ") == 1 and "\n. evaluation" in str(found)


def test_a_wrong_display_follows_from_nothing():
    found = diagnose(healthy(grad_nonfinite=[4] * 12, train_loss=[0.0] * 3)).chain
    assert ends(found) == [("gradients", "not finite"), ("display", "replaced")]


def test_a_display_that_shows_a_total_of_0_follows_from_it():
    found = diagnose(healthy(loss=[0.0] * 12, train_loss=[0.0] * 3)).chain
    assert ends(found) == [("total", "zero")]
    assert found.whole[-1].state == "zero" and found.whole[-1].behind


@pytest.mark.parametrize("since", [1, 5, 9])
def test_a_fault_that_sets_in_later_is_dated(since):
    losses = [3.0 - 0.1 * step if step < since else 0.0 for step in range(1, 13)]
    link = diagnose(healthy(turn=list(range(1, 13)), loss=losses)).chain.broken[0]
    assert (link.name, link.state, link.first, link.last) == ("total", "zero", since, 12)
    assert link.when == f"steps {since} to 12"


def test_one_step_at_the_end_is_no_date():
    losses = [3.0 - 0.1 * step for step in range(11)] + [0.0]
    assert not diagnose(healthy(turn=list(range(1, 13)), loss=losses)).chain.broken


def test_where_the_learning_rate_falls_to_0():
    model, x = nn.Linear(3, 1), torch.randn(8, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with kit.watch(model) as run:
        for step in range(20):
            optimizer.param_groups[0]["lr"] = 0.1 if step < 8 else 0.0
            optimizer.zero_grad()
            (model(x) - 1).square().mean().backward()
            optimizer.step()
    found = diagnose(run.trace).chain
    (link,) = found.broken
    assert (link.name, link.state, link.first, link.last) == ("optimizer", "zero", 9, 20)
    assert "test_chain.py:" in link.line
    moved = found.whole[LINKS.index("parameters")]
    assert (moved.state, moved.behind) == ("constant", True)


def test_one_of_two_optimizers_whose_rate_is_0():
    torch.manual_seed(0)
    model = nn.ModuleDict({"body": nn.Linear(4, 4), "head": nn.Linear(4, 1)})
    first = torch.optim.SGD(model["body"].parameters(), lr=0.0)
    second = torch.optim.Adam(model["head"].parameters(), lr=0.01)
    x = torch.randn(8, 4)
    with kit.watch(model) as run:
        for step in range(6):
            model.zero_grad()
            (model["head"](model["body"](x)) - 1).square().mean().backward()
            first.step()
            second.step()
            second.param_groups[0]["lr"] = 0.01 * (5 - step) / 6  # a schedule that ends at 0 is none of it
    (part,) = diagnose(run.trace).chain.broken
    assert (part.name, part.path, part.state) == ("optimizer", "SGD", "zero") and "test_chain.py:" in part.line


def test_terms_and_parts_by_name_and_line():
    torch.manual_seed(0)
    body, head, side = nn.Linear(4, 4), nn.Linear(4, 1), nn.Linear(4, 1)
    model = nn.ModuleDict({"body": body, "head": head, "side": side})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x, y = torch.randn(8, 4), torch.randn(8, 1)
    none = torch.zeros(8, 1, dtype=torch.bool)
    with kit.watch(model) as run:
        for _ in range(6):
            hidden = body(x)
            main = (head(hidden) - y).square().mean()
            matched = (side(hidden) - y)[none].sum()
            loss = main + 0.5 * matched
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    found = diagnose(run.trace)
    (term,) = [link for link in found.chain.broken if link.name == "term"]
    assert (term.path, term.state) == ("matched", "zero") and "test_chain.py:" in term.line
    assert {link.path for link in found.chain.broken if link.name != "term"} <= {"side"}
    assert found.verdict == "partly" and "term of matched (zero)" in str(found)


def weighed(values):
    """A run of two terms; the second has these weights, step by step."""
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x, y = torch.randn(8, 4), torch.randn(8, 1)
    with kit.watch(model) as run:
        for beta in values:
            out = model(x)
            rec = (out - y).square().mean()
            size = out.abs().mean()
            loss = 1.0 * rec + beta * size
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return diagnose(run.trace)


def test_a_weight_that_was_0_where_it_was_read_first_may_be_on_its_way_up():
    ramped, dropped, read = weighed([0.0] * 5 + [0.5] * 3), weighed([0.0] * 8), weighed([0.0] * 20)
    for found in (ramped, dropped):  # the two look alike in the steps that were read
        (part,) = [link for link in found.chain.parts if link.name == "weight"]
        assert (part.path, part.state) == ("size", NOT_OBSERVED) and not found.chain.broken
    (part,) = read.chain.broken
    assert (part.name, part.path, part.state) == ("weight", "size", "zero")
    assert read.verdict == "healthy" and "Worth a look, if it is not meant: weight of size (zero)." in str(read)
    assert "Worth a look" not in str(ramped)


def test_a_weight_that_is_written_as_a_number_is_that_number():
    weight = next(link for link in weighed([0.25] * 8).chain.whole if link.name == "weight")
    assert weight.said == "1, beta = 0.25"


def test_a_second_fault_is_found_beside_the_first():
    found = diagnose(watched(Program(lr=0.0), added=False))
    assert ends(found.chain) == [("optimizer", "zero"), ("display", "replaced")]
    assert [cause.key for cause in found.established] == ["zero_learning_rate", "wrong_number"]


def test_the_table_and_the_picture_hold_every_link():
    found = diagnose(healthy(grad_nonfinite=[4] * 12)).chain
    table = found.table
    assert list(table["link"]) == list(LINKS) and set(table.columns) >= {
        "path",
        "state",
        "said",
        "first",
        "last",
        "line",
    }
    texts = {text.get_text() for text in drawn(found).texts}
    assert {*LINKS, "not finite", WORKING} <= texts
    evidence = chain_evidence(found)
    assert evidence.alt.startswith(found.ends) and list(evidence.numbers["link"]) == list(LINKS)
    assert "gradients" in found._repr_html_() and "Chain(broken=['gradients: not finite']" in repr(found)


def test_what_is_shown_is_escaped():
    name = "<script>alert(1)</script>"
    found = chain_of(observed(terms_always_zero=[name]), {})
    assert "<script>" not in found._repr_html_()


def test_not_a_number_and_0_are_told_apart():
    losses = [2.0] * 5 + [math.nan] * 7
    run = healthy(turn=list(range(1, 13)), loss=losses, loss_graph=[1.0] * 12, train_loss=[2.0, math.nan, math.nan])
    link = diagnose(run).chain.broken[0]
    assert (link.name, link.state, link.first, link.last) == ("total", "not finite", 6, 12)
