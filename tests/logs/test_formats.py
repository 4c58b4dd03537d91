"""Each way to write a log, as text in the test: what is read, and what it is read as. Files of the real tools: tests/guests/test_logs.py."""

from __future__ import annotations

import json
import math

import pytest

import kit
from kit.logs.plain_text import pairs

STEPS = range(0, 100, 2)


def train(step: int, dead: bool) -> float:
    return 0.0 if dead and step >= 40 else 2 / (1 + step / 20)


def val(step: int, dead: bool) -> float:
    return 1.5 if dead else 2 / (1 + step / 30)


def csv(dead, header="epoch,step,train_loss,val_loss", sep=","):
    rows = [f"{step // 20},{step},{train(step, dead)!r},{val(step, dead) if step % 20 == 18 else ''}" for step in STEPS]
    return "\n".join([header, *rows]).replace(",", sep) + "\n"


def wandb_csv(dead):
    """The CSV of a chart, as its documentation has it: the run's name before the metric, and its band in two columns more."""
    names = [f"happy-run-1 - {name}{edge}" for name in ("train/loss", "eval/loss") for edge in ("", "__MIN", "__MAX")]
    lines = [",".join(f'"{name}"' for name in ["Step", *names])]
    for step in STEPS:
        cells = [step, *[train(step, dead)] * 3, *[val(step, dead) if step % 20 == 18 else ""] * 3]
        lines.append(",".join(f'"{cell}"' for cell in cells))
    return "\n".join(lines)


def wandb_lines(dead):
    """The history of a run: one object a line, NaN as text."""
    rows = [
        {
            "_step": step,
            "_runtime": step,
            "_timestamp": 1.7e9 + step,
            "train": {"loss": train(step, dead)},
            "epoch": step // 20,
        }
        | ({"eval/loss": val(step, dead)} if step % 20 == 18 else {"table": {"_type": "table-file"}})
        for step in STEPS
    ]
    return "\n".join(map(json.dumps, rows))


def mlflow_csv(dead):
    """Its long form: one row a number, metric after metric."""
    rows = [
        f"a1,{key},{step},{of(step, dead)}" for key, of in (("train_loss", train), ("val_loss", val)) for step in STEPS
    ]
    return "\n".join(["run_id,key,step,value", *rows])


def state(dead):
    rows = [{"loss": train(step, dead), "epoch": (step + 2) / 20, "step": step} for step in STEPS]
    rows += [
        {"eval_loss": val(step, dead), "epoch": (step + 2) / 20, "step": step} for step in STEPS if step % 20 == 18
    ]
    rows = sorted(rows, key=lambda row: row["step"])
    return json.dumps(
        {"global_step": 100, "log_history": [*rows, {"train_runtime": 1.0, "train_loss": 0.9, "step": 98}]}
    )


def columns(dead):
    steps = [step for step in STEPS if step % 20 == 18]
    return json.dumps(
        {"loss": [train(s, dead) for s in steps], "val_loss": [val(s, dead) for s in steps], "params": {"units": 3}}
    )


def printed(dead):
    lines = [
        f"epoch {step // 20} step {step} train {train(step, dead):.9f} val {val(step, dead):.9f}" for step in STEPS
    ]
    return "Loading data ...\n" + "\n".join(lines) + "\nDone in 3.2 s\n"


FORMATS = {
    "metrics.csv": csv,
    "semicolon.csv": lambda dead: csv(dead, sep=";"),
    "tabs.tsv": lambda dead: csv(dead, sep="\t"),
    "own_names.csv": lambda dead: csv(dead, "Epoch,global_step,Train Loss,valid/loss"),
    "wandb.csv": wandb_csv,
    "history.jsonl": wandb_lines,
    "mlflow.csv": mlflow_csv,
    "trainer_state.json": state,
    "history.json": columns,
    "train.log": printed,
    "slurm-17.out": printed,
}


@pytest.mark.parametrize("dead", [False, True], ids=["healthy", "dead"])
@pytest.mark.parametrize("name", FORMATS)
def test_a_log_is_read_and_never_called_healthy_when_it_is_dead(tmp_path, name, dead):
    (tmp_path / name).write_text(FORMATS[name](dead), encoding="utf-8")
    log = kit.read_log(tmp_path / name)
    read = [value for value in log.steps["train_loss"] if not math.isnan(value)]
    wanted = [train(step, dead) for step in STEPS if name != "history.json" or step % 20 == 18]
    assert read == pytest.approx(wanted, abs=1e-9)
    assert {*log.epochs["val_loss"].dropna().round(6)} <= {round(val(step, dead), 6) for step in STEPS}
    found = kit.diagnose(log)
    assert found.verdict == ("unexplained" if dead else "nothing_found")
    assert set(log.names.values()) >= {"train_loss", "val_loss"}
    died = [line for line in log.story if "it died there" in line]
    assert bool(died) == dead and (not dead or "step 38" in died[0] or name == "history.json"), log.story
    assert log.epochs["val_loss"].notna().sum() >= 5


@pytest.mark.parametrize("name", sorted({*FORMATS} - {"history.json"}))  # in a folder, most JSON is something else
def test_a_folder_with_one_log_is_as_that_log(tmp_path, name):
    (tmp_path / "run" / "deep").mkdir(parents=True)
    (tmp_path / "run" / "deep" / name).write_text(FORMATS[name](True), encoding="utf-8")
    (tmp_path / "weights.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("try a larger batch\n", encoding="utf-8")
    log = kit.read_log(tmp_path)
    assert log.epochs.equals(kit.read_log(tmp_path / "run" / "deep" / name).epochs)
    assert name in log.source


LINES = {
    "epoch 3 train 0.000000 val 1.92": {"epoch": "3", "train": "0.000000", "val": "1.92"},
    "Epoch 3:  50%|## | 50/100 [00:01<00:01, 45.2it/s, loss=0.000]": {"Epoch": "3", "loss": "0.000"},
    "{'loss': 0.0, 'grad_norm': nan, 'learning_rate': 5e-05, 'epoch': 0.3}": {
        "loss": "0.0",
        "grad_norm": "nan",
        "learning_rate": "5e-05",
        "epoch": "0.3",
    },
    "{'loss': '0.694', 'grad_norm': '0.133', 'epoch': '1'}": {"loss": "0.694", "grad_norm": "0.133", "epoch": "1"},
    "Epoch 1/10": {"Epoch": "1"},
    "3/3 - 1s - 20ms/step - loss: 0.1023 - val_loss: 0.2": {"loss": "0.1023", "val_loss": "0.2"},
    "Train Epoch: 1 [640/60000 (1%)]\tLoss: 0.500000": {"Epoch": "1", "Loss": "0.500000"},
    "Test set: Average loss: 0.0501, Accuracy: 9000/10000 (90%)": {"val/Average loss": "0.0501"},
    "Epoch: [0][ 10/5005]\tTime 0.5 ( 0.6)\tLoss 6.9 (7.0)": {"Epoch": "0", "Loss": "6.9"},
    "2024-01-01 12:00:00,123 INFO train: step=100 loss=tensor(0.5) lr 1e-4": {
        "step": "100",
        "loss": "0.5",
        "lr": "1e-4",
    },
    "Epoch 5 | Train Loss: 0.123 | Val Loss: 0.456": {"Epoch": "5", "Train Loss": "0.123", "Val Loss": "0.456"},
    "Validation: loss=0.3": {"val/loss": "0.3"},
    "[epoch 7] validation loss = 0.33": {"epoch": "7", "validation loss": "0.33"},
    "iter 100: loss 2.3, time 5ms": {"iter": "100", "loss": "2.3"},
    "Epoch 2 loss nan val_loss inf": {"Epoch": "2", "loss": "nan", "val_loss": "inf"},
    "train on 60000 samples, validate on 10000 samples": {},
    "loss 3 times, Train 640/60000": {},
    "": {},
}


@pytest.mark.parametrize("line", LINES)
def test_a_printed_line(line):
    assert pairs(line) == LINES[line]


def test_what_a_progress_bar_overwrote_is_read(tmp_path):
    bars = "".join(
        f"\rEpoch {epoch}: {batch}/20 [00:01<00:01, 45.2it/s, loss={1 / (1 + epoch):.3f}]"
        for epoch in range(4)
        for batch in range(20)
    )
    (tmp_path / "a.log").write_bytes(f"\x1b[1mbegin\x1b[0m\r\n{bars}\r\n".encode())
    log = kit.read_log(tmp_path / "a.log")
    assert log.rows == 80 and log.epochs["train_loss"].tolist() == [1.0, 0.5, 0.333, 0.25]


def test_the_epoch_of_keras_stands_on_a_line_of_its_own(tmp_path):
    text = "".join(
        f"Epoch {e}/4\n\x1b[1m 1/10\x1b[0m \x1b[32m━━\x1b[0m\x1b[37m━\x1b[0m \x1b[1m0s\x1b[0m 9ms/step - loss: 0.9\r"
        f"10/10 ━━━ 1s 20ms/step - loss: {1 / e} - val_loss: {2 / e}\n"
        for e in range(1, 5)
    )
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    epochs = kit.read_log(tmp_path / "a.txt").epochs
    assert epochs["train_loss"].tolist() == [1 / e for e in range(1, 5)]
    assert epochs["val_loss"].tolist() == [2 / e for e in range(1, 5)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_shells_write(tmp_path, encoding):
    (tmp_path / "a.log").write_bytes("Größe: Ä\nepoch 1 loss 0.5\nepoch 2 loss 0.25\n".encode(encoding))
    assert kit.read_log(tmp_path / "a.log").epochs["train_loss"].tolist() == [0.5, 0.25]


def test_several_runs_in_an_export_one_is_read_and_that_is_said(tmp_path):
    text = "Step,one - train/loss,two - train/loss\n" + "\n".join(f"{i},{1 / (i + 1)},0" for i in range(9))
    (tmp_path / "chart.csv").write_text(text, encoding="utf-8")
    log = kit.read_log(tmp_path / "chart.csv")
    assert "2 runs are in it; read: one. Not read: two" in log.source and log.epochs["train_loss"].iloc[0] == 1.0


def test_the_csv_of_tensorboard_names_its_metric_in_the_name_of_the_file(tmp_path):
    path = tmp_path / "run-version_0-tag-train_loss.csv"
    path.write_text("Wall time,Step,Value\n" + "\n".join(f"1.7e9,{i},{3 - i}" for i in range(3)), encoding="utf-8")
    log = kit.read_log(path)
    assert log.epochs["train_loss"].tolist() == [3, 2, 1] and log.names["train_loss"] == "train_loss"


def test_the_newest_of_several_is_read_and_that_is_said(tmp_path):
    import os

    for age, (name, value) in enumerate({"checkpoint-20": 3.0, "checkpoint-10": 5.0}.items()):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "trainer_state.json"
        path.write_text(
            json.dumps({"log_history": [{"loss": value, "step": step} for step in range(5)]}), encoding="utf-8"
        )
        os.utime(path, (1e9 - age, 1e9 - age))
    (tmp_path / "train.log").write_text("epoch 1 loss 9.0\n", encoding="utf-8")
    log = kit.read_log(tmp_path)
    assert log.epochs["train_loss"].eq(3.0).all()
    assert "checkpoint-20/trainer_state.json" in log.source
    assert "among 3 in" in log.source and "not read: checkpoint-10/trainer_state.json, train.log" in log.source


def test_one_run_of_a_script_that_counts_its_steps_anew_in_each_epoch(tmp_path):
    lines = [f"epoch {e} step {s} loss {1 / (1 + e)}" for e in range(5) for s in range(10)]
    (tmp_path / "a.log").write_text("\n".join(lines), encoding="utf-8")
    log = kit.read_log(tmp_path / "a.log")
    assert log.epochs["train_loss"].tolist() == [1 / (1 + e) for e in range(5)] and len(log.steps) == 50
