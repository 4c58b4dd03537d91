"""The front end's types, which stand in its comments, checked by TypeScript in its strict form."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import kit
from kit.panel.assets import (
    GUESS_MODULES,
    JOURNAL_MODULES,
    LIVE_MODULES,
    MODULES,
    PAGE_MODULES,
    WRITTEN_MODULES,
    guess_source,
    journal_source,
    live_source,
    module_source,
    page_module,
    written_source,
)
from tests.panel._node import node
from tests.panel._npm import npm_package

PACKAGE = Path(kit.__file__).parent
OPTIONS = [
    *("--noEmit", "--allowJs", "--checkJs", "--strict", "--strictPropertyInitialization", "false"),
    *("--noUnusedLocals", "--noImplicitReturns", "--noFallthroughCasesInSwitch"),
    *("--target", "es2024", "--lib", "es2024,dom,dom.iterable", "--module", "esnext"),
    *("--moduleResolution", "bundler", "--resolveJsonModule"),
]


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Lines of one run of the checker over all modules (in `shipped`), and over one with a wrong type (in `wrong`)."""
    compiler = npm_package("typescript", tmp_path_factory.mktemp("npm")) / "bin" / "tsc"
    folder = tmp_path_factory.mktemp("modules")
    for name in ("shipped", "wrong"):
        shutil.copytree(
            PACKAGE / "panel" / "static",
            folder / name,
            ignore=lambda _, files: [f for f in files if not f.endswith(".js")],
        )
        shutil.copy(PACKAGE / "plots" / "palette.json", folder / name)
    link = folder / "wrong" / "link.js"
    right = link.read_text(encoding="utf-8")
    link.write_text(right.replace("Number(text) - 1 : null", "text : null"), encoding="utf-8")
    asked = [*sorted((folder / "shipped").glob("*.js")), link]
    command = [node(), str(compiler), *OPTIONS, *(str(path.relative_to(folder)) for path in asked)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout.splitlines()


def test_every_module_is_typed_soundly(said):
    assert [line for line in said if not line.startswith(("wrong/link.js(", " "))] == []


def test_the_check_notices_a_wrong_type(said):
    assert any(line.startswith("wrong/link.js(") and "error TS" in line for line in said)


def test_every_module_is_part_of_a_page_or_a_widget():
    names = {path.name for path in (PACKAGE / "panel" / "static").glob("*.js")}
    assert names == {*MODULES, *PAGE_MODULES, *JOURNAL_MODULES, *LIVE_MODULES, *WRITTEN_MODULES, *GUESS_MODULES}


@pytest.mark.parametrize(
    "source", [page_module, module_source, journal_source, written_source, live_source, guess_source]
)
def test_joined_modules_share_no_name(source, tmp_path):
    """Each is one text: a name that two files declare would stop all of it."""
    path = tmp_path / "joined.mjs"
    path.write_text(source(), encoding="utf-8")
    done = subprocess.run([node(), "--check", str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_modules_are_small_and_import_only_each_other():
    for path in (PACKAGE / "panel" / "static").glob("*.js"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 300, path.name
        assert all('from "./' in line for line in lines if line.startswith("import ")), path.name
