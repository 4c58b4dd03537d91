"""Findings as one self-contained HTML page."""

from kit.report.finding import VERDICTS, Finding, Table, Written, to_html, write_html

__all__ = ["VERDICTS", "Finding", "Table", "Written", "to_html", "write_html"]
