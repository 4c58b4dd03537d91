"""Writing and reading the kit's own files: atomic, JSON only, never a pickle."""

from __future__ import annotations

import errno
import json
import math
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MOST_BYTES = 256 << 20  # of a file, or of an unpacked part of one
MOST_LEVELS = 100  # of lists and objects in each other; a page has some 15
_WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


DATA = Path(__file__).resolve().parents[1] / "data"
_INSTALLED = Path(__file__).resolve().parent / "_data"  # where a wheel puts data/
NOTEBOOKS, WORKING_COPY = "notebooks", "my_notebooks"  # of a checkout; beside both lies findings/
INSTALLED_NOTEBOOKS = Path(__file__).resolve().parent / "_notebooks"  # where a wheel puts notebooks/


def shipped(name: str, command: str = "python -m kit data") -> Path:
    """The path of a file of ``data/``. Raises FileNotFoundError that names the command which makes it."""
    for folder in (DATA, _INSTALLED):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"data/{name} should be beside the kit package. Found nothing at {DATA / name}; run: {command}"
    )


def encoded(text: str) -> bytes:
    """UTF-8. Half of a surrogate pair, which Python makes of a file name that is no UTF-8, becomes an escape like \\udcff."""
    return text.encode("utf-8", "backslashreplace")


def readable(text: str) -> str:
    """The text as it can be drawn, sent and written; see `encoded`."""
    return encoded(text).decode("utf-8")


def printable(text: str) -> str:
    """The text as a terminal may get it: what would steer one (an escape sequence in the name of a class) is an escape in words."""
    return "".join(c if c.isprintable() or c in "\n\t" else encoded(repr(c)[1:-1]).decode() for c in text)


def shown(path: str | os.PathLike) -> str:
    """A path as a reader finds it: relative if it lies in the working folder or beside it, else in full."""
    try:
        relative = Path(os.path.relpath(path))
    except ValueError:  # another drive of Windows
        return Path(path).as_posix()
    return (Path(os.path.abspath(path)) if relative.parts[:2] == ("..", "..") else relative).as_posix()


def sentence(error: BaseException, verb: str = "read") -> str:
    """An error in words. One of the file system: what could not be read (or written), and why."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"could not {verb} {shown(error.filename)}: {error.strerror[0].lower()}{error.strerror[1:]}."
    return str(error)


def check_file(path: str | os.PathLike, *endings: str) -> None:
    """Refuse, before any work, a path that no file can be written to. Leaves nothing behind.

    Raises:
        ValueError: none of these endings. OSError: a folder, or a place where nothing can be written.
    """
    path = check_ending(path, *endings) if endings else Path(path)
    if os.path.isdir(path):
        raise _refused(path, _is_folder())
    _check_writable(path.parent, path, f".{path.name}.{uuid.uuid4().hex}.tmp")


def check_folder(path: str | os.PathLike) -> None:
    """The same for a folder, which is made later if it is not there."""
    path = Path(path)
    if os.path.exists(path) and not os.path.isdir(path):
        raise NotADirectoryError(f"path should be a folder. Found a file: {shown(path)}.")
    _check_writable(path, path, f".{uuid.uuid4().hex}.tmp")


def _check_writable(folder: Path, asked: Path, name: str) -> None:
    """An empty file is made and removed in the folder, or in the nearest one above it that exists."""
    trial = next(above for above in (folder, *folder.parents) if os.path.exists(above)) / name
    try:
        with open(trial, "xb"):
            pass
        trial.unlink()
    except ValueError as error:  # a null byte
        raise _refused(asked, OSError(errno.EINVAL, str(error))) from error
    except OSError as error:
        raise _refused(asked, error) from error


def write_atomically(path: str | os.PathLike, content: str | bytes) -> Path:
    """Write under a temporary name beside the target, then rename: the file is complete or not there.

    Folders are made. Raises OSError of the kind that the file system gives, with this path; the temporary file does not
    stay.
    """
    path = Path(path)
    try:
        return _write(path, content)
    except OSError as error:
        raise _refused(path, error) from error


def check_ending(path: str | os.PathLike, *endings: str) -> Path:
    """ValueError for a path with another ending."""
    path = Path(path)
    if path.suffix.lower() not in endings:
        better = path.with_suffix(endings[0]).as_posix() if path.name else f"name{endings[0]}"
        raise ValueError(f"path should end in {endings[0]}. Found path = {str(path)!r}; {better!r} would do.")
    return path


def _write(path: Path, content: str | bytes) -> Path:
    if path.is_dir():
        raise _is_folder()
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is a device, no file")  # a rename would replace it
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    data = encoded(content) if isinstance(content, str) else content
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _is_folder() -> IsADirectoryError:
    return IsADirectoryError(errno.EISDIR, "it is a folder; name a file in it")


def _refused(path: Path, error: OSError) -> OSError:
    """The same kind of error about the path that was asked for: no temporary name, no number."""
    why = error.strerror or str(error)
    if isinstance(error, FileExistsError | NotADirectoryError):
        file = next((str(folder) for folder in path.parents if folder.exists() and not folder.is_dir()), path.parent)
        why = f"{file} is no folder"
    refused = type(error)(
        f"path should be a place for a file. Found path = {str(path)!r}: {why[:1].lower()}{why[1:]}. Choose another."
    )
    refused.errno = error.errno
    return refused


def save_record(path: str | os.PathLike, kind: str, version: int, content: Mapping[str, Any]) -> Path:
    """Save one result as JSON with its kind and version; non-finite numbers are spelled "nan", "inf", "-inf"."""
    record = {"format": kind, "version": version, **content}
    return write_atomically(path, json.dumps(spelled(record), indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def load_record(path: str | os.PathLike, kind: str, version: int, keys: tuple[str, ...]) -> dict[str, Any]:
    """Read what ``save_record`` wrote.

    Raises:
        ValueError: not JSON (truncated, say), too large, another kind, another version, or a missing part; names the file.
        OSError: the file cannot be read.
    """
    name = Path(path).name
    with open(path, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    record = parsed_record(content, name)
    check_origin(record, kind, version, name)
    missing = [key for key in keys if key not in record]
    if missing:
        raise ValueError(f"{name} should hold {', '.join(keys)}. Found no {', '.join(missing)}.")
    return {key: _unspell(record[key]) for key in keys}


def parsed_record(content: bytes, name: str) -> Any:
    """JSON from a file that may hold anything.

    Raises:
        ValueError: too large, no UTF-8, no complete JSON, or nested too deeply; says the name.
    """
    if len(content) > MOST_BYTES:
        raise ValueError(f"{name} should have at most {MOST_BYTES >> 20} MiB. Found more.")
    too_deep = ValueError(f"{name} should be a saved record. Found JSON that is nested too deeply.")
    try:
        record = json.loads(content.decode("utf-8"))
    except ValueError as error:  # errors of JSON and of the encoding
        raise ValueError(
            f"{name} should be a saved record. Found a file that is not complete JSON ({error})."
        ) from error
    except RecursionError:
        raise too_deep from None
    level = [record]  # what is read walks through it, level by level of Python's stack
    for _ in range(MOST_LEVELS):
        level = [
            inner
            for holder in level
            if isinstance(holder, dict | list)
            for inner in (holder.values() if isinstance(holder, dict) else holder)
        ]
    if level:
        raise too_deep
    return record


def check_origin(record: Any, kind: str, version: int, name: str) -> None:
    """Raises ValueError unless the record says that it is of this kind and version."""
    if not isinstance(record, Mapping) or record.get("format") != kind:
        what = f"format = {record.get('format')!r}" if isinstance(record, Mapping) else f"a {type(record).__name__}"
        raise ValueError(f"{name} should be a saved {kind}. Found {what:.80}.")
    found = record.get("version")
    if found != version:
        newer = isinstance(found, int) and found > version
        advice = "update the kit to read it" if newer else "make it again"
        raise ValueError(f"{name} should have version {version}. Found version = {repr(found)[:40]}; {advice}.")


def spelled(value: Any) -> Any:
    """The same with numbers that JSON has no word for as texts: "nan", "inf", "-inf"."""
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, Mapping):
        return {key: spelled(item) for key, item in value.items()}
    return [spelled(item) for item in value] if isinstance(value, (list, tuple)) else value


def _unspell(value: Any) -> Any:
    if isinstance(value, str):
        return _WORDS.get(value, value)
    if isinstance(value, dict):
        return {key: _unspell(item) for key, item in value.items()}
    return [_unspell(item) for item in value] if isinstance(value, list) else value
