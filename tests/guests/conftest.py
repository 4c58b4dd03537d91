"""Programs of other packages: nothing goes online, and a missing package is a failure where guests are required."""

from __future__ import annotations

import importlib
import os

import pytest

# read when the packages are imported, so before any test module is
for _name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
    os.environ.setdefault(_name, "1")


def pytest_collection_modifyitems(items):
    """Every test that asks for a guest is one; so the marker cannot be forgotten."""
    for item in items:
        if {"transformers", "lightning", "accelerate"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.guest)


def _guest(name: str):
    """A user without the extra skips; CI, which sets KIT_REQUIRE_GUESTS, must not."""
    try:
        return importlib.import_module(name)
    except ImportError:
        if os.environ.get("KIT_REQUIRE_GUESTS"):
            pytest.fail(f"{name} is required here and was not found")
        pytest.skip(f"no {name} on this machine: pip install '.[guests]'")


@pytest.fixture(scope="session")
def transformers():
    return _guest("transformers")


@pytest.fixture(scope="session")
def accelerate():
    return _guest("accelerate")


@pytest.fixture(scope="session")
def lightning():
    return _guest("lightning")
