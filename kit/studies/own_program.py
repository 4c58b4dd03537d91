"""Anybody's program under a watch: a script with its arguments, or a function."""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from kit.logs import read_log
from kit.recording import watch
from kit.recording.watching import Watch


class _Copying(io.TextIOBase):
    """Writes on, and into a file."""

    def __init__(self, shown: TextIO, file: TextIO) -> None:
        self._shown, self._file = shown, file

    def write(self, text: str) -> int:
        self._file.write(text)
        return self._shown.write(text)

    def flush(self) -> None:
        self._shown.flush()


def watched(program: str | os.PathLike | Callable[..., object], *arguments: Any, **options: Any) -> Watch:
    """Run a program as it is under ``kit.watch``; the losses in the lines that it prints are logged.

        run = watched("train.py", "--epochs", "3")          # as `python train.py --epochs 3`
        run = watched(train, model, loader, probe_every=50)
        kit.diagnose(run)

    A program that prints no losses to standard output is watched all the same: call ``run.log`` with what it displayed.

    Args:
        program: path of a Python script, or a function.
        arguments: of the script, as in a shell; of the function, as they are.
        options: of ``kit.watch``.

    Raises:
        TypeError: neither a path nor a function. OSError: no such script. Whatever the program raises; a script that ends
            with an exit status other than 0 raises ``SystemExit``.
    """
    if not callable(program) and not isinstance(program, str | os.PathLike):
        raise TypeError(f"program should be the path of a script, or a function. Found a {type(program).__name__}.")
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "printed.txt"
        with open(lines, "w", encoding="utf-8", errors="replace") as file, watch(**options) as run:
            shown: Any = _Copying(sys.stdout, file)
            with contextlib.redirect_stdout(shown):
                if callable(program):
                    program(*arguments)
                else:
                    _run_script(Path(program), [str(argument) for argument in arguments])
        _log(run, lines)
    return run


def _run_script(script: Path, arguments: list[str]) -> None:
    if not script.is_file():
        raise FileNotFoundError(f"program should be a script that exists. Found no file {script} in {Path.cwd()}.")
    with _called_as(script, arguments):
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as ended:
            if ended.code not in (None, 0):
                raise


@contextlib.contextmanager
def _called_as(script: Path, arguments: list[str]) -> Iterator[None]:
    """The command line and the folder of modules that a script finds; as before afterwards."""
    before, path = sys.argv, list(sys.path)
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.resolve().parent))
    try:
        yield
    finally:
        sys.argv, sys.path[:] = before, path


def _log(run: Watch, lines: Path) -> None:
    """The losses by epoch that were printed, if there are any."""
    try:
        epochs = read_log(lines).epochs
    except ValueError:  # nothing was printed, or no loss
        return
    shown = {name: epochs[name].tolist() for name in ("train_loss", "val_loss") if epochs[name].notna().any()}
    if shown:
        run.log(**shown)
