"""The names of `kit`: few, in the order of the story; those of version 0.1 are still found and say where they live now."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings

import pytest

import kit


def test_the_front_door_is_about_twenty_names_and_none_warns():
    assert len(kit.__all__) == len(set(kit.__all__)) <= 25
    for name in kit.__all__:
        assert getattr(kit, name) is not None


def test_every_name_has_a_home_and_import_kit_alone_loads_nothing_heavy():
    assert {*kit.__all__} == {*kit._HOMES} | ({*kit._PARTS} & {*kit.__all__})
    code = (
        "import kit, sys; print([name for name in ('torch', 'pandas', 'numpy', 'matplotlib') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_watch_that_is_to_act_knows_what_judges_it():
    code = "import kit; kit.watch(on_finding='print')"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_story_is_told_in_order():
    order = [
        kit.__all__.index(name) for name in ("PlanarArray", "train", "probe", "watch", "diagnose", "Panel", "journal")
    ]
    assert order == sorted(order)


@pytest.mark.parametrize(("name", "now"), sorted(kit._EARLIER.items()))
def test_an_earlier_name_warns_with_the_place_where_it_lives(name, now):
    with pytest.warns(DeprecationWarning) as caught:
        value = getattr(kit, name)
    assert str(caught[0].message) == f"kit.{name} is now {now}; the old name goes in version 0.3."
    assert caught[0].filename == __file__
    home, _, its_name = now.rpartition(".")
    assert value is getattr(importlib.import_module(home), its_name)


@pytest.mark.parametrize("name", sorted(kit._EARLIER))
def test_an_earlier_name_warns_every_time(name):
    assert name not in kit.__all__
    for _ in range(2):
        with pytest.warns(DeprecationWarning, match=f"kit.{name} is now"):
            getattr(kit, name)


def test_an_earlier_name_can_be_imported():
    with pytest.warns(DeprecationWarning, match=r"kit.datasets.load_scenes"):
        from kit import load_scenes
    assert load_scenes is kit.datasets.load_scenes


def test_where_a_name_lives_is_reached_from_import_kit_alone():
    names = sorted(now for earlier, now in kit._EARLIER.items())
    code = f"import kit\nfor name in {names!r}: eval(name)"
    subprocess.run([sys.executable, "-W", "error::DeprecationWarning:kit", "-c", code], check=True)


def test_a_name_that_never_was_is_refused():
    with warnings.catch_warnings(), pytest.raises(AttributeError, match="module 'kit' has no attribute 'load_scene'"):
        warnings.simplefilter("error")
        _ = kit.load_scene


def test_the_earlier_name_of_an_error_is_the_same_error():
    with pytest.warns(DeprecationWarning, match=r"kit.training.NoStepTaken is now kit.training.NoStepTakenError"):
        assert kit.training.NoStepTaken is kit.training.NoStepTakenError
    with pytest.raises(AttributeError, match="module 'kit.training' has no attribute 'NoStepsTaken'"):
        _ = kit.training.NoStepsTaken
