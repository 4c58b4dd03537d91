"""Development tools from npm, each at one pinned version; no user of the kit needs them.

They are fetched into a folder of their own only where a complete check is asked for (KIT_REQUIRE_BROWSER, as in CI).
Anybody else runs these tests if npm has the packages in its cache, and skips them otherwise: a test run goes online for
nobody who did not ask for it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

VERSIONS = {
    "typescript": "5.9.3",
    "axe-core": "4.14.1",
    "@jupyter-widgets/html-manager": "1.0.15",
    "requirejs": "2.3.8",
}


def npm_package(name: str, folder: Path) -> Path:
    """Folder of the installed package."""
    required = bool(os.environ.get("KIT_REQUIRE_BROWSER"))
    npm = shutil.which("npm")
    if npm is None:
        _without(f"npm, which brings {name} {VERSIONS[name]}", required)
    (folder / "package.json").write_text(json.dumps({"private": True}), encoding="utf-8")
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--loglevel=error"]
    done = subprocess.run(
        [*command, *([] if required else ["--offline"]), f"{name}@{VERSIONS[name]}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    package = folder / "node_modules" / name
    if done.returncode != 0:
        _without(f"{name} {VERSIONS[name]} from npm ({done.stderr.strip()[-200:]})", required)
    assert json.loads((package / "package.json").read_text(encoding="utf-8"))["version"] == VERSIONS[name]
    return package


def _without(what: str, required: bool) -> None:
    if required:
        pytest.fail(f"{what} is required here and was not found")
    pytest.skip(f"no {what}")
