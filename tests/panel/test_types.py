"""The front end's types, which stand in its comments, checked by TypeScript in its strict form."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import kit
from kit.panel.assets import (
    JOURNAL_MODULES,
    LIVE_MODULES,
    MODULES,
    PAGE_MODULES,
    WRITTEN_MODULES,
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
def check(tmp_path_factory):
    """check(changes) -> what the checker says of all modules, or of those whose text is changed and what they import."""
    compiler = npm_package("typescript", tmp_path_factory.mktemp("npm")) / "bin" / "tsc"

    def run(**changes):
        folder = tmp_path_factory.mktemp("modules")
        for path in (PACKAGE / "panel" / "static").glob("*.js"):
            text = path.read_text(encoding="utf-8")
            (folder / path.name).write_text(changes.get(path.stem, lambda same: same)(text), encoding="utf-8")
        shutil.copy(PACKAGE / "plots" / "palette.json", folder)
        asked = sorted(f"{name}.js" for name in changes) or sorted(path.name for path in folder.glob("*.js"))
        command = [node(), str(compiler), *OPTIONS, *asked]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False).stdout

    return run


def test_every_module_is_typed_soundly(check):
    assert check() == ""


def test_the_check_notices_a_wrong_type(check):
    said = check(link=lambda text: text.replace("Number(text) - 1 : null", "text : null"))
    assert "link.js" in said and "error TS" in said


def test_every_module_is_part_of_a_page_or_a_widget():
    names = {path.name for path in (PACKAGE / "panel" / "static").glob("*.js")}
    assert names == {*MODULES, *PAGE_MODULES, *JOURNAL_MODULES, *LIVE_MODULES, *WRITTEN_MODULES}


@pytest.mark.parametrize("source", [page_module, module_source, journal_source, written_source, live_source])
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
