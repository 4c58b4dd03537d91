"""The reader's copy of the notebooks: running one writes its outputs into it, and the originals stay as they are.

In a checkout it lies beside the originals, so every relative path in them (`../findings/`, `images/`) leads to the same
place; of an installed kit it lies in the working folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.files import NOTEBOOKS, WORKING_COPY, write_atomically

RECORD = ".copied.json"  # in the copy: name of a file -> digests of the original it was made of


@dataclass(frozen=True)
class Copied:
    """What `working_copy` did: names of files, relative to the folder."""

    folder: Path
    made: list[str]
    refreshed: list[str]
    kept: list[str]
    """Changed by the reader while their originals changed too."""

    def __str__(self) -> str:
        lines = [f"{self.folder.name}/ is your copy of the notebooks; the originals stay as they are."]
        lines += [f"{name}: kept as you changed it; its original is newer." for name in self.kept]
        return "\n".join(lines)


def working_copy(root: Path, source: Path | None = None) -> Copied:
    """Bring `root`/my_notebooks up to date with `source` (default: `root`/notebooks). OSError as the file system gives it.

    New files are copied. A copy nobody touched is refreshed when its original changes in any way; one that was only run,
    when the cells of the original change; one whose cells the reader changed is kept.
    """
    source, copied = source or root / NOTEBOOKS, Copied(root / WORKING_COPY, [], [], [])
    before = _recorded(copied.folder / RECORD)
    record = dict(before)
    for original in _files(source):
        name = original.relative_to(source).as_posix()
        target, new, known = copied.folder / name, _digests(original), before.get(name)
        if not target.exists():
            copied.made.append(name)
        else:
            found = _digests(target)
            untouched = found == known
            if found == new or (known is not None and (new == known if untouched else new[1] == known[1])):
                record[name] = new
                continue
            if known is None or found[1] != known[1]:
                copied.kept.append(name)
                continue
            copied.refreshed.append(name)
        write_atomically(target, original.read_bytes())
        record[name] = new
    if record != before:
        write_atomically(copied.folder / RECORD, json.dumps(record, indent=1))
    return copied


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith((".", "__")) for part in parts):
            yield path


def _digests(path: Path) -> list[str]:
    """Of all bytes, and of what a person writes: the cells of a notebook without their outputs."""
    data = path.read_bytes()
    whole = hashlib.sha256(data).hexdigest()
    if path.suffix != ".ipynb":
        return [whole, whole]
    try:
        cells = [[cell["cell_type"], "".join(cell["source"])] for cell in json.loads(data)["cells"]]
    except (ValueError, KeyError, TypeError):  # no notebook (any more): only its bytes can be compared
        return [whole, whole]
    return [whole, hashlib.sha256(json.dumps(cells).encode()).hexdigest()]


def _recorded(path: Path) -> dict[str, list[str]]:
    """Empty where there is no record, or none that can be read: then every copy that differs counts as the reader's."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
