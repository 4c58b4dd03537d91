"""How much sooner does a slider of the panel show its effect than `interactive_output` with an inline matplotlib figure?

    python -m tests.speed.sliders

Both stand in one notebook of a real JupyterLab and show the same seven terms. Measured from the key press to the end of the
frame in which the display has changed, once quiet and once with two processes that keep the processors busy.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from statistics import median, quantiles
from typing import Any

from tests.browser._latency import dragged, measured, spoken_drag
from tests.speed._session import notebook_open

KEYS = 30
PANEL = """\
from tests.panel._panel_cases import make_report
import kit
report = make_report(1)
kit.Panel(report)"""
MATPLOTLIB = """\
import ipywidgets as widgets, matplotlib.pyplot as plt
from IPython.display import display
%matplotlib inline
sliders = {n: widgets.FloatSlider(float(w), min=0, max=2, step=0.01, description=n) for n, w in zip(report.weight_names, report.weights)}
def draw(**weights):
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    left.barh(report.names, kit.whatif.weighted(report, weights))
    right.barh(report.names, kit.whatif.term_grad_norms(report, weights))
    figure.suptitle(f"total = {kit.whatif.total(report, weights):.6f}")
    plt.show()
box = widgets.VBox(list(sliders.values())).add_class("rival")
display(box, widgets.interactive_output(draw, sliders).add_class("rival-figure"))"""
SLIDER = '.kit-row[data-weight="lam_cov"] input[type=range]'

# keydown.timeStamp -> the figure's `img` has loaded anew -> the frame after it has ended, as in tests/browser/_latency.py
_RIVAL = """() => {
  const handle = document.querySelector('.rival .noUi-handle'), figure = document.querySelector('.rival-figure');
  const times = window.rivals = [];
  let since = null;
  handle.addEventListener('keydown', event => { since = event.timeStamp }, true);
  figure.addEventListener('load', () => {
    if (since === null) return;
    const start = since; since = null;
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => times.push(performance.now() - start);
      channel.port2.postMessage(0) }) }, true) }"""


def _spin() -> None:
    while True:
        pass


@contextmanager
def two_busy_processes() -> Iterator[None]:
    busy = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(2)]
    for process in busy:
        process.start()
    try:
        yield
    finally:
        for process in busy:
            process.terminate()
            process.join()


def line(title: str, times: list[float]) -> str:
    return f"{title:<48}{median(times):>10.0f}{quantiles(times, n=20)[-1]:>12.0f}"


def rival_measured(page: Any, keys: int) -> list[float]:
    """Milliseconds, one a key press on the first slider of the rival."""
    page.evaluate(_RIVAL)
    handle = page.locator(".rival .noUi-handle").first
    handle.scroll_into_view_if_needed()
    handle.focus()
    for number in range(keys):
        page.keyboard.press("ArrowLeft" if number % 2 else "ArrowRight")
        page.wait_for_function("n => window.rivals.length >= n", arg=number + 1, timeout=30_000)
    return page.evaluate("() => window.rivals")


def contest(page: Any, when: str) -> float:
    """Prints both, and the ratio of their medians."""
    ours = measured(page, SLIDER, ".kit-total", KEYS)
    rival = rival_measured(page, KEYS)
    ratio = median(rival) / median(ours)
    print(line(f"panel, {when}", ours))
    print(f"{line(f'interactive_output + matplotlib, {when}', rival)}{ratio:>9.1f}x")
    print(f"  panel: {spoken_drag(dragged(page, SLIDER))}", flush=True)
    return ratio


def report() -> None:
    """One sentence where Chromium or Playwright is missing."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import TimeoutError as Missed
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if chromium is None or sync_playwright is None:
        print("sliders: not measured, because Chromium or Playwright is missing.")
        return
    print(f"load average {os.getloadavg()[0]:.1f} at the start")
    print(f"{'key press to painted frame':<48}{'median / ms':>10}{'p95 / ms':>12}{'ratio':>10}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        with notebook_open(browser, [PANEL, MATPLOTLIB]) as page:
            page.wait_for_selector(".rival-figure img", timeout=30_000)
            for when, load in (("quiet", nullcontext()), ("two busy processes", two_busy_processes())):
                try:
                    with load:
                        contest(page, when)
                except Missed:  # said, and not counted: a ratio without it would flatter
                    print(f"{when}: no result, since a redraw was not seen within its time", flush=True)
        browser.close()


if __name__ == "__main__":
    report()
