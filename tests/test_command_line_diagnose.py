"""`python -m kit diagnose` on what was recorded, and its refusals."""

from __future__ import annotations

import json

import torch

import kit
from kit.__main__ import main
from kit.files import shipped


def test_the_recorded_run_in_sentences_json_and_as_a_page(tmp_path, capsys):
    page = tmp_path / "findings.html"
    assert main(["diagnose", str(shipped("faulty_run.json")), "--out", str(page)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Established: NaN or infinity in gradients or losses: each of 32 measured steps")
    assert "\nAlso established: the displayed number is wrong" in said and "\nWhat to do: " in said
    title = "NaN or infinity in gradients or losses, and the displayed number is wrong"
    assert f"<title>{title}</title>" in page.read_text(encoding="utf-8")
    assert main(["diagnose", str(shipped("faulty_run.json")), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["top"] == "nan_gradients"


def test_a_trace_brought_home(tmp_path, capsys):
    model, loss = torch.nn.Linear(3, 1), torch.nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    generator = torch.Generator().manual_seed(0)
    with kit.watch(model, loss=loss) as run:
        for _ in range(2):
            model.train()
            for _ in range(4):
                x = torch.randn(8, 3, generator=generator)
                optimizer.zero_grad()
                loss(model(x), x.sum(-1, keepdim=True)).backward()
                optimizer.step()
            with torch.no_grad():
                model.eval()
                loss(model(torch.ones(4, 3)), torch.ones(4, 1))
    path = run.trace.save(tmp_path / "run.npz")
    assert main(["diagnose", str(path)]) == 0
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert first.startswith(
        "I have not seen the displayed losses. Log them after the with block, one number per epoch: "
    )
    assert second == "Established: the learning rate is 0: each of 8 steps had the rate 0."


def test_refusals(tmp_path, capsys):
    foreign = tmp_path / "run.npz"
    foreign.write_bytes(b"not a trace")
    assert main(["diagnose", str(foreign)]) == 3
    assert "run.npz" in capsys.readouterr().err
    assert main(["diagnose", str(tmp_path / "nothing.json")]) == 3
