"""What is said at the end about tests that were skipped."""

from tests._lacking import GUESTS, lacking


def test_what_is_lacking_is_told_with_its_command():
    reasons = ["Skipped: no Chromium on this machine"] * 2 + ["Skipped: no npm, which brings typescript 5.9.3"]
    reasons += ["Skipped: no lightning on this machine: pip install '.[guests]'", "Skipped: root may write everywhere"]
    reasons += ["Skipped: no axe-core 4.14.1 from npm (offline)", "Skipped: no mlflow on this machine"]
    reasons += ["Skipped: no keras on this machine: pip install '.[guests]'"]
    head, *lines = lacking(reasons).splitlines()
    assert head.startswith("Tests skipped for want of something")
    assert lines == [
        "  Chromium (2): apt-get install chromium, or CHROMIUM=/path/to/it",
        "  axe-core (1): KIT_REQUIRE_BROWSER=1 make test",
        f"  keras (1), lightning (1): {GUESTS}",
        "  mlflow (1): python -m pip install mlflow-skinny",
        "  npm (1): apt-get install nodejs npm",
    ]
    assert lacking(["Skipped: not a git checkout"]) == lacking([]) == ""
