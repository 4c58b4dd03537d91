"""Run the notebooks from a clean kernel and keep their static evidence: figures, tables and printed text, no widget state.

`make notebooks` writes the result back; the tests run the same and compare.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"
AT_ONCE = 2  # kernels of one thread each
KEPT = ("text/html", "text/markdown", "text/plain")


def notebooks() -> list[Path]:
    return sorted(NOTEBOOKS.glob("*.ipynb"))


def run(path: Path, folder: Path | None = None) -> nbformat.NotebookNode:
    """The notebook, run top to bottom in a fresh kernel whose working folder is ``folder`` (the notebooks' own unless given)."""
    notebook = nbformat.read(path, as_version=4)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # kernels inherit it; small tensors gain nothing from more
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder or NOTEBOOKS)}},
        coalesce_streams=True,  # how printed lines are cut into messages is a matter of time
    )
    return client.execute()


def static(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without widget state, execution counts, times and warnings' paths: what a reader on the web sees, and nothing that changes."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict(
            {key: value for key, value in cell.metadata.items() if key in ("jupyter", "tags")}
        )
        if cell.cell_type != "code":
            continue
        cell.execution_count = None
        cell.outputs = [_kept(output) for output in cell.outputs if _is_evidence(output)]
    return notebook


def _is_evidence(output: nbformat.NotebookNode) -> bool:
    return output.output_type != "stream" or output.name == "stdout"


def _kept(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    if "data" in output:
        shown = {kind: output.data[kind] for kind in KEPT if kind in output.data}
        if "text/html" in shown:  # the plain text beside a figure or a widget says nothing
            shown.pop("text/plain", None)
        output.data = nbformat.from_dict(shown)
        output.metadata = nbformat.from_dict({})
    if output.output_type == "execute_result":
        output.execution_count = None
    return output


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.evidence", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="beginnings of names, as 07; all notebooks unless given")
    wanted = tuple(parser.parse_args().names) or ("",)
    paths = [path for path in notebooks() if path.name.startswith(wanted)]
    with ProcessPoolExecutor(AT_ONCE) as pool:
        for path, ran in zip(paths, pool.map(run, paths), strict=True):
            print(path.name, file=sys.stderr)
            nbformat.write(static(ran), path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
