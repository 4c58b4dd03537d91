"""Findings as one self-contained HTML page, and pages back to findings."""

from kit.report.answer import Answer
from kit.report.finding import VERDICTS, Finding, Table, Written
from kit.report.page import Shown
from kit.report.record import finding_from_record, finding_record
from kit.report.verify import PageError, Verified, verify
from kit.report.writing import to_html, write_html

__all__ = [
    "VERDICTS",
    "Answer",
    "Finding",
    "PageError",
    "Shown",
    "Table",
    "Verified",
    "Written",
    "finding_from_record",
    "finding_record",
    "to_html",
    "verify",
    "write_html",
]
