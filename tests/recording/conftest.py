"""After every watch, everything is as it was before."""

from __future__ import annotations

import pytest

from tests.recording._left import outside


@pytest.fixture(autouse=True)
def _nothing_stays():
    before = outside()
    yield
    assert outside() == before
