"""The changelog: its newest version is that of the package, and its table of earlier names is what the code warns of."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import kit

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
RELEASE = re.compile(r"^## (\d+\.\d+\.\d+) - (\d{4}-\d{2}-\d{2})$", re.MULTILINE)


def warned_of() -> set[tuple[str, str]]:
    """(earlier name, its name now), read from every call that warns in the code of the kit."""
    pairs = {(f"kit.{name}", now) for name, now in kit._EARLIER.items()}
    for path in (ROOT / "kit").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):  # @renamed("loss_fn", "loss") above a function
                calls = [
                    call for call in node.decorator_list if getattr(getattr(call, "func", None), "id", "") == "renamed"
                ]
                names = [[ast.literal_eval(value) for value in call.args] for call in calls]
                pairs |= {(f"{node.name}({old}=...)", f"{node.name}({new}=...)") for old, new in names}
            warns = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "warn_renamed"
            if warns and all(
                isinstance(value, ast.Constant) for value in node.args
            ):  # else it says a name of the above
                pairs.add((node.args[0].value, node.args[1].value))
    return pairs


def test_the_table_of_earlier_names_is_what_the_code_warns_of():
    (section,) = re.findall(r"^### Deprecated\n(.*?)^### ", TEXT, re.MULTILINE | re.DOTALL)
    rows = set(re.findall(r"^\| `(.+?)` \| `(.+?)` \|$", section, re.MULTILINE))
    assert rows == warned_of()
    assert len(rows) == section.count("\n| `")


def test_the_newest_version_is_that_of_the_package():
    releases = RELEASE.findall(TEXT)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert releases[0][0] == kit.__version__ == project["version"]
    assert releases == sorted(releases, reverse=True), "newest first, and every release has its day"
    headings = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    assert headings == ["Unreleased", *(f"{version} - {day}" for version, day in releases)]


def test_the_parts_of_a_version_are_those_of_keep_a_changelog():
    allowed = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", TEXT, re.MULTILINE)) <= allowed
