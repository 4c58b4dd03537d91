"""Half of a surrogate pair, as Python makes of a file name that is no UTF-8, blocks nothing that is written or shown."""

from __future__ import annotations

import json
import os
from typing import ClassVar

import pandas as pd
import pytest
import torch
from torch import nn

import kit
from kit.__main__ import main
from kit.diagnosis import diagnose, exit_code
from kit.files import encoded, readable
from kit.journal import Journal
from kit.recording import Trace, watch
from tests.recording._loops import batches

ODD = f"name {os.fsdecode(bytes([255]))} \ud83d"


def finding(evidence=()):
    return kit.Finding(ODD, ODD, "open", ODD, evidence=list(evidence))


def step():
    """A network and a loss whose names are of that kind."""

    class Loss(nn.Module):
        def __init__(self):
            super().__init__()
            self.lam_fit, self.lam_size = 1.0, 0.5

        weight_names: ClassVar = {f"fit {ODD}": "lam_fit", f"size {ODD}": "lam_size"}

        def components(self, prediction, target):
            return {f"fit {ODD}": (prediction - target).square().mean(), f"size {ODD}": prediction.square().mean()}

        def forward(self, prediction, target):
            return sum(getattr(self, self.weight_names[k]) * v for k, v in self.components(prediction, target).items())

    model = nn.Sequential()
    model.add_module(ODD, nn.Linear(4, 3))
    return model, Loss(), (torch.ones(2, 4), torch.zeros(2, 3))


def panel():
    return kit.Panel({ODD: kit.probe(*step())}, title=ODD, note=ODD)


def test_the_text_stays_readable_and_json_comes_back():
    assert readable(ODD) == "name \\udcff \\ud83d" and readable("plain \u00e4 \U0001f600") == "plain \u00e4 \U0001f600"
    assert json.loads(encoded(json.dumps(ODD, ensure_ascii=False))) == ODD


def test_a_finding_a_panel_and_a_table_are_written_and_verified(tmp_path, capsys):
    table = kit.report.Table(pd.DataFrame({ODD: [ODD]}), ODD)
    finding([panel(), table]).write(tmp_path / "page.html")
    panel().write(tmp_path / "panel.html")
    assert main(["verify", str(tmp_path / "page.html"), "--extract", str(tmp_path / "out")]) == 0
    assert "\\udcff" in (tmp_path / "page.html").read_text(encoding="utf-8")
    capsys.readouterr()


def test_one_kept_finding_blocks_no_export(tmp_path):
    journal = Journal(tmp_path)
    journal.keep(kit.Finding("fine", "c", "open", "a"))
    journal.keep(finding([panel()]))
    journal.write_html(tmp_path / "all.html")
    Journal(tmp_path).write_html(tmp_path / "again.html")
    assert (tmp_path / "all.html").read_bytes().count(b"fine") >= 1


def test_a_trace_with_such_a_parameter_is_saved_and_diagnosed(tmp_path, capsys):
    model = nn.ModuleDict({"plain": nn.Linear(4, 3)})
    model.add_module(ODD, nn.Linear(4, 3))
    with watch(model["plain"]) as run, watch(model) as whole:
        for x, _ in batches():
            model["plain"](x).sum().backward()
    for each in (run, whole):
        each.trace.save(tmp_path / "run.npz")
        assert Trace.load(tmp_path / "run.npz").facts == each.trace.facts
        assert main(["diagnose", str(tmp_path / "run.npz"), "--out", str(tmp_path / "page.html")]) == exit_code(
            diagnose(each.trace)
        )
    assert capsys.readouterr().out


def test_a_table_whose_index_has_the_name_of_a_column():
    shown = kit.report.Table(pd.DataFrame({"epoch": [1, 2]}, index=pd.Index([3, 4], name="epoch")))._repr_html_()
    assert all(str(number) in shown for number in (1, 2, 3, 4))


@pytest.mark.parametrize("text", [ODD, "a\udcff"])
def test_a_panel_reads_back_what_it_wrote(text):
    left = panel()
    left.note = text
    again = kit.Panel.from_record(json.loads(json.dumps(left.to_record())))
    assert again.note == readable(text) and again.to_record() == left.to_record()
