"""Files that may hold anything: each is read, or refused with a ValueError that names it; never a traceback, never much memory."""

from __future__ import annotations

import copy
import io
import json
import random
import tracemalloc
import zipfile

import numpy as np
import pytest

import kit
from kit.diagnosis import diagnose
from kit.files import shipped
from kit.recording import Trace
from kit.recording.trace import summary
from kit.training import TrainingHistory
from tests.diagnosis._programs import Program, watched

HOSTILE = (
    *(
        None,
        True,
        -1,
        10**400,
        1e308,
        "",
        "nan",
        "text",
        "\udcff",
        [],
        [[]],
        {},
        {"a": {}},
        [None],
        ["x", 3],
        [{"epoch": []}],
    ),
)
MUTANTS = 400


@pytest.fixture(scope="module")
def trace():
    return watched(Program(), weights={"lam_kl": 0.1})


def changed(value, draw: random.Random):
    """The same JSON with one place changed: replaced, dropped, doubled or renamed."""
    value = copy.deepcopy(value)
    places = [(value, key) for key in (value if isinstance(value, dict) else range(len(value)))]
    for holder, key in places:
        inner = holder[key]
        if isinstance(inner, dict | list) and inner and len(places) < 5000:
            places += [(inner, k) for k in (inner if isinstance(inner, dict) else range(len(inner)))]
    holder, key = draw.choice(places)
    act = draw.choice(("replace", "replace", "drop", "double"))
    if act == "replace":
        holder[key] = copy.deepcopy(draw.choice(HOSTILE))
    elif act == "drop":
        del holder[key]
    elif isinstance(holder, dict):
        holder[f"{key}2"] = holder.pop(key)
    else:
        holder.append(copy.deepcopy(holder[key]))
    return value


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Bytes flipped, cut out, doubled, or the end missing."""
    place = draw.randrange(len(data))
    act = draw.choice(("flip", "cut", "end", "double"))
    if act == "flip":
        return data[:place] + bytes([data[place] ^ (1 << draw.randrange(8))]) + data[place + 1 :]
    size = draw.randrange(1, 400)
    return {
        "cut": data[:place] + data[place + size :],
        "end": data[:place],
        "double": data[:place] + data[place - size :],
    }[act]


def read(load, path) -> str:
    """What is said of the file: the diagnosis, or why it is refused. Everything else is raised, and fails the test."""
    try:
        run = load(path)
        found = diagnose(run)
    except ValueError as error:
        assert path.name in str(error) and len(str(error)) < 700, str(error)[:900]
        return "refused"
    assert found.explain(verbose=True) and json.dumps(found.to_dict()) and found._repr_html_() and repr(run)
    return "read"


def packed(head: object, arrays: dict[str, np.ndarray]) -> bytes:
    text = json.dumps(head).encode()
    whole = io.BytesIO()
    np.savez(whole, head=np.frombuffer(text, np.uint8), **arrays)
    return whole.getvalue()


def parts(path) -> tuple[dict, dict[str, np.ndarray]]:
    with np.load(path) as content:
        arrays = {name: content[name] for name in content.files}
    return json.loads(arrays.pop("head").tobytes()), arrays


def test_a_trace_with_one_part_changed(trace, tmp_path):
    path = trace.save(tmp_path / "run.npz")
    assert read(Trace.load, path) == "read"
    (head, arrays), draw = parts(path), random.Random(0)
    said = []
    for _ in range(MUTANTS):
        path.write_bytes(packed(changed(head, draw), arrays))
        said.append(read(Trace.load, path))
    assert {"read", "refused"} == set(said)


def test_a_trace_with_damaged_bytes(trace, tmp_path):
    path = trace.save(tmp_path / "run.npz")
    data, draw = path.read_bytes(), random.Random(1)
    for _ in range(MUTANTS):
        path.write_bytes(damaged(data, draw))
        read(Trace.load, path)


@pytest.mark.parametrize("wrong", ["f4", "i8", "O", "U3"])
def test_tables_of_another_kind_or_shape(trace, tmp_path, wrong):
    path = trace.save(tmp_path / "run.npz")
    head, arrays = parts(path)
    path.write_bytes(packed(head, {**arrays, "steps": np.zeros((3, 2)).astype(wrong)}))
    assert read(Trace.load, path) == "refused"
    path.write_bytes(packed(head, {**arrays, "epochs": np.zeros((2, 2, 2))}))
    assert read(Trace.load, path) == "refused"


def test_a_small_file_that_would_unpack_to_much_is_not_unpacked(trace, tmp_path):
    """Second way: the memory that Python hands out while it is refused."""
    path = trace.save(tmp_path / "run.npz")
    head, arrays = parts(path)
    for name in ("steps", "unused"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for part, array in (("head", np.frombuffer(json.dumps(head).encode(), np.uint8)), *arrays.items()):
                if part != name:
                    whole = io.BytesIO()
                    np.save(whole, array)
                    archive.writestr(f"{part}.npy", whole.getvalue())
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                for _ in range(300):
                    member.write(bytes(1 << 20))
        tracemalloc.start()
        said = read(Trace.load, path)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert said == ("read" if name == "unused" else "refused") and most < 64 << 20


def test_what_is_said_of_a_damaged_file_is_short(trace, tmp_path):
    """Python's own error quotes whatever stands in the place of a name, as much as its header says."""
    path = trace.save(tmp_path / "run.npz")
    data = bytearray(path.read_bytes())
    data[26:28] = (3000).to_bytes(2, "little")  # the length of the first member's name
    path.write_bytes(data)
    assert read(Trace.load, path) == "refused"


def test_a_head_that_is_nested_deeply(trace, tmp_path):
    path = trace.save(tmp_path / "run.npz")
    _, arrays = parts(path)
    deep = np.frombuffer(b"[" * 100_000, np.uint8)
    np.savez(path, head=deep, **arrays)
    assert read(Trace.load, path) == "refused"


@pytest.mark.parametrize("levels", [20, 150, 900])
def test_a_part_that_is_nested_deeply(trace, tmp_path, levels):
    """Python reads JSON deeper than it copies what it has read."""
    deep: list = []
    for _ in range(levels):
        deep = [deep]
    said = "read" if levels < 100 else "refused"
    path = trace.save(tmp_path / "run.npz")
    head, arrays = parts(path)
    path.write_bytes(packed({**head, "facts": {**head["facts"], "unknown": deep}}, arrays))
    assert read(Trace.load, path) == said
    data = json.loads(shipped("faulty_run.json").read_text(encoding="utf-8"))
    data["settings"]["unknown"] = deep
    path = tmp_path / "run.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    assert read(TrainingHistory.load, path) == said


def test_a_history_with_one_part_changed(tmp_path):
    data, draw = json.loads(shipped("faulty_run.json").read_text(encoding="utf-8")), random.Random(2)
    path, said = tmp_path / "run.json", []
    for _ in range(MUTANTS):
        path.write_text(json.dumps(changed(data, draw)), encoding="utf-8")
        said.append(read(TrainingHistory.load, path))
    assert {"read", "refused"} == set(said)
    for text in ("[" * 100_000, "{}", "[]", "3", '{"format": "kit.TrainingHistory", "version": [1]}'):
        path.write_text(text)
        assert read(TrainingHistory.load, path) == "refused"


def test_names_that_would_steer_a_terminal_are_printed_as_words(trace):
    evil = "Net\x1b[2J\x9b31m\u202e"
    facts = {**trace.facts, "model": evil, "not_seen": [evil]}
    named = Trace(trace.steps, trace.epochs, facts)
    for text in (repr(named), str(named), summary(named, still_open=True)):
        assert r"Net\x1b[2J\x9b31m\u202e" in text and text.replace("\n", "").isprintable()


def test_a_file_of_version_1_is_still_read(trace, tmp_path):
    """The shipped run was written by version 1, and a trace is what it was after a round trip."""
    assert diagnose(kit.datasets.load_faulty_run()).top.key == "nan_gradients"
    assert Trace.load(trace.save(tmp_path / "run.npz")) == trace
