"""The shipped data: the checksum of the card, made again bit for bit, and the symptom in the recorded run."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
import torch

import kit
from kit import datasets
from kit.files import shipped

CARD = (Path(__file__).resolve().parents[1] / "data" / "README.md").read_text(encoding="utf-8")


def test_every_file_has_a_card_that_says_what_made_it_and_how_large_it_is():
    """A size may drift by a fifth before its card is wrong."""
    folder = Path(__file__).resolve().parents[1] / "data"
    _, *cards = re.split(r"^## ", CARD, flags=re.MULTILINE)
    described = {}
    for card in cards:
        rows = dict(re.findall(r"^\| ([a-z ]+) \| (.+) \|$", card.split("\n\n")[1], re.MULTILINE))
        described[card.split("\n")[0]] = rows
    assert described.keys() == {path.name for path in folder.iterdir() if path.is_file()} - {"README.md"}
    for name, rows in described.items():
        assert rows.keys() == {"what", "made by", "made again by", "licence", "size"}, name
        said = float(rows["size"].removesuffix(" kB")) * 1e3
        assert said == pytest.approx((folder / name).stat().st_size, rel=0.2, abs=500), name


def test_the_scenes_are_made_again_bit_for_bit():
    stored = shipped("scenes.npz").read_bytes()
    assert datasets.make_scenes() == stored
    assert re.search(r"SHA-256: `(\w+)`", CARD)[1] == hashlib.sha256(stored).hexdigest()


def test_the_scenes_are_what_the_card_says():
    batch = kit.datasets.load_scenes()
    assert len(batch) == 96
    assert batch.R_samp.dtype == batch.R_true.dtype == torch.complex64
    for R in (batch.R_samp, batch.R_true):
        assert torch.allclose(R, R.mH)
        assert torch.allclose(R.diagonal(dim1=-2, dim2=-1).real.sum(-1), torch.full((96,), 144.0), rtol=1e-5)
    assert set(batch.K.tolist()) == {1, 2, 3, 4, 5}
    rank = torch.linalg.matrix_rank(batch.R_true, hermitian=True, rtol=1e-4)
    assert (rank <= batch.K).all()


def test_the_sample_covariance_carries_the_signal():
    """Most of its energy lies in the span of the true steering vectors wherever the SNR is high."""
    batch = kit.datasets.load_scenes()
    high = batch.snr_db > 15
    R, T = batch.R_samp[high], batch.R_true[high]
    overlap = (R.conj() * T).sum((1, 2)).abs() / (torch.linalg.matrix_norm(R) * torch.linalg.matrix_norm(T))
    assert overlap.median() > 0.8


def test_the_recorded_run_shows_the_symptom():
    run = kit.datasets.load_faulty_run()
    assert run.train_loss == [0.0] * 8
    assert len(set(run.val_loss)) == 1 and run.val_loss[0] > 1
    assert run.epochs["steps_taken"].sum() == 0
    assert min(step["loss"] for step in run.step_records) > 1
    assert run.settings["faults"] == ["nan_gradients", "loss_counted_on_steps_only"]


def test_the_recorded_run_is_made_again():
    """Training is not bitwise the same on every processor, so within rounding."""
    stored, made = kit.datasets.load_faulty_run(), kit.datasets.make_faulty_run()
    assert made.train_loss == stored.train_loss
    assert made.val_loss == pytest.approx(stored.val_loss, rel=1e-4)
    assert made.epochs["steps_taken"].tolist() == stored.epochs["steps_taken"].tolist()


def test_the_reports_fix_does_not_cure_the_recorded_run():
    fixed = kit.datasets.make_faulty_run(lam_cov=1.0)
    assert fixed.train_loss == [0.0] * 8
    assert len(set(fixed.val_loss)) == 1 and fixed.val_loss[0] > 1


def test_a_missing_file_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr("kit.files.DATA", tmp_path)
    with pytest.raises(FileNotFoundError, match="python -m kit data"):
        kit.datasets.load_scenes()
