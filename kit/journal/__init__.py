"""The journal of findings: kept on disk as they were seen, shared by the notebooks of an investigation.

    kit.findings.keep(finding, note="before the fix")

`findings` is the journal in the folder `findings/` beside the notebooks; `Journal(path)` is one elsewhere.
"""

from kit.journal.compare import Comparison
from kit.journal.journal import Journal
from kit.journal.kept import Kept
from kit.journal.store import JournalFormatError, JournalWarning

findings = Journal()

__all__ = ["Comparison", "Journal", "JournalFormatError", "JournalWarning", "Kept", "findings"]
