"""Programs of other packages: nothing goes online, and a missing package is a failure where guests are required."""

from __future__ import annotations

import gc
import importlib
import os
import warnings

import pytest

# read when the packages are imported, so before any test module is
for _name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")

GUESTS = {  # fixture -> module
    **{name: name for name in ("transformers", "accelerate", "lightning", "skorch", "ignite", "keras")},
    "metric_learning": "pytorch_metric_learning",
    "tensorboard": "torch.utils.tensorboard",
    "mlflow": "mlflow",
}
_LOADED_LATE = {
    "transformers": ("Trainer", "BertForSequenceClassification")
}  # parts that it imports when they are first asked for
_UNLISTED = frozenset({"mlflow"})  # brings twenty packages for one format of logs: by hand, pip install mlflow-skinny


def pytest_collection_modifyitems(items):
    """Every test that asks for a guest is one; so the marker cannot be forgotten."""
    for item in items:
        if {*GUESTS} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.guest)


def _guest(name: str):
    """A user without the extra skips; CI, which sets KIT_REQUIRE_GUESTS, must not."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what another package warns of when it is imported is theirs
            module = importlib.import_module(name)
            for part in _LOADED_LATE.get(name, ()):
                getattr(module, part)
            gc.collect()  # what earlier tests left must not be frozen with it
            gc.freeze()  # as after the collection of the tests
            return module
    except ImportError:
        if os.environ.get("KIT_REQUIRE_GUESTS") and name not in _UNLISTED:
            pytest.fail(f"{name} is required here and was not found")
        pytest.skip(f"no {name} on this machine: pip install '.[guests]'")


def _fixture(name: str, module: str):
    @pytest.fixture(scope="session", name=name)
    def guest():
        return _guest(module)

    return guest


for _name, _module in GUESTS.items():
    globals()[_name] = _fixture(_name, _module)
