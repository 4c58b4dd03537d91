"""Findings -> one HTML page, as a text or as a file."""

from __future__ import annotations

import os

from kit.files import check_ending, write_atomically
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
    """Write ``to_html(...)``: the file is complete or not there.

    Raises:
        ValueError: no finding, or a path that does not end in .html. OSError: the file cannot be written.
    """
    check_path(path)
    return write_page(path, to_html(*findings, title=title))


def write_page(path: str | os.PathLike, page: str) -> Written:
    """A page that is rendered already; refuses and writes as ``write_html`` does."""
    check_path(path)
    return Written(write_atomically(path, page))


def check_path(path: str | os.PathLike) -> None:
    check_ending(path, ".html", ".htm")
