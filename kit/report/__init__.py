"""Findings as one self-contained HTML page, and pages back to findings."""

from kit.report.answer import Answer
from kit.report.finding import VERDICTS, Finding, to_html, write_html
from kit.report.page import PageEntry
from kit.report.pieces import PanelSetting, Table
from kit.report.verification import PageError, Verified, verify
from kit.report.writing import Written, check_path

__all__ = [
    "VERDICTS",
    "Answer",
    "Finding",
    "PageEntry",
    "PageError",
    "PanelSetting",
    "Table",
    "Verified",
    "Written",
    "check_path",
    "to_html",
    "verify",
    "write_html",
]
