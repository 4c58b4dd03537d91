"""Training live in a real JupyterLab: drag a weight to zero while it runs, break it, read why, pause, keep, compare, export."""

from __future__ import annotations

import ast
import json
import re

import nbformat
import pytest

from tests.browser._axe import violations
from tests.browser._keeping import compare_and_export, keep, read_offline
from tests.browser._kernel import in_kernel, until, until_in_kernel
from tests.browser._lab import READY, RUN_ALL, running_lab
from tests.browser._latency import followed
from tests.browser._paint import painted

pytestmark = pytest.mark.browser

CELL = """\
from dataclasses import replace
import kit
from kit.live import SystemSession
from kit.live.widget import LivePanel
from IPython.display import display
system = kit.training.System.generate(seed=3, samples=48, validation_samples=8, array=kit.PlanarArray(4, 3))
system = replace(system.with_weights(lam_cov=1.0), config=kit.training.TrainingConfig(epochs=400, batch_size=8, ema_decay=None, lr=1e-3))
panel = LivePanel(SystemSession(system, probe_every=15))
display(panel, kit.journal.view(panel))"""
FAULT = "NaN gradients, replaced by 0"
SLIDER = '.kit-live .kit-row[data-weight="{}"] input[type=range]'


@pytest.fixture(scope="module")
def notebook(tmp_path_factory, browser):
    """A notebook with a live panel; nothing was asked of any other machine and no script failed."""
    with running_lab(tmp_path_factory.mktemp("live")) as lab:
        path = lab.root / "notebooks" / "live.ipynb"
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
        book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(book, path)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        errors, outside = [], []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "request", lambda r: outside.append(r.url) if not r.url.startswith((lab.base, "data:", "blob:")) else None
        )
        page.goto(lab.address("live.ipynb"))
        page.wait_for_function(READY, timeout=60_000)
        page.evaluate(RUN_ALL)
        page.wait_for_function("() => window.allRan !== 0", timeout=120_000)
        assert page.evaluate("() => window.allRan") == 1, "the cell failed"
        yield page, path, lab.root
        assert not errors
        assert not [url for url in outside if not url.startswith(("ws://127.0.0.1", "about:"))]
        page.close()


def drag_to_zero(page, weight):
    slider = page.locator(SLIDER.format(weight))
    slider.scroll_into_view_if_needed()
    place = painted(page) and slider.bounding_box()
    now = float(slider.input_value()) / float(slider.get_attribute("max"))
    y = place["y"] + place["height"] / 2
    page.mouse.move(place["x"] + 9 + now * (place["width"] - 18), y)
    page.mouse.down()
    page.mouse.move(place["x"] - 30, y, steps=12)
    page.mouse.up()


def save(page, path):
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    return json.loads(path.read_text(encoding="utf-8")), path.stat().st_size


def test_train_drag_break_read_pause_keep_compare_export(notebook, browser, axe, tmp_path):
    from playwright.sync_api import expect

    page, path, folder = notebook
    root = page.locator(".kit-live").first
    state, line, changes = (
        root.locator(".kit-live-state"),
        root.locator(".kit-live-line"),
        root.locator(".kit-live-changes li"),
    )
    expect(state).to_have_text("ready", timeout=30_000)
    expect(root.locator(".kit-live-now")).to_contain_text("Before the first batch: total ")

    # a slider acts at once, with no training
    followed(page, SLIDER.format("lam_K"), ".kit-live-now")
    expect(root.locator(".kit-live-now")).to_contain_text("At once; nothing is trained for it.")
    root.locator("button.kit-reset").click()
    assert in_kernel(page, "print(panel.session.step)") == "0"

    # it runs, and the notebook answers meanwhile
    root.locator("button.kit-live-go").click()
    expect(state).to_have_text("running")
    until_in_kernel(page, "panel.session.step > 60")
    assert in_kernel(page, "print(6 * 7)") == "42"
    root.locator("button.kit-live-go").scroll_into_view_if_needed()
    expect(root.locator("canvas.kit-live-canvas").nth(1)).to_have_attribute(
        "aria-label", re.compile(r"loss_nmse [\d.]+")
    )

    # drag lam_cov to 0 while it trains: a mark, the kernel trains with it, the curve turns
    marks = changes.count()
    drag_to_zero(page, "lam_cov")
    expect(root.locator('.kit-row[data-weight="lam_cov"] input.kit-box')).to_have_value("0")
    expect(changes).to_have_count(marks + 1)
    expect(changes.last).to_contain_text("lam_cov 1 \u2192 0")
    assert in_kernel(page, "print(panel.session.weights['lam_cov'], panel.state)") == "0.0 running"
    expect(root.locator(".kit-live-next")).to_contain_text("Since batch ")
    at = int(in_kernel(page, "print(panel.curves.marks[-1].step)"))
    until_in_kernel(page, f"panel.session.step > {at} + 60")
    slopes = in_kernel(
        page,
        f"import numpy as np; c = panel.curves.curves['term:loss_nmse']; x = np.array(c.steps); y = np.array(c.values)\n"
        f"before, after = (x <= {at}) & (x > {at} - 50), (x > {at}) & (x <= {at} + 60)\n"
        "print(*(np.polyfit(x[m], y[m], 1)[0] for m in (before, after)))",
    )
    falling, after = map(float, slopes.split())
    assert falling < 0 and after > 0.3 * falling, "the NMSE fell, and does so no longer once nothing weighs it"
    assert in_kernel(page, "print(panel.curves.curves['grad:loss_nmse'].last)") == "0.0"

    expect(line).to_contain_text("lam_cov was 0", timeout=30_000)

    # so it does while it trains
    followed(page, SLIDER.format("lam_K"), ".kit-live-now")
    assert in_kernel(page, "print(panel.state)") == "running"

    # break it, and read what it says
    root.locator("button.kit-reset").click()
    root.locator("details summary").click()
    root.get_by_label(FAULT).check()
    expect(root.locator(".kit-live-count")).to_have_text(f"on: {FAULT}")
    expect(changes.last).to_contain_text(f"fault: {FAULT}")
    expect(line).to_contain_text("established so far: NaN or infinity in gradients or losses", timeout=30_000)
    expect(line).to_contain_text("measured steps had NaN or infinity in its gradient")
    root.locator("button.kit-live-no-fault").click()
    expect(root.locator(".kit-live-count")).to_have_text("none is on")
    assert float(in_kernel(page, "print(panel.session.weights['lam_aux'])")) == 1.0

    # no curve goes into the file
    first, _ = save(page, path)
    root.locator("button.kit-live-go").click()
    expect(state).to_have_text("paused", timeout=20_000)
    step = int(in_kernel(page, "print(panel.session.step)"))
    root.locator("button.kit-live-step").click()
    until_in_kernel(page, f"panel.session.step == {step + 1}")
    second, size = save(page, path)
    assert first["cells"][0]["outputs"] == second["cells"][0]["outputs"] and size < 20_000
    assert in_kernel(page, "print(panel._slices.running)") == "False", "nothing runs while it is paused"
    assert in_kernel(page, "print(panel.session.step)") == str(step + 1)

    # keep it as it is and without a weight, compare, export; the page is read with no network
    keep(page, "with the weight")
    root.locator(SLIDER.format("lam_cov").removeprefix(".kit-live ")).press("Home")
    until_in_kernel(page, "panel.session.weights['lam_cov'] == 0")
    keep(page, "without the weight")
    exported = compare_and_export(page, folder)
    assert violations(painted(page), axe, ".kit-journal") == []
    read_offline(browser, exported, axe, tmp_path)

    # a cell that is run again stops the training of the old panel, and nothing is left of it
    root.locator("button.kit-live-go").click()
    expect(state).to_have_text("running")
    in_kernel(page, "import threading; old = panel; threads = set(threading.enumerate())")
    page.evaluate(RUN_ALL)
    page.wait_for_function("() => window.allRan !== 0", timeout=60_000)
    expect(page.locator(".kit-live .kit-live-state")).to_have_text("ready", timeout=30_000)
    assert in_kernel(page, "print(old.state, panel.state, panel.session.step)") == "paused ready 0"
    assert in_kernel(page, "print(set(threading.enumerate()) - threads)") == "set()"
    assert page.locator('[data-mime-type="application/vnd.jupyter.stderr"]').count() == 0


def test_an_interrupted_kernel_and_a_closed_tab_lose_nothing(notebook):
    from playwright.sync_api import expect

    page, path, _ = notebook
    state = page.locator(".kit-live .kit-live-state").first
    go = page.locator(".kit-live button.kit-live-go").first
    page.evaluate(RUN_ALL)
    page.wait_for_function("() => window.allRan !== 0", timeout=60_000)
    expect(state).to_have_text("ready", timeout=30_000)
    go.click()
    until_in_kernel(page, "panel.session.step > 5")

    # an interrupt pauses after the batch in hand, and Start goes on from there
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.interrupt()")
    expect(state).to_have_text("paused", timeout=20_000)
    expect(page.locator(".kit-live .kit-live-status").first).to_contain_text("interrupted")
    step = int(in_kernel(page, "print(panel.session.step, flush=True)"))
    said = in_kernel(page, "print(panel._slices.running, panel.session.step, panel.error)")
    assert step > 5 and said == f"False {step} None"
    go.click()
    until_in_kernel(page, f"panel.session.step > {step + 5}")

    # nobody looks: it pauses; the next tab finds it as it was, and goes on
    in_kernel(
        page,
        "import threading; import kit.live.training as t; t.UNHEARD = 2.0; threads = set(threading.enumerate())\n"
        "def say(state, *rest, real=panel._say, **options):\n"
        "    real(state, *rest, **options)\n"
        "    if state == 'paused': open('paused', 'w').close()\n"
        "panel._say = say",
    )
    paused = path.with_name("paused")  # the kernel's word while no page is there to ask it
    context, address = page.context, page.url
    with context.expect_page() as opened:
        page.evaluate("() => window.open('about:blank')")
    page.goto("about:blank")
    again = opened.value
    until(again, paused.exists)
    again.goto(address)
    again.wait_for_function(READY, timeout=60_000)
    said = in_kernel(again, "del panel._say; print(panel.state, panel.session.step, panel._slices.running)").split()
    assert said[0] == "paused" and int(said[1]) > step + 5 and said[2] == "False"
    # Lab itself opens a subshell for the new tab
    new = in_kernel(again, "print([one.name for one in set(threading.enumerate()) - threads])")
    assert all("subshell" in name for name in ast.literal_eval(new)), new
    assert in_kernel(again, "panel.start(); print(panel.state)") == "running"
    until_in_kernel(again, f"panel.session.step > {said[1]} + 5")
    in_kernel(again, "panel.pause(); t.UNHEARD = 30.0")
    page.goto(address)
    again.close()
    page.wait_for_function(READY, timeout=60_000)
    page.evaluate(RUN_ALL)
    page.wait_for_function("() => window.allRan !== 0", timeout=60_000)
    expect(page.locator(".kit-live .kit-live-state").first).to_have_text("ready", timeout=30_000)


def test_axe_finds_nothing_on_the_panel_in_lab(notebook, axe):
    page, _, _ = notebook
    page.locator(".kit-live details summary").first.click()
    assert violations(painted(page), axe, ".kit-live") == []
