from __future__ import annotations

import json

import numpy as np
import pytest

from kit.stepgraph import ProbeReport

HOSTILE = "<script>alert(1)</script>"


def make(**changes):
    g = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0], [-1.0, 0.0, 0.5]])
    G_groups = np.stack([g[:, :2] @ g[:, :2].T, g[:, 2:] @ g[:, 2:].T])
    fields = {
        "names": ("cov", "aux", "rest"), "weight_names": ("lam_cov", "lam_aux", ""),
        "L": np.array([0.1, 1 / 3, np.nan]),
        "weights": np.array([0.3, 0.0, 1.0]), "adjustable": np.array([True, True, False]), "G": G_groups.sum(0),
        "groups": ("body", "head"), "G_groups": G_groups,
        "n_parameters": np.array([10, 4]), "paths": np.ones((2, 3), bool),
        "no_path": {"aux": ("head.weight",)}, "nonfinite": np.zeros((2, 3), int), "total": 0.7, "grad_norm": np.inf,
        "residual": np.nan, "decomposition": "exposed", "gradient_way": "two_stage", "notes": ("a note",),
    }  # fmt: skip
    return ProbeReport(**(fields | changes))


def test_arrays_are_read_only_copies():
    L = np.array([1.0, 2.0, 3.0])
    report = make(L=L)
    L[0] = 9
    assert report.L[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        report.L[0] = 2
    with pytest.raises(AttributeError):
        report.total = 1.0


def test_norms_and_table():
    report = make()
    np.testing.assert_allclose(report.norms, np.sqrt(np.diag(report.G)))
    table = report.table
    assert list(table.columns) == [
        "term", "weight_name", "weight", "value", "weighted_value", "grad_norm", "no_path_to",
    ]  # fmt: skip
    assert table["no_path_to"].tolist() == ["", "head.weight", ""]
    assert table["weighted_value"][1] == 0


def test_weighted_value_of_a_nan_term_that_is_off_is_zero():
    assert make(L=np.array([1.0, np.nan, 0.0])).table["weighted_value"].tolist()[1] == 0


def test_round_trip_keeps_every_bit(tmp_path):
    report = make(G=np.array([[1e-300, np.nan, np.inf], [np.pi, 0.1, -np.inf], [0, -0.0, 5e-324]]))
    path = report.save(tmp_path / "seen.json")
    loaded = ProbeReport.load(path)
    assert loaded == report
    for key in ("L", "G", "G_groups", "weights"):
        assert getattr(loaded, key).tobytes() == getattr(report, key).tobytes()
    assert loaded.paths.dtype == bool and loaded.n_parameters.dtype == np.int64
    assert [file.name for file in tmp_path.iterdir()] == ["seen.json"]
    assert json.loads(path.read_text())["residual"] == "nan"
    assert loaded != make()


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = make().save(tmp_path / "seen.json")
    old = path.read_text()
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk")))
        with pytest.raises(OSError, match="disk"):
            make(total=1.0).save(path)
    assert path.read_text() == old and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "change, text",
    [
        (lambda d: d | {"format": "other"}, "format = 'other'"),
        (lambda d: d | {"version": 2}, "plain should have version 1. Found version = 2"),
        (lambda d: {k: v for k, v in d.items() if k != "G"}, r"Found no \['G'\]"),
        (lambda d: d | {"G": [[1.0]]}, "G should have shape"),
        (lambda d: d | {"L": ["1", 2.0, 3.0]}, "L should hold numbers"),
        (lambda d: d | {"L": [True, 2.0, 3.0]}, "L should hold numbers"),
        (lambda d: d | {"L": 3.0}, "L should be a list"),
        (lambda d: d | {"G": [[1.0, 2.0, 3.0], [1.0], 2.0]}, ""),
        (lambda d: d | {"paths": [[1, 1, 1], [1, 1, 1]]}, "paths should hold flags"),
        (lambda d: d | {"n_parameters": [10.5, 4]}, "n_parameters should hold numbers"),
        (lambda d: d | {"n_parameters": [10**30, 4]}, ""),
        (lambda d: d | {"names": [1, 2, 3]}, "names should be text"),
        (lambda d: d | {"weight_names": []}, "weight_names should have 3"),
        (lambda d: d | {"no_path": ["x"]}, "no_path should be a dict"),
        (lambda d: d | {"decomposition": "guess"}, "decomposition should be one of"),
        (lambda d: d | {"total": None}, "total should hold numbers"),
        (lambda d: [d], "a list"),
    ],
)
def test_foreign_files_are_refused(tmp_path, change, text):
    path = tmp_path / "seen.json"
    path.write_text(json.dumps(change(make().to_dict())))
    with pytest.raises(ValueError, match=rf"(?s)seen.json should be a file saved by ProbeReport.save.*{text}"):
        ProbeReport.load(path)


def test_truncated_and_binary_files_are_refused(tmp_path):
    path = make().save(tmp_path / "seen.json")
    content = path.read_bytes()
    for wrong in (content[: len(content) // 2], b"", b"\xff\xfe\x80pickle", b"[" * 100_000):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match="seen.json should be a file saved"):
            ProbeReport.load(path)
    for use in (make().save, ProbeReport.load):
        with pytest.raises(ValueError, match="path should end in .json"):
            use(tmp_path / "seen.pkl")


def test_representations_are_short_and_escape_what_others_named():
    report = make(names=(HOSTILE, "aux", "rest"), no_path={HOSTILE: (HOSTILE,)}, notes=(HOSTILE,))
    page = report._repr_html_()
    assert HOSTILE not in page and "&lt;script&gt;" in page
    assert len(str(make()).splitlines()) == 5
