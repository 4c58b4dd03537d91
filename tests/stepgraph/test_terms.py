"""The terms of a total are read from its graph, however the sum is written."""

import pytest
import torch
from torch.overrides import _len_torch_function_stack

from kit.stepgraph.tape import Tape
from kit.stepgraph.terms import read
from tests.stepgraph._sums import SUMS


@pytest.fixture
def tape():
    tape = Tape()
    tape.start()
    yield tape
    tape.stop()
    assert tape.failed is None


def test_there_are_at_least_25_ways():
    assert len(SUMS) >= 25


@pytest.mark.parametrize("name", SUMS)
def test_terms_are_those_that_a_person_would_name(name, tape):
    way, expected, factor = SUMS[name]
    found = read(way())
    wanted = {term: entry if isinstance(entry, tuple) else (entry, True) for term, entry in expected.items()}
    assert {term.name: (pytest.approx(term.weight), term.attached) for term in found.terms} == wanted
    assert found.factor == pytest.approx(factor)


@pytest.mark.parametrize("name", SUMS)
def test_the_weighted_values_add_up_to_the_total(name, tape):
    way, _, _ = SUMS[name]
    total = way()
    found = read(total)
    added = found.factor * (found.constant + sum(term.weight * term.value for term in found.terms))
    assert added == pytest.approx(total.item(), rel=1e-3 if name == "autocast" else 1e-5)


@pytest.mark.parametrize("name", SUMS)
def test_a_total_is_bitwise_what_it_is_without_the_tape(name):
    way, _, _ = SUMS[name]
    tape = Tape()
    torch.manual_seed(1)
    alone = way()
    tape.start()
    torch.manual_seed(1)
    read_ = way()
    tape.stop()
    assert torch.equal(alone, read_)
    assert _len_torch_function_stack() == 0


def test_names_of_weights_and_lines_are_those_of_the_program(tape):
    way, _, _ = SUMS["local_variables_and_accumulation"]
    found = read(way())
    assert found["kl"].weight_name == "lam_kl"
    assert found["kl"].place.text == "kl = out.pow(2).mean()"
    assert found["aux"].cut.text == "aux = out.abs().mean().detach()"
    assert (found["aux"].cut_by, found["kl"].cut) == ("detach", None)


def test_every_way_of_losing_the_graph_is_named(tape):
    ways = {
        "number_read_out_of_the_graph": "item",
        "computed_under_no_grad": "no_grad",
        "counted_by_a_comparison": "integer",
    }
    for name, how in ways.items():
        (lost,) = [term for term in read(SUMS[name][0]()).terms if not term.attached]
        assert lost.cut_by == how


def test_a_regulariser_is_one_term_of_many_summands(tape):
    found = read(SUMS["regulariser_over_all_parameters"][0]())
    assert found["p.pow(2).sum()"].summands == 2


def test_a_trained_weight_is_told_from_a_term(tape):
    found = read(SUMS["uncertainty_weights"][0]())
    assert found["depth"].weight_kind == "trained" and found["depth"].weight_name == "torch.exp(-s[0])"
    assert not found["depth"].reaches & found["s[0]"].reaches


def test_without_a_tape_weights_and_missing_graphs_are_still_read():
    found = read(SUMS["local_variables_and_accumulation"][0]())
    assert [term.weight for term in found.terms][:2] == [1.0, pytest.approx(0.3)]
    assert [term.attached for term in found.terms] == [True, True, False]
