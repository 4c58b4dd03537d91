"""Files that are no logs, damaged ones and large ones; and which reader `python -m kit diagnose` takes."""

from __future__ import annotations

import json
import os
import random
import tracemalloc

import pytest
import torch

import kit
from kit.__main__ import main
from kit.files import shipped
from kit.logs import load_run
from kit.logs.plain_text import pairs
from kit.logs.rows import MOST_ROWS, Rows, number
from kit.recording import Trace
from kit.training import TrainingHistory

REFUSED = {
    "empty.csv": (b"", "Found an empty file"),
    "blank.log": (b"\n \n", "Found an empty file"),
    "other.csv": (
        b"name,age\nbob,3\n",
        "should have a column with a loss (train_loss, loss, val_loss, ...). Found the columns `name`, `age`",
    ),
    "no_loss.log": (
        b"hello world\nepoch 1 acc=0.5\n",
        "should hold a loss (train_loss, loss, val_loss, ...). Found `epoch`, `acc`",
    ),
    "header_only.csv": (b"epoch,train_loss\n", "should hold a loss"),
    "binary.csv": (bytes(range(256)) * 20, "Found a binary file or another encoding"),
    "compressed.log": (b"\x1f\x8b\x08" + random.Random(0).randbytes(4000), "Found a binary file or another encoding"),
    "latin.log": ("epoch 1 größe äöü: 0.5\n" * 9).encode("latin-1"),
    "wide_without_mark.csv": ("epoch,loss\n1,2\n" * 9).encode("utf-16-le"),
    "cut.json": (b'{"log_history": [{"loss": 1.0', "not complete JSON"),
    "other.json": (b'{"lr": 0.1, "name": "x"}', "Found an object with `lr`, `name`"),
    "number.json": (b"3", "Found a int"),
    "deep.json": (b"[" * 100_000, "nested too deeply"),
    "config.json": (b'{"layers": [1, 2, 3]}', "should hold a loss"),
    "cut.jsonl": (b'{"loss": 1.0\n{"loss": 2.0\n', "should hold one JSON object a line. Found 2 lines that are none"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_log_is_refused_with_its_name_and_what_was_found(tmp_path, name, capsys):
    content, said = (
        REFUSED[name]
        if isinstance(REFUSED[name], tuple)
        else (REFUSED[name], "Found a binary file or another encoding")
    )
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        kit.read_log(path)
    assert (
        str(caught.value).startswith(f"{name} should ") and said in str(caught.value) and len(str(caught.value)) < 500
    )
    assert main(["diagnose", str(path)]) == 3 and name in capsys.readouterr().err
    assert path.read_bytes() == content


def test_what_is_not_there_or_holds_nothing(tmp_path, capsys):
    with pytest.raises(FileNotFoundError):
        kit.read_log(tmp_path / "nothing.csv")
    assert main(["diagnose", str(tmp_path / "nothing.csv")]) == 3 and "could not read" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"should hold a log with losses: .* Found 0 files that could be one"):
        kit.read_log(tmp_path)
    (tmp_path / "table.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"Found 1 files that could be one. table.csv should have a column with a loss"
    ):
        kit.read_log(tmp_path)


def test_a_log_that_is_cut_off_is_read_as_far_as_it_goes(tmp_path):
    rows = [json.dumps({"step": k, "loss": 1 / (1 + k)}) for k in range(20)]
    (tmp_path / "a.jsonl").write_text("\n".join(rows)[:-9], encoding="utf-8")
    assert len(kit.read_log(tmp_path / "a.jsonl").steps) == 19
    (tmp_path / "a.csv").write_text(
        "step,loss,val_loss\n" + "\n".join(f"{k},{1 / (1 + k)},1" for k in range(20))[:-9], encoding="utf-8"
    )
    assert len(kit.read_log(tmp_path / "a.csv").steps) >= 19


def test_bytes_changed_anywhere_are_read_or_refused(tmp_path):
    texts = {
        "a.csv": "epoch,step,train_loss,lr\n" + "\n".join(f"{k // 5},{k},{1 / (1 + k)},0.1" for k in range(30)),
        "trainer_state.json": json.dumps({"log_history": [{"loss": 1 / (1 + k), "step": k} for k in range(20)]}),
        "a.jsonl": "\n".join(json.dumps({"loss": 1 / (1 + k), "step": k, "grad_norm": "NaN"}) for k in range(20)),
        "a.log": "\n".join(f"epoch {k} loss {1 / (1 + k)} val_loss 0.5" for k in range(20)),
    }
    draw = random.Random(0)
    for name, text in texts.items():
        path = tmp_path / name
        for _ in range(25):
            data = bytearray(text.encode())
            for _ in range(draw.randrange(1, 6)):
                place = draw.randrange(len(data))
                data[place : place + draw.choice([0, 1, 40])] = draw.choice(
                    [b"\0", b"\xff", b"-", b"9" * 30, b",,", b'"', b"{", b"\n", b"1e999"]
                )
            path.write_bytes(data)
            try:
                log = kit.read_log(path)
            except ValueError as error:
                assert name in str(error)
            else:
                assert log.explain() and log._repr_html_() and kit.diagnose(log).verdict != "healthy"


@pytest.mark.parametrize("value", [None, True, "", "x", [1], {}, "1" * 100, 10**400, "0x10"])
def test_what_is_no_number(value):
    assert number(value) is None


def test_numbers_as_they_are_written():
    assert [number(text) for text in (" 1.5 ", "1e-5", ".5", "-3", "+2.", 7)] == [1.5, 1e-5, 0.5, -3.0, 2.0, 7.0]
    assert [str(number(text)) for text in ("NaN", "inf", "-Infinity")] == ["nan", "inf", "-inf"]


def lines(count: int, dies: int):
    for k in range(count):
        yield f"epoch {k // 1000} step {k} train_loss {2.0 if k < dies else 0.0!r} val_loss 1.5 lr 0.001 grad_norm 1.0 and some more words\n"


def test_a_long_log_is_read_in_bounded_memory(tmp_path):
    """Twenty times the text takes no more memory, and the step of the death is still exact."""
    most = {}
    for count in (1_000, 20_000):
        path = tmp_path / f"{count}.log"
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(lines(count, count - 234))
        tracemalloc.start()
        log = kit.read_log(path)
        most[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert log.rows == count and len(log.steps) <= MOST_ROWS
        assert any(
            f"until step {count - 235} and reads exactly 0 from step {count - 234} on" in line for line in log.story
        )
    assert path.stat().st_size > 3 << 19 and most[20_000] < 5 * most[1_000] < 75 << 20


def test_rows_that_change_all_the_time_are_bounded_as_well():
    rows = Rows()
    for k in range(30_000):
        names = [f"loss/a{(k + n) % 37}" for n in range(3)]
        rows.add({"step": k, **{name: float(k % 2) for name in names}, f"name{k}": 1.0})
    assert len(rows.rows()) <= MOST_ROWS + 20 and rows.count == 30_000 and len(rows.unknown) <= 40


@pytest.mark.parametrize(
    "line",
    ["a" * 4000, "a " * 2000, "loss" * 900, "loss: " * 700, "a.b-" * 1000, "[" * 4000, "1" * 4000, "epoch " * 600],
)
def test_a_line_of_anything_is_read_quickly(line):
    import time

    began = time.process_time()
    pairs(line)
    assert time.process_time() - began < 1


def test_a_folder_with_much_else_is_searched_in_bounded_time(tmp_path):
    for k in range(300):
        (tmp_path / f"image{k}.png").write_bytes(b"x")
    for hidden in (".git", "node_modules"):
        (tmp_path / hidden).mkdir()
        (tmp_path / hidden / "metrics.csv").write_text("epoch,loss\n1,9\n2,9\n", encoding="utf-8")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.csv").write_text("epoch,loss\n1,2.0\n2,1.0\n", encoding="utf-8")
    os.symlink(tmp_path, tmp_path / "run" / "again")
    assert kit.read_log(tmp_path).epochs["train_loss"].tolist() == [2.0, 1.0]


RECORDS = {"kit.TrainingHistory": TrainingHistory.load}


def test_own_files_and_logs_are_told_apart_by_their_content(tmp_path):
    assert isinstance(load_run(shipped("faulty_run.json"), RECORDS), TrainingHistory)
    model = torch.nn.Linear(2, 1)
    with kit.watch(model) as run:
        model(torch.ones(1, 2)).sum().backward()
    assert isinstance(load_run(run.trace.save(tmp_path / "run.npz"), RECORDS), Trace)
    state = tmp_path / "trainer_state.json"
    state.write_text(json.dumps({"log_history": [{"loss": 0.0, "step": k} for k in range(5)]}), encoding="utf-8")
    assert isinstance(load_run(state, RECORDS), kit.logs.Log)
    foreign = tmp_path / "bad.npz"
    foreign.write_bytes(b"epoch 1 loss 0.5\n")
    with pytest.raises(ValueError, match=r"bad.npz should be a saved kit.Trace"):
        load_run(foreign, RECORDS)
    newer = tmp_path / "newer.json"
    newer.write_text('{"format": "kit.Other", "version": 1}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"newer.json should be a saved kit.TrainingHistory"):
        load_run(newer, RECORDS)


@pytest.mark.parametrize("dead", [False, True])
def test_the_command_line_reads_a_log(tmp_path, capsys, dead):
    path, page = tmp_path / "metrics.csv", tmp_path / "page.html"
    rows = [f"{k},{k},{0.0 if dead and k > 5 else 1 / (1 + k)},{1.5 if dead else 2 / (1 + k)}" for k in range(12)]
    path.write_text("\n".join(["epoch,step,train_loss,val_loss", *rows]), encoding="utf-8")
    main(["diagnose", str(path), "--out", str(page)])
    said = capsys.readouterr().out
    assert (
        ("it died there" in said) == dead
        and "LightningCallback()" in said
        and "`train_loss` read as train_loss" in said
    )
    html = page.read_text(encoding="utf-8")
    assert "displayed numbers" in html and ("it died there" in html) == dead and "No count" not in html
    main(["diagnose", str(tmp_path), "--json"])
    assert json.loads(capsys.readouterr().out)["verdict"] == ("unexplained" if dead else "nothing_found")
