"""Paths are checked before any work: for every page, by every command; what is refused leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import kit
from kit.__main__ import main
from kit.files import check_file, check_folder, sentence, shipped, shown, write_atomically
from kit.journal import Journal
from tests.journal._findings import small


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The working folder: with a folder, a file, and a folder that is named like a page."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "adir").mkdir()
    (tmp_path / "adir.html").mkdir()
    (tmp_path / "afile").write_text("kept", encoding="utf-8")
    return tmp_path


PAGES = {
    "x.txt": "path should end in .html. Found path = 'x.txt'; 'x.html' would do.",
    "x.pdf": "path should end in .html. Found path = 'x.pdf'; 'x.html' would do.",
    "adir": "path should end in .html. Found path = 'adir'; 'adir.html' would do.",
    "adir.html": "path should be a place for a file. Found path = 'adir.html': it is a folder; name a file in it. Choose another.",
    "afile/x.html": "path should be a place for a file. Found path = 'afile/x.html': afile is no folder. Choose another.",
    "x\0.html": "path should be a place for a file. Found path = 'x\\x00.html': embedded null byte. Choose another.",
}
LONG = f"{'x' * 300}.html"


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def nothing_runs(monkeypatch):
    """Whatever would be work fails the test."""

    def started(*_arguments, **_options):
        pytest.fail("the work was started")

    for name in (
        *(
            "kit.studies.investigate",
            "kit.diagnosis.diagnose",
            "tests.bench.running.run_bench",
            "kit.datasets.regenerate",
        ),
        *("kit.report.verify", "kit.report.finding.render_page", "kit.journal.journal.render_page"),
    ):
        monkeypatch.setattr(name, started)


@pytest.mark.parametrize(("path", "said"), PAGES.items(), ids=[*map(str, range(len(PAGES)))])
def test_commands_and_findings_refuse_a_page_in_the_same_words(place, nothing_runs, capsys, path, said):
    before = tree(place)
    for command in (["investigate"], ["diagnose", str(shipped("faulty_run.json"))]):
        assert main([*command, "--out", path]) == 3
        shown = capsys.readouterr()
        assert shown.err.splitlines() == [said] and shown.out == ""
    journal = Journal(place)
    for write in (
        lambda: kit.write_html(path, small()),
        lambda: small().write(path),
        lambda: small().offer(path),
        lambda: journal.write_html(path),
    ):
        with pytest.raises((ValueError, OSError)) as refused:
            write()
        assert str(refused.value) == said
    assert tree(place) == before


def test_a_name_that_the_file_system_refuses_is_refused_first(place, nothing_runs, capsys):
    assert main(["investigate", "--out", LONG]) == 3
    assert capsys.readouterr().err.endswith(": file name too long. Choose another.\n")
    assert main(["investigate", "--out", f"new/{LONG}"]) == 3 and not (place / "new").exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder where not even root can write")
def test_a_folder_that_cannot_be_written_is_refused_first(nothing_runs, capsys):
    assert main(["investigate", "--out", "/proc/x.html"]) == 3
    said = capsys.readouterr().err
    assert said == (
        "path should be a place for a file. Found path = '/proc/x.html': no such file or directory. Choose another.\n"
    ), "the path that was asked for, and no temporary one"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(place, nothing_runs, capsys):
    (place / "adir").chmod(0o500)
    try:
        assert main(["investigate", "--out", "adir/x.html"]) == 3
    finally:
        (place / "adir").chmod(0o700)
    assert "permission denied" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bench", "--store", "adir"], "path should be a place for a file. Found path = 'adir': it is a folder; name a file in it. Choose another."),
        (["bench", "--store", "afile/x"], "path should be a place for a file. Found path = 'afile/x': afile is no folder. Choose another."),
        (["data", "--folder", "afile"], "path should be a folder. Found a file: afile."),
        (["verify", "x.html", "--extract", "afile"], "path should be a folder. Found a file: afile."),
        (
            ["verify", "x.html", "--extract", "afile/x"],
            "path should be a place for a file. Found path = 'afile/x': afile is no folder. Choose another.",
        ),
    ],
)  # fmt: skip
def test_the_other_commands_look_first_too(place, nothing_runs, capsys, arguments, said):
    before = tree(place)
    assert main(arguments) == 3
    assert capsys.readouterr().err.splitlines() == [said] and tree(place) == before


def test_bench_says_that_it_needs_a_checkout(place, monkeypatch, capsys):
    monkeypatch.setattr("kit.__main__.ROOT", place)
    assert main(["bench"]) == 3
    assert capsys.readouterr().err == f"tests/bench should be in {place}. Found nothing; run this in a checkout.\n"


def test_data_is_written_into_a_checkout_or_where_it_is_said(place, monkeypatch, capsys):
    monkeypatch.setattr("kit.__main__.ROOT", place)
    before = tree(place)
    assert main(["data"]) == 3 and tree(place) == before
    assert capsys.readouterr().err == (
        f"data/README.md should be in {place}. Found nothing; run this in a checkout, or say where to write: --folder FOLDER\n"
    )


def test_bench_looks_at_what_it_will_write(place, nothing_runs, monkeypatch, capsys):
    monkeypatch.setattr("kit.files.DATA", place / "afile")
    assert main(["bench", "--store", "x.jsonl", "--write"]) == 3
    assert "is no folder" in capsys.readouterr().err


def test_what_can_be_written_is_left_as_it_is(place):
    before = tree(place)
    for path in ("x.html", "new/deep/x.HTM", "adir/x.html"):
        check_file(path, ".html", ".htm")
    for path in ("adir", "new", "new/deep"):
        check_folder(path)
    assert tree(place) == before


def test_a_write_that_fails_names_the_path_that_was_asked_for(place, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device", "/somewhere/.x.tmp")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space left on device") as refused:
        write_atomically("x.html", "text")
    assert "x.html" in sentence(refused.value, "write")
    assert not (place / "x.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["diagnose", "nothing.json"], "could not read nothing.json: no such file or directory."),
        (["diagnose", "nothing.npz"], "could not read nothing.npz: no such file or directory."),
        (
            ["diagnose", "adir"],
            "adir should hold a log with losses: trainer_state.json, a CSV file, event files, JSON lines or printed lines. Found 0 files that could be one.",
        ),
        (["verify", "nothing.html"], "could not read nothing.html: no such file or directory."),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(place, capsys, arguments, said):
    assert main(arguments) == (1 if arguments[0] == "verify" else 3)
    assert capsys.readouterr().err.splitlines() == [said]


def test_a_path_is_shown_from_where_the_reader_stands(place, monkeypatch):
    assert shown(place / "findings" / "x.html") == "findings/x.html"
    monkeypatch.chdir(place / "adir")
    assert shown(place / "findings" / "x.html") == "../findings/x.html"
    (place / "adir" / "deeper").mkdir()
    monkeypatch.chdir(place / "adir" / "deeper")
    assert shown(place / "x.html") == (place / "x.html").as_posix()
    assert shown("../../x.html") == (place / "x.html").as_posix()
