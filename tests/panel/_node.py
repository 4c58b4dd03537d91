"""Node, which runs the shipped module outside a browser."""

from __future__ import annotations

import os
import shutil

import pytest


def node() -> str:
    """Path of Node. A user without it skips; CI, which sets KIT_REQUIRE_BROWSER, must not."""
    path = shutil.which("node")
    if path is None and os.environ.get("KIT_REQUIRE_BROWSER"):
        pytest.fail("node is required here and was not found")
    if path is None:
        pytest.skip("no node on this machine")
    return path
