"""A real JupyterLab on a folder of its own, with none of the developer's settings; stopped with its kernels."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "IPYTHONDIR": "ipython",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "MPLCONFIGDIR": "matplotlib",
}
READY = """() => {
  const widget = window.jupyterapp && window.jupyterapp.shell.currentWidget, session = widget && widget.sessionContext;
  return !!(session && session.isReady && widget.context.isReady && session.session && session.session.kernel
            && session.session.kernel.status === 'idle') }"""
RUN_ALL = """() => { window.allRan = 0;
  window.jupyterapp.commands.execute('notebook:run-all-cells').then(ok => { window.allRan = ok ? 1 : -1 }) }"""


# Runs in each kernel before the notebook, which stays as it is: Lab is tried here, and each notebook with all its scenes in
# tests/test_notebooks.py.
_FEW_SCENES = """
def _use_few_scenes():
    import kit
    from tests.training._runs import few_scenes
    system = few_scenes()
    kit.datasets.reference_system = lambda: system
_use_few_scenes()
del _use_few_scenes
"""


@dataclass(frozen=True)
class Lab:
    base: str
    token: str
    root: Path

    def address(self, notebook: str) -> str:
        """In JupyterLab as it opens: with the file browser beside the notebook, and nothing else."""
        return f"{self.base}/lab/tree/notebooks/{notebook}?reset&token={self.token}"

    def notebook7(self, notebook: str) -> str:
        """In Notebook 7, where it is installed."""
        return f"{self.base}/notebooks/notebooks/{notebook}?token={self.token}"


@contextlib.contextmanager
def running_lab(folder: Path, *, theme: str = "JupyterLab Light") -> Iterator[Lab]:
    """JupyterLab on a copy of the notebooks, so that a run leaves the checkout as it is; its kernels take few scenes."""
    root = folder / "root"
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "IPYTHON"))}
    for variable, name in _FOLDERS.items():
        (folder / name).mkdir()
        environment[variable] = str(folder / name)
    environment["OMP_NUM_THREADS"] = "1"
    environment["PYTHONPATH"] = str(ROOT)
    startup = folder / "ipython" / "profile_default" / "startup" / "few_scenes.py"
    startup.parent.mkdir(parents=True)
    startup.write_text(_FEW_SCENES)
    settings = {
        "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "@jupyterlab/apputils-extension/themes": {"theme": theme},
    }
    for plugin, values in settings.items():
        path = folder / "settings" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    token = secrets.token_hex(16)
    with open(folder / "lab.log", "w+") as log:
        process, base = _start(root, environment, token, log)
        try:
            yield Lab(base, token, root)
        finally:
            _stop(process, base, token)


def _start(root: Path, environment: dict[str, str], token: str, log) -> tuple[subprocess.Popen, str]:
    for _ in range(3):  # a free port may be taken between the look and the start
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1"),
            *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"),
            *(f"--ServerApp.root_dir={root}", "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None"),
            "--JupyterNotebookApp.expose_app_in_browser=True",
            *("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.extension_manager=readonly"),
            *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
        ]
        process = subprocess.Popen(
            command, env=environment, cwd=root, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        base, end = f"http://127.0.0.1:{port}", time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"{base}/api/status?token={token}", timeout=2) as answer:
                    answer.read()
                return process, base
            except OSError:  # it does not listen yet
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.1)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    log.seek(0)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read()[-2000:]}")


def _stop(process: subprocess.Popen, base: str, token: str) -> None:
    request = urllib.request.Request(
        f"{base}/api/shutdown", data=b"", method="POST", headers={"Authorization": f"token {token}"}
    )
    with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5) as answer:
        answer.read()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # a session of its own: the group is ours alone
        process.wait()
