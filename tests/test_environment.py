"""pyproject.toml, constraints.txt and environment.yml say the same; the Makefile's help lists every target."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
ON_CONDA = {"torch": "pytorch", "playwright": "playwright-python"}


def _project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _wanted() -> dict[str, SpecifierSet]:
    project = _project()
    lines = project["dependencies"] + project["optional-dependencies"]["test"]
    return {requirement.name: requirement.specifier for requirement in map(Requirement, lines)}


def _guests() -> dict[str, SpecifierSet]:
    """Extras for the tests with other packages, for solvers and for event files: optional, so conda's list does without them."""
    extras = _project()["optional-dependencies"]
    lines = extras["balance"] + extras["guests"] + extras["logs"]
    return {requirement.name: requirement.specifier for requirement in map(Requirement, lines)}


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pins}


def test_conda_offers_the_same_packages_with_the_same_bounds():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    found = {requirement.name: requirement.specifier for requirement in map(Requirement, filter(_is_text, listed))}
    assert found.pop("python") == SpecifierSet(_project()["requires-python"])
    found.pop("pip")
    assert found == {ON_CONDA.get(name, name): bound for name, bound in _wanted().items()}
    assert {"pip": ["--editable ."]} in listed, "the kit itself is installed from the checkout"


def test_every_package_is_pinned_within_its_bound():
    pins = _pins()
    for name, bound in (_wanted() | _guests()).items():
        assert name in pins, f"{name} is not in constraints.txt"
        assert bound.contains(pins[name]), f"{name}=={pins[name]} is outside {bound}"


def test_torch_is_pinned_so_that_no_other_build_is_resolved():
    assert _pins()["torch"] == "2.13.0"


def test_what_is_installed_is_what_is_pinned():
    from importlib import metadata

    pins = _pins()
    for name in _wanted():
        assert metadata.version(name).split("+")[0] == pins[name], name


def test_guests_that_are_installed_are_those_that_are_pinned():
    """With everything that they bring along."""
    from importlib import metadata

    pins, installed = _pins(), {canonicalize_name(found.name): found.version for found in metadata.distributions()}
    if not _guests().keys() & installed.keys():
        pytest.skip("the extra `guests` is not installed")
    todo, seen = sorted(_guests()), set()
    while todo:
        name = canonicalize_name(todo.pop())
        if name in seen or name not in installed:
            continue
        seen.add(name)
        if name != "setuptools":  # of the environment itself
            assert installed[name].split("+")[0] == pins.get(name), name
        needs = map(Requirement, metadata.requires(name) or ())
        todo += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]


def test_no_registry_is_named():
    for name in ("constraints.txt", "pyproject.toml", "environment.yml", "Makefile", ".ci/run"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"https?://|--(extra-)?index-url|find-links", text), name


def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()
    shown = subprocess.run(["make", "help"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    for target in targets:
        assert re.search(rf"make {target}\b", shown), target


def test_top_level_holds_what_the_card_allows():
    tracked = subprocess.run(["git", "ls-files"], check=False, capture_output=True, text=True, cwd=ROOT)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout")
    allowed = {"notebooks", "kit", "data", "tests", "environment.yml", "README.md", "pyproject.toml", "Makefile"}
    allowed |= {"constraints.txt", ".ci", ".gitignore", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md"}
    assert {line.split("/")[0] for line in tracked.stdout.splitlines()} <= allowed


def _is_text(entry: object) -> bool:
    return isinstance(entry, str)
