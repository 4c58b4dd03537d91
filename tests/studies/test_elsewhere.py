"""Work in other processes: the same results, errors that arrive, and nothing that stays."""

from __future__ import annotations

import math
import multiprocessing
import time
from dataclasses import replace
from functools import partial

import pytest

from kit.studies import zero_outputs
from kit.studies.elsewhere import WhenAsked, elsewhere
from kit.studies.report import STUDIES, _earlier, _shortened, _trained, _trainings


def test_a_run_made_elsewhere_is_the_run_made_here():
    name = next(iter(zero_outputs.setups))
    here = partial(_trained, zero_outputs.key, name, True)
    with elsewhere({"run": here, "wrong": partial(math.sqrt, -1)}, processes=2) as begun:
        other = begun["run"]()
        with pytest.raises(ValueError, match="math domain error"):
            begun["wrong"]()
    assert other == here(), "to the last bit"
    assert other.settings["config"]["epochs"] == 2


def test_one_process_begins_nothing():
    with elsewhere({"run": partial(math.sqrt, 4)}, processes=1) as begun:
        assert begun == {} and not multiprocessing.active_children()


def test_an_interrupt_leaves_nothing_behind():
    calls = {str(number): partial(time.sleep, 3600) for number in range(3)}
    with pytest.raises(KeyboardInterrupt), elsewhere(calls, processes=2):
        assert len(multiprocessing.active_children()) >= 1
        raise KeyboardInterrupt
    assert not multiprocessing.active_children()


def test_values_are_called_for_when_asked():
    asked: list[str] = []
    values = WhenAsked({name: partial(asked.append, name) for name in "ab"})
    assert "a" in values and "c" not in values and list(values) == ["a", "b"] and len(values) == 2 and not asked
    assert values["b"] is None and asked == ["b"]


@pytest.mark.parametrize("quick", [False, True])
def test_every_run_of_the_page_is_made_once(quick):
    """What other processes train are runs of studies that nobody watches; two of one system never change the same."""
    made = [place for place in _trainings(quick) if place[1] not in ("result", "fixed")]
    studies = {study.key: study for study in STUDIES}
    changes = []
    for key, name in made:
        study = studies[key]
        assert not study.watched and _earlier(study, name, quick) is None
        changes.append((study.system, _shortened(study, quick), replace(study.setups[name], caption="")))
    assert not [change for place, change in enumerate(changes) if change in changes[:place]]
    left = {(study.key, name) for study in STUDIES if not study.watched for name in study.setups} - set(made)
    for key, name in left:
        earlier = _earlier(studies[key], name, quick)
        assert earlier in made or (key, name) == ("the_reports_fix", "option_1")
