"""`python -m kit diagnose` on what was recorded, and its refusals."""

from __future__ import annotations

import json

import pytest
import torch
from jsonschema import Draft202012Validator

import kit
from kit.__main__ import main
from kit.diagnosis.record import schema
from kit.files import shipped
from kit.hypotheses import ALL, explain_cause, find_cause, list_causes


def test_the_recorded_run_in_sentences_json_and_as_a_page(tmp_path, capsys):
    page = tmp_path / "findings.html"
    assert main(["diagnose", str(shipped("faulty_run.json")), "--out", str(page)]) == 1
    said = capsys.readouterr().out
    assert said.startswith("Established: NaN or infinity in gradients or losses: each of 32 measured steps")
    assert "\nAlso established: the displayed number is wrong" in said and "\nWhat to do: " in said
    assert said.endswith("\nMore: python -m kit causes nan_gradients\n")
    title = "NaN or infinity in gradients or losses, and the displayed number is wrong"
    assert f"<title>{title}</title>" in page.read_text(encoding="utf-8")
    assert main(["diagnose", str(shipped("faulty_run.json")), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["top"] == "nan_gradients"


def recorded(path, lr, steps=8):
    """A trace of a plain loop, saved; without steps of a block in which nothing runs."""
    torch.manual_seed(0)
    model, loss = torch.nn.Linear(3, 1), torch.nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    generator = torch.Generator().manual_seed(0)
    with kit.watch(model, loss=loss) as run:
        for _ in range(2 if steps else 0):
            model.train()
            for _ in range(steps // 2):
                x = torch.randn(8, 3, generator=generator)
                optimizer.zero_grad()
                loss(model(x), x.sum(-1, keepdim=True)).backward()
                optimizer.step()
            with torch.no_grad():
                model.eval()
                loss(model(torch.ones(4, 3)), torch.ones(4, 1))
    return str(run.trace.save(path))


def test_a_trace_brought_home(tmp_path, capsys):
    assert main(["diagnose", recorded(tmp_path / "run.npz", 0.0)]) == 1
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert first.startswith(
        "I have not seen the displayed losses. Log them after the with block, one number per epoch: "
    )
    assert second == "Established: the learning rate is 0: each of 8 steps had the rate 0."


@pytest.mark.parametrize(
    ("lr", "steps", "status", "verdict"), [(0.05, 8, 0, "healthy"), (0.0, 8, 1, "fault"), (0.05, 0, 2, "nothing_found")]
)
def test_the_exit_status_is_the_verdict(tmp_path, capsys, lr, steps, status, verdict):
    path = recorded(tmp_path / "run.npz", lr, steps)
    for form in ([], ["--json"], ["--sarif"], ["--markdown"]):
        assert main(["diagnose", path, *form]) == status
        said = capsys.readouterr()
        assert said.out.endswith("\n") and not said.out.endswith("\n\n") and said.err == ""
        if form == ["--json"]:
            record = json.loads(said.out)
            Draft202012Validator(schema()).validate(record)
            assert record["verdict"] == verdict
        elif form == ["--sarif"]:
            assert json.loads(said.out)["runs"][0]["properties"]["verdict"] == verdict
        elif form == ["--markdown"]:
            assert said.out.startswith("## ") and f"**verdict:** {verdict.replace('_', ' ')}" in said.out.lower()
        else:
            assert ("More: python -m kit causes" in said.out) is (status == 1)


def test_files_are_written_beside_what_is_printed(tmp_path, capsys):
    path, found = recorded(tmp_path / "run.npz", 0.0), kit.diagnose(tmp_path / "run.npz")
    sarif, ticket = tmp_path / "new" / "kit.sarif", tmp_path / "ticket.md"
    assert main(["diagnose", path, "--json", "--sarif", str(sarif), "--markdown", str(ticket)]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out) == found.to_dict()
    assert json.loads(sarif.read_text(encoding="utf-8")) == found.to_sarif()
    assert ticket.read_text(encoding="utf-8") == found.to_markdown()
    assert said.err.splitlines() == [f"wrote {sarif.as_posix()}", f"wrote {ticket.as_posix()}"]


def test_what_cannot_be_written_is_refused_before_any_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("kit.diagnosis.diagnose", lambda *_: pytest.fail("the work was started"))
    path = recorded(tmp_path / "run.npz", 0.05)
    for form in ("--sarif", "--markdown"):
        assert main(["diagnose", path, form, str(tmp_path)]) == 3
        assert "it is a folder; name a file in it" in capsys.readouterr().err
    assert main(["diagnose", path, "--json", "--markdown"]) == 3
    said = capsys.readouterr()
    assert said.out == "" and said.err == (
        "One of --json, --sarif and --markdown at most should be printed. Found --json and --markdown; name a file: --markdown FILE.\n"
    )


@pytest.mark.parametrize("arguments", [[], ["diagnose"], ["diagnose", "x.npz", "--jsn"], ["diagnos", "x.npz"]])
def test_a_wrong_call_is_bad_input_and_no_verdict(capsys, arguments):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 3
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("usage: python -m kit") and ": error: " in said.err


def test_the_causes_in_a_list_and_one_in_full(capsys):
    assert main(["causes"]) == 0
    assert capsys.readouterr().out == f"{list_causes(ALL)}\n"
    assert main(["causes", "graph_cut"]) == 0
    assert capsys.readouterr().out == f"{explain_cause(find_cause('graph_cut', ALL))}\n"
    assert main(["causes", "graph"]) == 3
    said = capsys.readouterr()
    assert said.out == "" and "Did you mean graph_cut" in said.err


def test_refusals(tmp_path, capsys):
    foreign = tmp_path / "run.npz"
    foreign.write_bytes(b"not a trace")
    assert main(["diagnose", str(foreign)]) == 3
    assert "run.npz" in capsys.readouterr().err
    assert main(["diagnose", str(tmp_path / "nothing.json")]) == 3
