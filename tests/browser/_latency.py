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
  input.addEventListener('keydown', event => { since = event.timeStamp }, true);  // before the panel hears it
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


def followed(page: Any, slider: str, shown: str) -> None:
    """Every key press on the slider changes the text, and a frame shows it; how soon is told by `python -m tests.speed.sliders`."""
    assert len(measured(page, slider, shown, 9)) == 9


def spoken(times: list[float]) -> str:
    return f"median {median(times):.0f} ms, p95 {quantiles(times, n=20)[-1]:.0f} ms of {len(times)}"


# the slider is moved in every frame: frames a second, and what the page's own scripts take of each (the input event, and
# every animation frame that they asked for)
_DRAG = """([slider, seconds]) => new Promise(done => {
  const input = document.querySelector(slider), was = input.value, scripts = [], begin = performance.now();
  const ask = window.requestAnimationFrame.bind(window), top = Number(input.max);
  let frames = 0, spent = 0;
  window.requestAnimationFrame = act => ask(at => { const start = performance.now(); act(at); spent += performance.now() - start });
  const set = value => { input.value = String(value); input.dispatchEvent(new Event('input', { bubbles: true })) };
  const move = () => {
    if (frames > 1) scripts.push(spent);
    spent = 0; frames += 1;
    const passed = (performance.now() - begin) / 1000;
    if (passed > seconds) {
      window.requestAnimationFrame = ask;
      set(was);
      input.dispatchEvent(new Event('change', { bubbles: true }));
      done({ frames: (frames - 1) / passed, scripts });
      return }
    const start = performance.now();
    set(top * ((frames % 100) / 100));
    spent += performance.now() - start;
    ask(move) };
  ask(move) })"""


def dragged(page: Any, slider: str, seconds: float = 4.0) -> dict[str, Any]:
    """`frames` a second while the slider is moved in every frame, and `scripts`, milliseconds an update."""
    page.locator(slider).scroll_into_view_if_needed()
    return page.evaluate(_DRAG, [slider, seconds])


def spoken_drag(drag: dict[str, Any]) -> str:
    return f"{drag['frames']:.0f} frames/s while dragging, script {median(drag['scripts']):.2f} ms an update"
