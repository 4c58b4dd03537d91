"""`python -m kit`: help, the whole investigation in its quick form, errors that say what to do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from kit.__main__ import main
from kit.investigation import investigate
from kit.investigation.whole import STAGES
from tests.browser._offline import opened_offline
from tests.training._runs import few_scenes

ROOT = Path(__file__).resolve().parents[2]


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    for command in ("lab", "investigate", "data"):
        assert command in shown


def test_the_module_runs_from_a_shell():
    done = subprocess.run([sys.executable, "-m", "kit", "--help"], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "investigate" in done.stdout


@pytest.fixture(scope="module")
def investigated(tmp_path_factory) -> tuple[Path, list[str]]:
    """The page of the quick form on a few scenes, and the stages it reported."""
    path, stages = tmp_path_factory.mktemp("out") / "zero-loss.html", []
    few = few_scenes()

    def counted(progress, **options):
        return investigate(progress=lambda stage: (stages.append(stage), progress(stage)), **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kit.investigation.investigate", counted)
        patch.setattr("kit.datasets.sick_patient", lambda: few)
        assert main(["investigate", "--quick", "--out", str(path)]) == 0
    return path, stages


@pytest.fixture(scope="module")
def page(investigated) -> Path:
    return investigated[0]


def test_the_progress_bar_ends_where_it_says(investigated):
    assert len(investigated[1]) == STAGES


def test_the_investigation_writes_one_page(page):
    html = page.read_text(encoding="utf-8")
    assert page.stat().st_size < 1_000_000
    questions = (
        "Why does the train loss read 0",
        "Is a zero loss weight the cause?",
        "Does a lam_cov that nobody passes make the train loss 0?",
        "Does a missing R_blend make the train loss 0?",
        "Do outputs that are all zero make the train loss 0?",
        "Do NaN gradients make the train loss 0?",
        "Does the report's fix cure the run?".replace("'", "&#39;"),
        "Which fault of the loop shows the report's symptom?".replace("'", "&#39;"),
        "Can this network learn at all?",
        "How often does the diagnosis name the cause that was put in?",
    )
    heads = [html.index(question) for question in questions]
    assert heads == sorted(heads), "in reading order"
    assert html.count('class="verdict refuted"') == 12, "six findings, each in the contents and at its head"
    assert html.count('class="verdict partly"') == 2, "NaN gradients are half of it"
    assert 'id="panel-7"' in html and 'id="panel-8"' not in html


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), [("light", 1300), ("dark", 360)])
def test_the_page_is_alive_offline_and_fits(page, browser, scheme, width):
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    with opened_offline(browser, page, **options) as tab:
        second = tab.locator("#panel-2")
        second.locator("button.kit-preset[data-preset=all_zero]").click()
        second.locator(".kit-total", has_text="total = 0 exactly").wait_for()
        second.locator("button.kit-preset[data-preset=lam_cov_zero]").click()
        second.locator(".kit-total", has_text="total = 3.").wait_for()
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_place_that_cannot_be_written_is_an_error_not_a_traceback(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("kit.investigation.investigate", lambda **_: ())
    assert main(["investigate", "--out", str(tmp_path / "x.txt")]) == 2
    assert "could not write the page" in capsys.readouterr().err


def test_missing_data_is_an_error_that_says_what_to_do(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("kit.files.DATA", tmp_path)
    assert main(["investigate", "--out", str(tmp_path / "x.html")]) == 2
    assert "python -m kit data" in capsys.readouterr().err


def test_data_is_written_where_asked(tmp_path, capsys):
    assert main(["data", "--folder", str(tmp_path)]) == 0
    assert (tmp_path / "scenes.npz").read_bytes() == (ROOT / "data" / "scenes.npz").read_bytes()
    assert (tmp_path / "sick_run.json").is_file()
    assert "scenes.npz" in capsys.readouterr().out


def test_lab_serves_the_first_notebook(tmp_path):
    """`make lab` without a window: JupyterLab answers, and knows the notebook."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "kit", "lab", "--no-browser", "--port", str(port)]
    command += ["--", "--IdentityProvider.token=secret", "--ServerApp.port_retries=0"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "IPYTHON"))}
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    environment |= {name: str(tmp_path / name) for name in folders}
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        answer = _ask(
            f"http://127.0.0.1:{port}/api/contents/notebooks/00_start_here.ipynb?content=0&token=secret", process
        )
        assert '"type": "notebook"' in answer or '"type":"notebook"' in answer
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def _ask(address: str, process: subprocess.Popen) -> str:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=2) as answer:
                return answer.read().decode()
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not answer (exit status {process.poll()})")
