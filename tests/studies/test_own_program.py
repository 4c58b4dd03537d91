"""A program under a watch, as a path with arguments and as a function: what ran, what it displayed, what is left behind."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import kit
from kit.studies import watched

SCRIPT = Path(__file__).resolve().parents[2] / "notebooks" / "train_autoencoder.py"


@pytest.fixture
def before():
    return list(sys.argv), list(sys.path)


def as_it_was(before):
    assert sys.argv == before[0]
    assert sys.path == before[1]


def test_a_script_runs_with_its_arguments_and_what_it_printed_is_logged(capsys, before):
    run = watched(SCRIPT, "--keep-last", "--batch-size", 32, "--epochs", "2", probe_every=3)
    as_it_was(before)
    epochs, printed = run.trace.epochs, capsys.readouterr().out
    assert epochs["batches"].tolist() == [7, 7], "200 samples in batches of 32"
    lines = [f"epoch {i:3d}  train {t:.6f}  val {v:.6f}" for i, t, v in epochs[["train_loss", "val_loss"]].itertuples()]
    assert printed.splitlines() == lines, "the printed lines, made again from what was logged"
    assert list(kit.Panel(run.trace).data["weight_names"]) == ["lam_recon", "lam_kl", "lam_smooth"]


def test_a_function_gives_the_same_run(capsys):
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        import train_autoencoder
    finally:
        del sys.path[0]
    arguments = ["--keep-last", "--epochs", "2"]
    ours, theirs = watched(train_autoencoder.main, arguments), watched(SCRIPT, *arguments)
    capsys.readouterr()
    for name in ("train_loss", "val_loss", "loss_mean", "steps"):
        assert ours.trace.epochs[name].tolist() == theirs.trace.epochs[name].tolist()


def test_the_diagnosis_of_the_script_as_written(capsys):
    found = kit.diagnose(watched(SCRIPT))
    capsys.readouterr()
    assert [link.name for link in found.chain.broken] == ["data"]


def test_a_program_that_prints_no_loss_is_watched_all_the_same():
    run = watched(lambda: None)
    assert run.trace.epochs["train_loss"].isna().all()


def test_what_the_program_raises_is_raised_and_nothing_is_left_behind(tmp_path, before):
    script = tmp_path / "broken.py"
    script.write_text("import sys\nsys.exit(sys.argv[1:] == ['fail'] and 3)\n", encoding="utf-8")
    watched(script)
    as_it_was(before)
    with pytest.raises(SystemExit) as ended:
        watched(script, "fail")
    assert ended.value.code == 3
    as_it_was(before)


def test_a_script_finds_the_modules_beside_it(tmp_path, capsys):
    (tmp_path / "beside_the_script.py").write_text("WORD = 'found'\n", encoding="utf-8")
    script = tmp_path / "main.py"
    script.write_text("from beside_the_script import WORD\nprint(WORD, __name__)\n", encoding="utf-8")
    watched(script)
    assert capsys.readouterr().out == "found __main__\n"


def test_what_is_no_program_is_refused(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"program should be a script that exists\. Found no file .*none\.py in "
    ):
        watched(tmp_path / "none.py")
    with pytest.raises(TypeError, match=r"program should be the path of a script, or a function\. Found a int\."):
        watched(3)
