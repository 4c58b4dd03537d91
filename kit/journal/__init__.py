"""The journal of findings: kept on disk as they were seen, shared by the notebooks of an investigation.

    kit.journal.keep(finding, note="before the fix")        # stored when the call returns
    kit.journal.view(finding)                                # the journal as a widget
    kit.journal.compare(0, 1)                                # two side by side
    kit.journal.write_html("findings/all.html")              # all on one page

These act on `shared`, the journal in the folder `findings/` beside the notebooks; `Journal(path)` is one elsewhere.
"""

from kit.journal.comparison import Comparison
from kit.journal.journal import Journal
from kit.journal.kept import Kept
from kit.journal.store import JournalFormatError, JournalWarning

shared = Journal()
keep, view, compare, write_html = shared.keep, shared.view, shared.compare, shared.write_html

__all__ = [
    "Comparison",
    "Journal",
    "JournalFormatError",
    "JournalWarning",
    "Kept",
    "compare",
    "keep",
    "shared",
    "view",
    "write_html",
]
