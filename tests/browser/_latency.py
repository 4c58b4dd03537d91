"""From an input event to the end of the frame that shows what it changed, in the page itself; adds up to one frame."""

from __future__ import annotations

from statistics import median, quantiles
from typing import Any

# keydown.timeStamp -> the shown text changes (MutationObserver) -> the frame after it has ended (rAF, then a message)
_WATCH = """([slider, shown]) => {
  const [input, text] = [document.querySelector(slider), document.querySelector(shown)];
  const times = window.latencies = [];
  let since = null;
  window.scripts = [];
  input.addEventListener('keydown', event => { since = event.timeStamp });
  new MutationObserver(() => {
    if (since === null) return;
    const start = since; since = null;
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => times.push(performance.now() - start);
      channel.port2.postMessage(0) }) }).observe(text, { childList: true, characterData: true, subtree: true });
}"""


def measured(page: Any, slider: str, shown: str, keys: int = 30) -> list[float]:
    """Milliseconds, one a key press on the slider; `shown` is the element whose text each of them changes."""
    page.evaluate(_WATCH, [slider, shown])
    page.locator(slider).focus()
    for number in range(keys):
        page.keyboard.press("ArrowLeft" if number % 2 else "ArrowRight")
        page.wait_for_function("n => window.latencies.length >= n", arg=number + 1, timeout=10_000)
    return page.evaluate("() => window.latencies")


def spoken(times: list[float]) -> str:
    return f"median {median(times):.0f} ms, p95 {quantiles(times, n=20)[-1]:.0f} ms of {len(times)}"
