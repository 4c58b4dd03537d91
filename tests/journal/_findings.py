"""Small findings to keep."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
            kit.Table(pd.DataFrame({"term": ["a"], "value": [0.5]}), "A table."),
            kit.Panel(make_report(1)),
            "A paragraph.",
        ),
        "fix": "Count the steps.",
    }
    return kit.Finding(question, **{**parts, **changes})


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
