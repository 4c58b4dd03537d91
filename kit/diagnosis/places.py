"""Where in the reader's files a broken link is: a path below the working folder, and a line."""

from __future__ import annotations

from pathlib import Path


def place_in_folder(line: str) -> tuple[Path, int] | None:
    """ "train.py:11" as (path, 11), the path relative to the working folder; None where no such file lies in it."""
    file, _, number = line.rpartition(":")
    if not file or not number.isdecimal():
        return None
    try:
        folder = Path.cwd().resolve()
        path, place = (folder / file).resolve(), int(number)
        found = path.relative_to(folder) if path.is_file() and place > 0 else None
    except (ValueError, OSError):  # outside of the folder; a name that no file can have
        return None
    return None if found is None else (found, place)
