"""Findings as one self-contained HTML page, and pages back to findings."""

from kit.report.answer import Answer
from kit.report.finding import VERDICTS, Finding, PanelSetting, Table, Written
from kit.report.page import Shown
from kit.report.record import finding_from_record, finding_record
from kit.report.verify import PageError, Verified, verify
from kit.report.writing import check_path, to_html, write_html

__all__ = [
    "VERDICTS",
    "Answer",
    "Finding",
    "PageError",
    "PanelSetting",
    "Shown",
    "Table",
    "Verified",
    "Written",
    "check_path",
    "finding_from_record",
    "finding_record",
    "to_html",
    "verify",
    "write_html",
]
