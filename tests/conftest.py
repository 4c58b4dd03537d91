"""One thread for every test, and a real browser for those that ask for one."""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

# before torch is imported: with as many threads as cores, anything else on the machine slows small tensors tenfold
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from tests._lacking import lacking
from tests._workers import Pieces, rank
from tests.browser._axe import axe_source

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM_ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",  # nothing but this machine can be reached
]


def pytest_collection_modifyitems(config, items):
    """A worker of several starts with what takes longest; one process alone keeps the order of the files."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.nodeid))


def pytest_collection_finish():
    """What is alive now stays: thousands of tests and the packages, which each full collection would walk through again.

    A trainer of another package asks for one after every training.
    """
    gc.freeze()


@pytest.hookimpl(optionalhook=True)  # there is no such hook under -p no:xdist
def pytest_xdist_make_scheduler(config, log):
    return Pieces(config, log) if config.getoption("dist") == "load" else None  # another --dist was asked for by name


def pytest_terminal_summary(terminalreporter):
    if said := lacking(report.longrepr[2] for report in terminalreporter.stats.get("skipped", ())):
        terminalreporter.write_line(said, yellow=True)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_hook_is_left():
    """One test's global hook would be heard, or warned of, in tests that come after it in the same process."""
    yield
    module = torch.nn.modules.module
    tables = [name for name in vars(module) if name.startswith(("_global_forward_", "_global_backward_"))]
    assert not [name for name in tables if getattr(module, name)]
    assert torch.overrides._len_torch_function_stack() == 0  # nor may a mode


@pytest.fixture(autouse=True)
def _nothing_stays_compiled():
    """What one test compiled would keep watches in later tests of the process from listening."""
    yield
    if any(getattr(sys.modules.get("torch._dynamo.eval_frame"), "cached_backends", {}).values()):
        torch._dynamo.reset()


def _missing(what: str) -> None:
    """A user without a browser skips; CI, which sets KIT_REQUIRE_BROWSER, must not."""
    if os.environ.get("KIT_REQUIRE_BROWSER"):
        pytest.fail(f"{what} is required here and was not found")
    pytest.skip(f"no {what} on this machine")


@pytest.fixture(scope="session")
def browser():
    try:
        from playwright import sync_api
    except ImportError:
        _missing("playwright")
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, filter(None, names))), None)
    if path is None:
        _missing("Chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


def built(checkout: Path, kind: str, out: Path) -> Path:
    """The wheel or sdist, by the backend that pyproject.toml names; nothing goes online."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("no hatchling on this machine")
    build = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(out)]
    subprocess.run(build, cwd=checkout, check=True, capture_output=True)
    return next(out.glob("*.whl" if kind == "wheel" else "*.tar.gz"))


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    return built(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder for the path of Python, with the kit as the wheel installs it."""
    site = tmp_path_factory.mktemp("site")
    install = [*("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"), str(site), str(wheel)]
    subprocess.run([sys.executable, *install], check=True, capture_output=True)
    return site


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """Source of axe-core, fetched once."""
    return axe_source(tmp_path_factory.mktemp("axe"))
