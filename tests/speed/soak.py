"""Does anything grow when the live panel is used for long?

    python -m tests.speed.soak [--events 20000] [--minutes 30] [--limit 540]

The steps that the notebooks' own training takes in so many minutes are timed first; as many are then trained on a
small array, where each is faster, while the slider of lam_cov gets its events in a real JupyterLab. Printed over time: resident memory
of the kernel, JavaScript heap and DOM nodes of the page, both after garbage was collected.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from typing import Any

from tests.browser._kernel import in_kernel
from tests.speed._session import notebook_open

CELL = """\
import gc, psutil, kit
from dataclasses import replace
few = kit.training.System.generate(seed=3, samples=24, validation_samples=8, array=kit.PlanarArray(4, 3))
few = replace(few, config=kit.training.TrainingConfig(epochs=10**6, batch_size=8, ema_decay=None, require_steps=False))
panel = kit.LivePanel(kit.live.SystemSession(few, probe_every=200))
panel"""
RATE = """\
from time import perf_counter
from kit.datasets import reference_system
paced = kit.live.SystemSession(reference_system())
paced.advance()
begin = perf_counter()
count = 0
while perf_counter() - begin < 5 and not paced.finished:
    paced.advance(); count += 1
print(count / (perf_counter() - begin))
del paced"""
KERNEL = "gc.collect(); print(panel.session.step, psutil.Process().memory_info().rss / 2**20, panel.state)"
SLIDER = '.kit-live .kit-row[data-weight="lam_cov"] input[type=range]'
# a few events a frame, as a fast mouse sends them
_EVENTS = """([slider, events]) => {
  window.soaked = 0;
  const input = document.querySelector(slider);
  const move = () => {
    for (let i = 0; i < 4 && window.soaked < events; i += 1) {
      window.soaked += 1;
      input.value = String((window.soaked % 100) / 100 * Number(input.max));
      input.dispatchEvent(new Event(window.soaked % 50 ? 'input' : 'change', { bubbles: true })) }
    if (window.soaked < events) requestAnimationFrame(move) };
  requestAnimationFrame(move) }"""


def sample(page: Any, devtools: Any) -> dict[str, float]:
    devtools.send("HeapProfiler.collectGarbage")
    metrics = {item["name"]: item["value"] for item in devtools.send("Performance.getMetrics")["metrics"]}
    step, kernel, state = in_kernel(page, KERNEL).split()
    assert state in ("running", "finished"), f"the training is {state}"
    return {
        "events": page.evaluate("() => window.soaked"),
        "steps": int(step),
        "kernel": float(kernel),
        "heap": metrics["JSHeapUsedSize"] / 2**20,
        "nodes": metrics["Nodes"],
    }


def soak(page: Any, events: int, minutes: float, limit: float, every: float = 15.0) -> list[dict[str, float]]:
    """Samples until both counts are reached or the time is over."""
    rate = float(in_kernel(page, RATE))
    steps = round(60 * minutes * rate)
    print(f"{rate:.1f} steps/s in the notebooks' training, so {minutes:g} minutes are {steps} steps; {events} events")
    print(f"{'s':>6}{'events':>9}{'steps':>9}{'kernel / MiB':>14}{'heap / MiB':>12}{'nodes':>8}")
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")
    page.locator("button.kit-live-go").first.click()
    page.evaluate(_EVENTS, [SLIDER, events])
    begin, seen = time.monotonic(), []
    while not seen or (time.monotonic() - begin < limit and (seen[-1]["steps"] < steps or seen[-1]["events"] < events)):
        page.wait_for_timeout(1000 * every)
        now = sample(page, devtools)
        seen.append(now)
        print(
            f"{time.monotonic() - begin:>6.0f}{now['events']:>9.0f}{now['steps']:>9.0f}{now['kernel']:>14.1f}"
            f"{now['heap']:>12.2f}{now['nodes']:>8.0f}",
            flush=True,
        )
    done = seen[-1]["steps"] >= steps and seen[-1]["events"] >= events
    print("both counts reached" if done else f"stopped after {limit:g} s: {seen[-1]['steps'] / steps:.0%} of the steps")
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.speed.soak", description=__doc__.split("\n")[0])
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--limit", type=float, default=540.0)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        parser.exit(0, "soak: not run, because Chromium is missing.\n")
    print(f"load average {os.getloadavg()[0]:.1f} at the start")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        with notebook_open(browser, [CELL]) as page:
            page.wait_for_selector(SLIDER, timeout=30_000)
            seen = soak(page, options.events, options.minutes, options.limit)
        browser.close()
    warm = seen[len(seen) // 3 :]  # after warm-up: curves are full, caches are filled
    for what, unit in (("kernel", "MiB"), ("heap", "MiB"), ("nodes", "")):
        values = [item[what] for item in warm]
        print(f"{what} after warm-up: {values[0]:.1f} -> {values[-1]:.1f} {unit} (largest {max(values):.1f})")


if __name__ == "__main__":
    main()
