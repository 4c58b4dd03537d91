"""JupyterLab as a child process: one port, one address, and it ends when its starter is ended."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

FIRST_PORT, PORTS = 8888, 50
GRACE = 20.0  # seconds that JupyterLab has to end its kernels
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class PortError(ValueError):
    """A port that cannot be served on."""


def choose_port(asked: int | None) -> int:
    """The port that was asked for, or the first free one from 8888 on.

    Raises:
        PortError: the one asked for is in use or not to be had, or none is free.
    """
    if asked is not None:
        if not 1 <= asked <= 65535:
            raise PortError(f"port should be from 1 to 65535. Found port = {asked}.")
        if (reason := _refused(asked)) is not None:
            raise PortError(f"port {asked} {reason}; give another --port, or none to have a free one found.")
        return asked
    ports = range(FIRST_PORT, FIRST_PORT + PORTS)
    for port in ports:
        if _refused(port) is None:
            return port
    raise PortError(f"No port from {ports[0]} to {ports[-1]} is free; give one with --port.")


def _refused(port: int) -> str | None:
    """Why nobody can listen there; None: it is free."""
    for family, kind, protocol, _, address in socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM):
        try:
            with socket.socket(family, kind, protocol) as trial:
                if os.name != "nt":  # as the server does it: a port that was just left is free
                    trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "is in use"
            if error.errno == errno.EACCES:
                return "is kept for the system"
            # no such address on this machine (IPv6, say): the others decide
    return None


def serve(root: Path, notebook: str, *, port: int, browser: bool, rest: Sequence[str] = ()) -> int:
    """Serve `root` until it is ended; print the address that opens the notebook. Returns the exit status.

    SIGINT, SIGTERM and SIGHUP end JupyterLab and its kernels; a second one ends it at once.
    """
    command = [
        *(sys.executable, "-m", "jupyterlab", notebook, f"--ServerApp.root_dir={root}"),
        *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--Application.log_level=WARN"),
        # no news, no update check, no catalogue of extensions: nothing here goes online
        *("--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"),
        "--LabApp.extension_manager=readonly",
    ]
    if not browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # in a container there is often no other user
    # a token of ours: the server says its own in three addresses, none of which opens a notebook
    environment = {"JUPYTER_TOKEN": secrets.token_hex(24), **os.environ}
    started = time.time()
    with _ended_with_us() as end:
        end.child = subprocess.Popen([*command, *rest], cwd=root, env=environment)
        if end.signals:
            end.child.terminate()
        while end.child.poll() is None:
            if (server := _server(end.child.pid, started)) is not None:
                token = f"?token={server['token']}" if server["token"] else ""
                print(f"JupyterLab runs until Ctrl+C. Its address:\n{server['url']}lab/tree/{quote(notebook)}{token}")
                sys.stdout.flush()
                break
            time.sleep(0.1)
        status = end.child.wait()
    return 128 + end.signals[0] if end.signals else status


def _server(pid: int, since: float) -> dict[str, Any] | None:
    """What the server of this process says of itself once it listens; a file of an earlier process is not its word."""
    from jupyter_core.paths import jupyter_runtime_dir

    path = Path(jupyter_runtime_dir()) / f"jpserver-{pid}.json"
    try:
        if path.stat().st_mtime < since - 1:  # clocks of file systems are coarse
            return None
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # not there yet, or half written
        return None


@dataclass
class _End:
    """What is ended with this process, and the signals that came."""

    child: subprocess.Popen | None = None
    signals: list[int] = field(default_factory=list)

    def hand_on(self, number: int, _frame: Any) -> None:
        self.signals.append(number)
        if self.child is None:
            return
        if len(self.signals) > 1:
            self.child.kill()
            return
        self.child.terminate()
        killer = threading.Timer(GRACE, self.child.kill)
        killer.daemon = True
        killer.start()


@contextlib.contextmanager
def _ended_with_us() -> Iterator[_End]:
    """Hand on what ends this process; a signal that its starter has it ignore (nohup) stays ignored."""
    end, before = _End(), {}
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, end.hand_on)
    try:
        yield end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
