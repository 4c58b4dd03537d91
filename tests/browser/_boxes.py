"""Where things stand on the screen: boxes, against the window and the part of it that a notebook scrolls in."""

from __future__ import annotations

from typing import Any

from tests.browser._paint import painted

# things that are not on the screen as a whole, each with its box; and how many there are of each kind
_OUT_OF_SIGHT = """([panel, wanted]) => {
  const root = document.querySelector(panel);
  const area = root.closest('.jp-WindowedPanel-outer')?.getBoundingClientRect() ?? new DOMRect(0, 0, innerWidth, innerHeight);
  const [top, bottom] = [Math.max(0, area.top), Math.min(innerHeight, area.bottom)];
  const [left, right] = [Math.max(0, area.left), Math.min(innerWidth, area.right)];
  const out = [], counts = {};
  for (const selector of wanted) {
    const nodes = [...root.querySelectorAll(selector)];
    counts[selector] = nodes.length;
    for (const node of nodes) {
      const box = node.getBoundingClientRect();
      const inside = box.width > 0 && box.height > 0 && box.top >= top - 1 && box.bottom <= bottom + 1
        && box.left >= left - 1 && box.right <= right + 1;
      if (!inside) out.push(`${selector} at ${[box.left, box.top, box.right, box.bottom].map(Math.round)}`);
    } }
  return { out, counts, area: [left, top, right, bottom], panel: root.getBoundingClientRect().toJSON() } }"""
_SCROLL = """(node, from_top) => {
  const area = node.closest('.jp-WindowedPanel-outer'), top = node.getBoundingClientRect().top - from_top;
  if (area === null) window.scrollBy({ top, behavior: 'instant' });
  else area.scrollTop += top - area.getBoundingClientRect().top }"""
_BOXES = """nodes => nodes.map(node => {
  const { x, y, width, height } = node.getBoundingClientRect(); return [x, y, width, height] })"""


def scrolled_to(page: Any, thing: Any, from_top: float = 0) -> Any:
    """The page, scrolled until the thing (a selector or a locator) stands so many pixels below the top of what scrolls."""
    node = page.locator(thing).first if isinstance(thing, str) else thing
    stood: list[float] = []
    while len(stood) < 3 or (len(stood) < 20 and len({round(y) for y in stood[-3:]}) > 1):
        node.evaluate(_SCROLL, from_top)  # a notebook measures its cells as they come into view
        painted(page)
        stood.append(node.bounding_box()["y"])
    return page


def out_of_sight(page: Any, panel: str, wanted: list[str]) -> dict[str, Any]:
    """`out`: what is not on the screen; `counts`: how many there are; `area` and `panel`: their boxes."""
    return page.evaluate(_OUT_OF_SIGHT, [panel, wanted])


def boxes(locator: Any) -> list[list[float]]:
    return locator.evaluate_all(_BOXES)
