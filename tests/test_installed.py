"""The kit as a wheel installs it, used in a folder that is no checkout: every command, the data, the notebooks, the panel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile

import pytest

from tests.conftest import ROOT, built

COMMANDS = {
    "help": ["--help"],
    "lab": ["lab", "--no-browser"],
    "diagnose": ["diagnose", "run.npz", "--out", "run.html", "--sarif", "run.sarif", "--markdown", "run.md"],
    "check": ["check", "train.py:parts"],
    "verify": ["verify", "run.html"],
    "causes": ["causes"],
    "bench": ["bench"],
    "data": ["data"],
}
TRAIN = """
import torch

def parts():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    batch = torch.randn(8, 3), torch.randn(8, 1)
    return model, torch.nn.MSELoss(), batch, torch.optim.SGD(model.parameters(), lr=0.0)
"""
USED = """
import contextlib, io, json, sys
import kit, kit.lab
from kit.__main__ import main
from train import parts

model, loss, (x, y), optimizer = parts()
with kit.watch(model, loss=loss) as run:
    for _ in range(12):
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
run.trace.save("run.npz")
kit.Panel(kit.probe(model, loss, (x, y), terms=lambda p, t: {"mse": (p - t).square().mean()}, weights={"mse": 1.0})).write("panel.html")
served = []
kit.lab.serve = lambda *places, **options: served.extend(map(str, places)) or 0
said = {}
for name, command in json.loads(sys.argv[1]).items():
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(command)
        except SystemExit as left:
            status = left.code
    said[name] = [status, out.getvalue(), err.getvalue()]
history = kit.datasets.load_faulty_run()
system = kit.datasets.reference_system()
facts = {"file": kit.__file__, "epochs": len(history.epochs), "scenes": len(system.train), "served": served}
print(json.dumps({"said": said, **facts}))
"""


@pytest.fixture(scope="module")
def used(installed, tmp_path_factory):
    """What an installed kit did in an empty folder: -> the folder, and what was said."""
    folder = tmp_path_factory.mktemp("empty")
    (folder / "train.py").write_text(TRAIN, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-W", "error", "-c", USED, json.dumps(COMMANDS)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_it_is_the_installed_one_and_every_command_ends_as_it_should(used, installed):
    _, found = used
    assert found["file"] == str(installed / "kit" / "__init__.py")
    statuses = {name: status for name, (status, _, _) in found["said"].items()}
    broken, bad_input = 1, 3
    assert statuses == {
        **dict.fromkeys(("help", "lab", "verify", "causes"), 0),
        **dict.fromkeys(("diagnose", "check"), broken),
        **dict.fromkeys(("bench", "data"), bad_input),
    }
    for name in ("diagnose", "check"):
        assert "Established: the learning rate is 0" in found["said"][name][1]
    for name in ("bench", "data"):
        assert "run this in a checkout" in found["said"][name][2]


def test_lab_opens_a_copy_of_the_notebooks_in_the_working_folder(used):
    folder, found = used
    assert found["served"] == [str(folder), "my_notebooks/00_start_here.ipynb"]
    originals = sorted(path for path in (ROOT / "notebooks").rglob("*") if path.is_file() and "/." not in str(path))
    for path in (path for path in originals if "__pycache__" not in path.parts):
        copy = folder / "my_notebooks" / path.relative_to(ROOT / "notebooks")
        assert copy.read_bytes() == path.read_bytes()


def test_its_data_its_panel_and_its_pages_are_there(used):
    folder, found = used
    assert found["epochs"] == 8 and found["scenes"] == 64
    for name in ("panel.html", "run.html", "run.sarif", "run.md"):
        assert (folder / name).stat().st_size > 100


def tracked(*folders: str) -> set[str]:
    done = subprocess.run(["git", "ls-files", *folders], check=False, capture_output=True, text=True, cwd=ROOT)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return set(done.stdout.split())


def test_the_wheel_holds_kit_data_and_notebooks_and_nothing_else(wheel):
    """Whatever else lies in the folders of a checkout, untracked, may come along; nothing tracked may be missing."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = tracked("kit") | {f"kit/_{name}" for name in tracked("data", "notebooks")}
    assert wanted <= names and all(name.startswith("kit/") for name in names)


def test_the_sdist_holds_the_checkout_and_the_same_wheel_is_built_of_it(wheel, tmp_path):
    sdist = built(ROOT, "sdist", tmp_path / "dist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    missing = [name for name in tracked() if not (unpacked / name).is_file()]
    assert missing == []
    again = built(unpacked, "wheel", tmp_path / "again")
    contents = [{entry.filename: entry.CRC for entry in zipfile.ZipFile(path).infolist()} for path in (wheel, again)]
    assert contents[0] == contents[1]
