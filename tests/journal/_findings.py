"""Small findings to keep."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd

import kit
from kit.plots import Evidence
from tests.panel._panel_cases import make_report

# one white pixel: a real PNG that costs nothing to make
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a49444154789c63f80f00010101001bb6ee560000"
    "000049454e44ae426082"
)


def small(question: str = "Is it the weight?", **changes) -> kit.Finding:
    parts = {
        "claim": "It is.",
        "verdict": "refuted",
        "answer": "The loss is 3.4.",
        "evidence": (
            Evidence(PIXEL, "One pixel, white, as an example of a figure.", "c", numbers={"epoch": [1, 2]}),
            kit.report.Table(pd.DataFrame({"term": ["a"], "value": [0.5]}), "A table."),
            kit.Panel(make_report(1)),
            "A paragraph.",
        ),
        "fix": "Count the steps.",
    }
    return kit.Finding(question, **{**parts, **changes})


def events_in(path: Path) -> list[dict[str, Any]]:
    """The events of a journal, read without the kit."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        return [json.loads(event) for (event,) in db.execute("SELECT event FROM events ORDER BY number")]


def changed(path: Path, sql: str, *values: object) -> None:
    """Changes a journal's file behind the kit's back."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(sql, values)


def mutated(data: bytes, moment: random.Random) -> bytes:
    """The file, damaged: bits, the header, a cut, a block twice, a block of zeros, or a block from another place."""
    data, size = bytearray(data), len(data)
    way, block = moment.randrange(6), moment.choice([16, 512, 4096])
    here, there = (moment.randrange(0, size, block) for _ in range(2))
    if way == 0:
        for _ in range(moment.choice([1, 3, 30])):
            data[moment.randrange(size)] ^= 1 << moment.randrange(8)
    elif way == 1:
        data[moment.randrange(100)] = moment.randrange(256)  # the header
    elif way == 2:
        del data[moment.randrange(1, size) :]
    elif way == 3:
        data[here:here] = data[here : here + block]
    elif way == 4:
        data[here : here + block] = bytes(len(data[here : here + block]))
    else:
        data[here : here + block] = data[there : there + block]
    return bytes(data)


def run_module(name: str, *arguments: object) -> str:
    """What `python -m name` prints, with the same kit as here; it has to succeed."""
    root = Path(kit.__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-m", name, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
