"""The one line about what was skipped."""

from tests._lacking import lacking


def test_what_is_lacking_is_told_in_one_line_with_its_command():
    reasons = ["Skipped: no Chromium on this machine"] * 2 + ["Skipped: no npm, which brings typescript 5.9.3"]
    reasons += ["Skipped: no lightning on this machine: pip install '.[guests]'", "Skipped: root may write everywhere"]
    said = lacking(reasons)
    assert said == (
        "Tests skipped for want of Chromium (2), lightning (1), npm (1). With node and npm, `.ci/run` brings the rest and skips none."
    )
    assert lacking(["Skipped: not a git checkout"]) == lacking([]) == ""
