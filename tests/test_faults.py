"""Faults are undone exactly, by return and by exception."""

from __future__ import annotations

import pytest

from kit.faults import LossCountedOnStepsOnly, NanGradients, all_applied
from tests.training._runs import small_patient

FAULTS = [NanGradients(), NanGradients(prefix="trunk"), LossCountedOnStepsOnly()]


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_every_part_is_put_back(fault):
    loop = small_patient().new_loop()
    before = dict(vars(loop))
    with fault.applied_to(loop):
        assert {name for name, value in vars(loop).items() if value is not before[name]} == set(fault._replaced)
    assert vars(loop) == before


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_every_part_is_put_back_after_an_exception(fault):
    loop = small_patient().new_loop()
    before = dict(vars(loop))
    with pytest.raises(KeyboardInterrupt), fault.applied_to(loop):
        raise KeyboardInterrupt
    assert vars(loop) == before


def test_a_run_after_a_fault_is_a_healthy_run():
    loop, healthy = small_patient().new_loop(), small_patient().run()
    with all_applied(loop, *FAULTS):
        pass
    assert loop.run().epoch_records == healthy.epoch_records


def test_a_fault_that_does_not_apply_says_why():
    loop = small_patient().new_loop()
    with (
        pytest.raises(ValueError, match="no parameter starts with 'decoder'"),
        NanGradients(prefix="decoder").applied_to(loop),
    ):
        pass
