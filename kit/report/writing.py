"""Findings -> one HTML page, as a text or as a file."""

from __future__ import annotations

import os
from collections.abc import Callable

from kit.files import check_file, write_atomically
from kit.report.finding import Finding, Written
from kit.report.page import Shown, render_page


def to_html(*findings: Finding, title: str | None = None) -> str:
    """One page for one or several findings: works from a file, without a kernel, without a network.

    Raises:
        ValueError: no finding.
    """
    if not findings:
        raise ValueError("to_html should get at least one Finding. Found none.")
    return render_page([Shown(finding) for finding in findings], title or findings[0].question)


def write_html(path: str | os.PathLike, *findings: Finding, title: str | None = None) -> Written:
    """Write ``to_html(...)``: the file is complete or not there. The path is checked before anything is drawn.

    Raises:
        ValueError: no finding, or a path that does not end in .html. OSError: the file cannot be written.
    """
    return write_page(path, lambda: to_html(*findings, title=title))


def write_page(path: str | os.PathLike, render: Callable[[], str]) -> Written:
    """Write the page that ``render`` makes; refuses and writes as ``write_html`` does."""
    check_path(path)
    return Written(write_atomically(path, render()))


def check_path(path: str | os.PathLike) -> None:
    """Where a page cannot be written: ValueError for another ending than .html, OSError for the rest."""
    check_file(path, ".html", ".htm")
