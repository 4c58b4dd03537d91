"""`python -m kit`: help, the whole investigation in its quick form, errors that say what to do."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import kit
from kit.__main__ import main
from kit.report import verify
from kit.report.tables import caption_of, render_table
from kit.studies import investigate
from kit.studies.report import STAGES
from tests.browser._offline import opened_offline
from tests.browser._paper import assert_whole_on_paper
from tests.training._runs import few_scenes

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("lab", "diagnose", "check", "investigate", "verify", "causes", "bench", "data")


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    order = [shown.index(f"\n    {command}") for command in COMMANDS]
    assert order == sorted(order), "most used first"
    examples = [line.split("python -m kit ")[1].split() for line in shown.splitlines() if "  python -m kit " in line]
    assert [words[0] for words in examples] == list(COMMANDS[:5])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_describes_itself(capsys, command):
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    described = capsys.readouterr().out.split("\n\n")[1]
    assert described[0].isupper() and described.endswith(".") and len(described) > 60


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
        patch.setattr("kit.studies.investigate", counted)
        patch.setattr("kit.datasets.reference_system", lambda: few)
        assert main(["investigate", "--quick", "--processes", "1", "--out", str(path)]) == 0
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
        "How often does the diagnosis name the fault that was caused?",
    )
    contents = html[html.index("<nav") :]  # below the answer, which names the finding that it is from
    heads = [contents.index(question) for question in questions]
    assert heads == sorted(heads), "in reading order"
    assert html.count('class="verdict refuted"') == 12, "six findings, each in the contents and at its head"
    assert html.count('class="verdict partly"') == 4, (
        "NaN gradients are half of it, and the diagnosis is right less often than claimed"
    )
    assert 'id="panel-1"' in html and 'id="panel-2"' not in html, "one panel for the page"


def test_the_page_answers_its_title_with_the_numbers_of_its_record(page):
    """The box above the contents: steps and losses are counted again from the recorded run."""
    html = page.read_text(encoding="utf-8")
    box = html[html.index('<section class="summary"') : html.index('<nav class="contents"')]
    steps = kit.datasets.load_faulty_run().step_records
    losses = [step["loss"] for step in steps]
    assert f"NaN in all {len(steps)} batches" in box and "printed a train loss of 0" in box
    assert f"{sum(step['stepped'] for step in steps)} of {len(steps)} steps taken" in box
    assert f"{min(losses):.2f} to {max(losses):.2f}" in box
    assert "with the NaN removed, and nothing else" in box and "assert parameter.grad is None" in box
    assert "90% in the report" in box and "1% in the report" in box
    answers = verify(page).tables["answer-1.csv"]
    assert f"{len(steps)} batches" in answers and html.count('<section class="summary"') == 1


def test_every_finding_says_how_sure_it_is_and_a_command_that_works(page):
    for item in verify(page).findings:
        assert item.finding.sure and "claim" not in item.finding.sure
        assert item.finding.command.startswith("python -m kit ")


def test_no_table_has_columns_that_say_nothing(page):
    """In a table with more than six columns no column of numbers is the same in every row, but for the answer."""
    for item in verify(page).findings:
        for table in (piece for piece in item.finding.evidence if isinstance(piece, kit.report.Table)):
            drawn = render_table(table, page=True)
            assert drawn.count('scope="col"') <= 10, table.caption
            for name in table.frame.select_dtypes("number"):
                same = table.frame[name].nunique(dropna=False) == 1 and len(table.frame) > 1
                if same and table.frame.shape[1] > 6 and name != table.answer:
                    assert f"<bdi>{name}</bdi>" not in drawn and f"{name} " in caption_of(table)


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), [("light", 1300), ("dark", 360)])
def test_the_page_is_alive_offline_and_fits(page, browser, scheme, width):
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    with opened_offline(browser, page, **options) as tab:
        panel = tab.locator("#panel-1")
        panel.locator("button.kit-preset[data-preset=all_zero]").click()
        panel.locator(".kit-total", has_text="total = 0 exactly").wait_for()
        panel.locator("button.kit-preset[data-preset=lam_cov_zero]").click()
        panel.locator(".kit-total", has_text="total = 3.").wait_for()
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.browser
def test_every_finding_leads_to_its_setting_of_the_one_panel(page, browser):
    """A click on each link: the panel stands at the state and the weights that the finding's record names."""
    settings = [
        piece
        for item in verify(page).findings
        for piece in item.finding.evidence
        if isinstance(piece, kit.report.PanelSetting)
    ]
    assert len(settings) == 6
    with opened_offline(browser, page) as tab:
        for place, wanted in enumerate(settings, 1):
            tab.locator(f"#setting-{place}").click()
            shown = tab.locator("#panel-1 .kit-case")
            tab.wait_for_function(
                "title => { const s = document.querySelector('#panel-1 .kit-case'); return s.selectedOptions[0].text === title }",
                arg=wanted.case,
            )
            assert shown.is_visible()
            for name, value in wanted.weights.items():
                box = tab.locator(f'#panel-1 .kit-row[data-weight="{name}"] input.kit-box')
                tab.wait_for_function(
                    "([node, value]) => Number(node.value) === value", arg=[box.element_handle(), value]
                )


@pytest.mark.browser
def test_the_page_is_twelve_screens_at_most(page, browser):
    with opened_offline(browser, page, viewport={"width": 1440, "height": 900}) as tab:
        tab.wait_for_selector("#panel-1 .kit-total")
        assert tab.locator("details[open]").count() == 0
        assert tab.evaluate("document.documentElement.scrollHeight") <= 12 * 900
        box = tab.locator("section.summary").bounding_box()
        assert box["y"] + box["height"] <= 900, "the whole answer is in the first screen"


@pytest.mark.browser
def test_on_paper_nothing_is_lost_and_the_answer_is_on_the_first_sheet(page, browser, tmp_path):
    assert_whole_on_paper(browser, page, tmp_path)


def test_a_page_that_can_no_longer_be_written_is_an_error_not_a_traceback(capsys, monkeypatch, tmp_path):
    def full(*_arguments):
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr("kit.studies.investigate", lambda **_: ())
    monkeypatch.setattr("kit.studies.write_investigation", full)
    assert main(["investigate", "--out", str(tmp_path / "x.html")]) == 3
    assert capsys.readouterr().err.endswith("could not write x: no space left on device.\n")


def test_missing_data_is_an_error_that_says_what_to_do(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("kit.files.DATA", tmp_path)
    assert main(["investigate", "--out", str(tmp_path / "x.html")]) == 3
    assert "python -m kit data" in capsys.readouterr().err


def test_data_is_written_where_asked(tmp_path, capsys):
    assert main(["data", "--folder", str(tmp_path)]) == 0
    assert (tmp_path / "scenes.npz").read_bytes() == (ROOT / "data" / "scenes.npz").read_bytes()
    assert (tmp_path / "faulty_run.json").is_file()
    assert "scenes.npz" in capsys.readouterr().out


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """The first notebook alone, in a checkout of its own, so that no copy is made in ours."""
    root = tmp_path / "checkout"
    (root / "notebooks").mkdir(parents=True)
    shutil.copy(ROOT / "notebooks" / "00_start_here.ipynb", root / "notebooks")
    monkeypatch.setattr("kit.__main__.ROOT", root)
    return root


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def never_served(monkeypatch):
    monkeypatch.setattr("subprocess.Popen", lambda *_a, **_o: pytest.fail("JupyterLab was started"))


def test_a_port_in_use_is_refused_in_one_line_before_anything(checkout, never_served, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["lab", "--no-browser", "--port", str(port)]) == 3
    said = capsys.readouterr()
    assert said.err == f"port {port} is in use; give another --port, or none to have a free one found.\n"
    assert said.out == "" and not (checkout / "my_notebooks").exists()


@pytest.mark.parametrize("port", ["0", "-1", "65536"])
def test_a_port_that_is_none_is_refused(checkout, never_served, capsys, port):
    assert main(["lab", f"--port={port}"]) == 3
    assert capsys.readouterr().err == f"port should be from 1 to 65535. Found port = {port}.\n"


def test_without_a_port_the_next_free_one_is_found_and_said(checkout, monkeypatch, capsys):
    served = {}
    monkeypatch.setattr("kit.lab.serve", lambda *_names, **options: served.update(options) or 0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = taken.getsockname()[1]
        monkeypatch.setattr("kit.lab.server.FIRST_PORT", first)
        monkeypatch.setattr("kit.lab.FIRST_PORT", first)
        assert main(["lab"]) == 0
    assert first < served["port"] < first + 50 and served["browser"]
    assert f"port {first} is in use; serving on port {served['port']}." in capsys.readouterr().out
    monkeypatch.setattr("kit.lab.server._refused", lambda _port: "is in use")
    assert main(["lab"]) == 3
    assert capsys.readouterr().err == f"No port from {first} to {first + 49} is free; give one with --port.\n"


def test_without_notebooks_or_a_place_for_the_copy_it_says_so(checkout, never_served, capsys):
    (checkout / "my_notebooks").write_text("a file", encoding="utf-8")
    assert main(["lab", "--port", str(free_port())]) == 3
    assert "could not write" in capsys.readouterr().err
    (checkout / "notebooks" / "00_start_here.ipynb").unlink()
    assert main(["lab"]) == 3
    assert "run this in a checkout" in capsys.readouterr().err


STARTED = """
import sys
from pathlib import Path
import kit.__main__
kit.__main__.ROOT = Path(sys.argv.pop(1))
sys.exit(kit.__main__.main())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals as POSIX has them")
@pytest.mark.parametrize("ends", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_lab_prints_an_address_that_opens_the_first_notebook_and_ends_with_its_starter(checkout, tmp_path, ends):
    """`make lab` without a window: the last line is the address; what ends kit ends JupyterLab."""
    port = free_port()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "IPYTHON"))}
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    environment |= {"PYTHONPATH": str(ROOT), **{name: str(tmp_path / name) for name in folders}}
    process = subprocess.Popen(
        [sys.executable, "-c", STARTED, str(checkout), "lab", "--no-browser", "--port", str(port)],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        lines = [process.stdout.readline().rstrip("\n") for _ in range(3)]
        assert lines[0] == "my_notebooks/ is your copy of the notebooks; the originals stay as they are."
        address = lines[2]
        page = f"http://localhost:{port}/lab/tree/my_notebooks/00_start_here.ipynb?token="
        assert address.startswith(page) and len(address) > len(page) + 40
        assert b"jupyter-config-data" in _answer(address, process)
        contents = address.replace("/lab/tree/", "/api/contents/") + "&content=0"
        assert json.loads(_answer(contents, process))["type"] == "notebook"
        process.send_signal(ends)
        assert process.wait(60) == 128 + ends
        assert process.stdout.read() == "", "the address is the last line"
        with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            pass
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # a session of its own: the group is ours alone
            process.wait()
        process.stdout.close()


def _answer(address: str, process: subprocess.Popen) -> bytes:
    """What the server says, once it listens: the address is printed while it starts, and on a busy machine that takes long."""
    while True:
        try:
            with urllib.request.urlopen(address, timeout=60) as answer:
                return answer.read()
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError) or process.poll() is not None:
                raise
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)  # it listens, or it ends
