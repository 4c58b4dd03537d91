"""The README's lines are run as they stand, on a small network whose loop is healthy."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch

import kit

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
WATCHED, ANSWERED, CHECKED, LOGGED, FIXTURE, PROBED, KEPT = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


class Loss(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lam_mse, self.lam_kl = 1.0, 0.1

    def forward(self, prediction, target):
        return self.lam_mse * (prediction - target).square().mean() + self.lam_kl * prediction.abs().mean()


def names(clip=float("inf"), epochs=3):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 1))
    inputs, target = torch.randn(12, 3), torch.randn(12, 1)
    shown = {"train": [], "val": []}

    def train(model, loss, loader):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(epochs):
            losses = []
            for x, y in loader:
                optimizer.zero_grad()
                total = loss(model(x), y)
                total.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
                optimizer.step()
                losses.append(total.item())
            shown["train"].append(sum(losses) / len(losses))
            with torch.no_grad():
                shown["val"].append(loss(model(inputs), target).item())

    batch = (inputs, target)
    loader = [(inputs[i : i + 4], target[i : i + 4]) for i in (0, 4, 8)]
    return {
        "kit": kit,
        "model": model,
        "loss": Loss(),
        "train": train,
        "loader": loader,
        "inputs": inputs,
        "target": target,
        "batch": batch,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
        "shown": shown,
    }


def test_a_watched_run_is_diagnosed(capsys):
    known = names()
    code = WATCHED.replace("train_loss=[...], val_loss=[...]", 'train_loss=shown["train"], val_loss=shown["val"]')
    exec(code, known)  # noqa: S102
    assert known["run"].trace.epochs["steps"].tolist() == [3, 3, 3]
    exec(ANSWERED, known)  # noqa: S102
    assert known["found"].verdict == "healthy" and capsys.readouterr().out


def test_the_sample_of_an_answer_is_what_is_printed(capsys):
    known = names(clip=1 // 2, epochs=12)
    code = WATCHED.replace("train_loss=[...], val_loss=[...]", 'train_loss=shown["train"], val_loss=shown["val"]')
    exec(code, known)  # noqa: S102
    sample = re.search(r"`1 // 2` prints:\n\n```\n(.*?)```", README, re.DOTALL)[1]
    printed = re.sub(r"\S*test_readme\.py:\d+", "train.py:9", capsys.readouterr().out)
    assert printed.strip() == sample.strip()


def test_the_parts_are_checked_before_the_run(capsys):
    known = names()
    exec(CHECKED, known)  # noqa: S102
    assert known["found"].verdict == "healthy" and "On this batch the loss went from" in capsys.readouterr().out


def test_a_log_is_read(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"step": step, "loss": 0.0 if step > 390 else 1.5, "epoch": step / 100} for step in range(10, 500, 10)]
    (tmp_path / "trainer_state.json").write_text(
        json.dumps({"log_history": rows, "global_step": 490}), encoding="utf-8"
    )
    exec(LOGGED, {"kit": kit})  # noqa: S102
    said = capsys.readouterr().out
    quoted = "`loss` is positive until step 390 and reads exactly 0 from step 400 on: it died there"
    assert quoted in said and quoted in " ".join(README.split())


def test_a_test_with_the_fixture_watches_its_training():
    known = names()
    exec(FIXTURE, known)  # noqa: S102
    runs = []

    def kit_watch(model, **options):
        runs.append(kit.watch(model, **options))
        return runs[0]

    known["test_one_epoch"](kit_watch)
    assert runs[0].trace.epochs["steps"].tolist() == [3, 3, 3]


def test_every_callback_of_the_table_is_there():
    from kit import integrations

    named = re.findall(r"kit\.integrations\.(\w+)\(", README)
    assert {*named} == {*integrations.__all__}


def test_the_check_of_the_small_programs_is_counted_as_it_is_said():
    from tests.bench.cases import CHECKED_ONLY_IN_A_RUN, FAULTS, HEALTHY

    in_the_step = [program for program in FAULTS if program.__name__ not in CHECKED_ONLY_IN_A_RUN]
    assert (
        f"Of {len(in_the_step)} small programs whose fault lies in the step it names all, and none in {len(HEALTHY)} healthy ones"
        in " ".join(README.split())
    )


def test_a_probed_loss_answers_and_a_finding_is_written(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = names()
    exec(PROBED, known)  # noqa: S102
    assert known["seen"].names == ("mse", "kl") and "lam_kl" not in capsys.readouterr().err
    terms = '{"mse": (prediction - target).square().mean(), "kl": prediction.abs().mean()}'
    known["loss"] = lambda prediction, target: Loss()(prediction, target)
    exec(KEPT.replace('{"mse": ..., "kl": ...}', terms), known)  # noqa: S102
    assert (tmp_path / "findings" / "kl.html").stat().st_size > 50_000
