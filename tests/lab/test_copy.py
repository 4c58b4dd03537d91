"""The reader's copy of the notebooks: what he changed is his, what he did not follows the original."""

from __future__ import annotations

import json
import re
import subprocess

import nbformat
import pytest

from kit.files import NOTEBOOKS, WORKING_COPY
from kit.lab import working_copy
from tests.evidence import ROOT, notebooks, run


def notebook(*sources: str, output: str = "") -> str:
    cells = [nbformat.v4.new_code_cell(source, id=f"c{place}") for place, source in enumerate(sources)]
    if output:
        cells[0].outputs = [nbformat.v4.new_output("stream", name="stdout", text=output)]
    return nbformat.writes(nbformat.v4.new_notebook(cells=cells))


@pytest.fixture
def root(tmp_path):
    """A checkout of two notebooks, a script and a picture."""
    folder = tmp_path / NOTEBOOKS
    (folder / "images").mkdir(parents=True)
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / "a.ipynb").write_text(notebook("1"), encoding="utf-8")
    (folder / "b.ipynb").write_text(notebook("2"), encoding="utf-8")
    (folder / "script.py").write_text("x = 1\n", encoding="utf-8")
    (folder / "images" / "p.png").write_bytes(b"\x89PNG")
    (folder / ".ipynb_checkpoints" / "a.ipynb").write_text("old", encoding="utf-8")
    return tmp_path


def text(root, folder, name="a.ipynb"):
    return (root / folder / name).read_text(encoding="utf-8")


def test_everything_is_copied_once(root):
    first = working_copy(root)
    assert first.made == ["a.ipynb", "b.ipynb", "images/p.png", "script.py"] and not first.refreshed + first.kept
    assert text(root, WORKING_COPY) == text(root, NOTEBOOKS) and not (first.folder / ".ipynb_checkpoints").exists()
    assert str(first) == "my_notebooks/ is your copy of the notebooks; the originals stay as they are."
    record = (first.folder / ".copied.json").stat().st_mtime_ns
    again = working_copy(root)
    assert again.made == again.refreshed == again.kept == [] and str(again) == str(first)
    assert (first.folder / ".copied.json").stat().st_mtime_ns == record


CHANGES = {  # what the reader did, what became of the original -> what becomes of the copy
    "untouched, new cells": (None, notebook("1", "3"), "refreshed"),
    "untouched, other outputs": (None, notebook("1", output="said"), "refreshed"),
    "run, new cells": (notebook("1", output="mine"), notebook("1", "3"), "refreshed"),
    "run, other outputs": (notebook("1", output="mine"), notebook("1", output="said"), "mine"),
    "run, nothing": (notebook("1", output="mine"), None, "mine"),
    "changed, nothing": (notebook("my own"), None, "mine"),
    "changed, other outputs": (notebook("my own"), notebook("1", output="said"), "mine"),
    "changed, new cells": (notebook("my own"), notebook("1", "3"), "kept"),
    "broken, new cells": ("{", notebook("1", "3"), "kept"),
    "changed to the same": (notebook("1", "3"), notebook("1", "3"), "same"),
}


@pytest.mark.parametrize("mine, new, becomes", CHANGES.values(), ids=CHANGES)
def test_a_copy_follows_its_original_unless_it_was_changed(root, mine, new, becomes):
    working_copy(root)
    if mine is not None:
        (root / WORKING_COPY / "a.ipynb").write_text(mine, encoding="utf-8")
    if new is not None:
        (root / NOTEBOOKS / "a.ipynb").write_text(new, encoding="utf-8")
    for _ in range(2):  # the second time there is nothing left to do, and what is kept is said again
        copied = working_copy(root)
        assert copied.kept == (["a.ipynb"] if becomes == "kept" else [])
        assert text(root, WORKING_COPY) == (new if becomes in ("refreshed", "same") else mine)
    if becomes == "kept":
        assert "a.ipynb: kept as you changed it; its original is newer." in str(copied)
        (root / WORKING_COPY / "a.ipynb").write_text(notebook("1"), encoding="utf-8")  # the change is taken back
        assert working_copy(root).refreshed == ["a.ipynb"] and text(root, WORKING_COPY) == new


def test_what_is_new_comes_and_what_was_deleted_comes_back(root):
    working_copy(root)
    (root / NOTEBOOKS / "c.ipynb").write_text(notebook("3"), encoding="utf-8")
    (root / WORKING_COPY / "b.ipynb").unlink()
    (root / WORKING_COPY / "own.ipynb").write_text(notebook("own"), encoding="utf-8")
    assert working_copy(root).made == ["b.ipynb", "c.ipynb"]
    assert "own" in text(root, WORKING_COPY, "own.ipynb")


@pytest.mark.parametrize("damage", ["", "[]", "{", None])
def test_without_a_record_a_copy_that_differs_is_the_readers(root, damage):
    copied = working_copy(root)
    record = copied.folder / ".copied.json"
    record.unlink() if damage is None else record.write_text(damage, encoding="utf-8")
    (root / NOTEBOOKS / "a.ipynb").write_text(notebook("1", "3"), encoding="utf-8")
    assert working_copy(root).kept == ["a.ipynb"] and text(root, WORKING_COPY) == notebook("1")
    assert json.loads(record.read_text(encoding="utf-8")).keys() == {"b.ipynb", "images/p.png", "script.py"}


def test_a_place_that_is_taken_is_an_error(root):
    (root / WORKING_COPY).write_text("a file", encoding="utf-8")
    with pytest.raises(OSError, match="my_notebooks"):
        working_copy(root)


LIGHT = """\
import kit
import train_autoencoder
run = kit.datasets.load_faulty_run()
finding = kit.Finding("q", "c", "open", run.lines, [kit.plots.symptom_evidence(run)])
print(kit.journal.keep(finding).name)
finding.offer("../findings/light.html")"""


def test_running_the_copy_leaves_the_checkout_clean_and_finds_every_path(tmp_path, monkeypatch):
    """What notebooks do with paths, from a copy in a checkout of its own: it reads and writes where the original does."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    root = tmp_path / "checkout"
    (root / NOTEBOOKS).mkdir(parents=True)
    (root / NOTEBOOKS / "light.ipynb").write_text(notebook(LIGHT), encoding="utf-8")
    for name in (".gitignore", f"{NOTEBOOKS}/train_autoencoder.py"):
        (root / name).write_bytes((ROOT / name).read_bytes())

    def git(*command):
        who = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", "-C", root, *who, *command], check=True, capture_output=True, text=True)
        return done.stdout

    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "all")
    folder = working_copy(root).folder
    done = run(folder / "light.ipynb", folder)
    nbformat.write(done, folder / "light.ipynb")
    assert done.cells[0].outputs[0].text == "q\n"
    assert done.cells[0].outputs[1].data["text/plain"].startswith("wrote ../findings/light.html (")
    assert sorted(path.name for path in (root / "findings").iterdir()) == ["journal.db", "light.html"]
    assert git("status", "--porcelain") == ""
    nbformat.write(done, root / NOTEBOOKS / "light.ipynb")
    assert git("status", "--porcelain") == " M notebooks/light.ipynb\n", "git would notice"


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_every_relative_path_of_a_notebook_leads_to_the_same_from_its_copy(path):
    """Beside the original lie its copy and findings/; whatever else it names lies in its own folder, which is copied."""
    sources = [cell.source for cell in nbformat.read(path, as_version=4).cells]
    for found in re.findall(r"\.\./[\w./-]*", "\n".join(sources)):
        assert found.startswith("../findings/"), found
    for name in re.findall(r"\]\(([\w./-]+)[)#]", "\n".join(sources)):
        assert (path.parent / name).is_file(), name
