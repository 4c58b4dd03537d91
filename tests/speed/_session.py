"""A notebook made for one measurement, run in a real JupyterLab and a real Chromium."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat

from tests.browser._lab import READY, RUN_ALL, running_lab


@contextlib.contextmanager
def notebook_open(browser: Any, cells: Sequence[str]) -> Iterator[Any]:
    """The page of a notebook with these cells, all run. AssertionError if a cell fails."""
    with tempfile.TemporaryDirectory() as folder, running_lab(Path(folder)) as lab:
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(book, lab.root / "notebooks" / "measured.ipynb")
        page = browser.new_page(viewport={"width": 1300, "height": 950})
        page.goto(lab.address("measured.ipynb"))
        page.wait_for_function(READY, timeout=60_000)
        page.evaluate(RUN_ALL)
        page.wait_for_function("() => window.allRan !== 0", timeout=120_000)
        assert page.evaluate("() => window.allRan") == 1, "a cell failed"
        yield page
        page.close()
