/** The total and the gradient norm of a setting, each with a small picture of its terms: they stay in sight where the charts do not. */

import { h, number, say, svg, tell, termColour } from "./drawing.js";

/** @typedef {import("./readings.js").Plot} Plot */

/** One column a term, without names or numbers: those stand in the chart of the same question. */
class SmallBars {
  /** @param {string} kind */
  constructor(kind) {
    /** @type {SVGElement[]} */
    this.marks = [];
    this.zero = svg("line", { class: "kit-zero-line", x1: 0, x2: "100%" });
    this.root = svg("svg", { class: `kit-small kit-small-${kind}`, "aria-hidden": "true", focusable: "false" });
    this.root.append(this.zero);
  }

  /** @param {Plot} plot */
  update({ bars, terms: [low, high] }) {
    const shown = bars.filter((bar) => !bar.sum);
    if (this.marks.length !== shown.length) {
      this.marks = shown.map((_, i) => {
        const mark = svg("rect", { x: `${(100 * i / shown.length).toFixed(2)}%`, width: `${(80 / shown.length).toFixed(2)}%` });
        mark.style.fill = termColour(i);
        return mark;
      });
      this.root.replaceChildren(this.zero, ...this.marks);
    }
    const place = (/** @type {number} */ v) => `${(100 * (high - v) / (high - low)).toFixed(2)}%`;
    tell(this.zero, { y1: place(0), y2: place(0) });
    shown.forEach(({ value }, i) => tell(this.marks[i], {
      // a term that is not finite has no length: a hollow column as high as the picture
      class: value === null ? "kit-small-bar kit-small-lost" : "kit-small-bar",
      y: value === null ? 0 : place(Math.max(0, value)),
      height: value === null ? "100%" : `${(100 * Math.abs(value) / (high - low)).toFixed(2)}%`,
    }));
  }
}

/** Both numbers. */
export class Readout {
  /** @param {...HTMLElement} more what stands beside them */
  constructor(...more) {
    this.total = h("output", { class: "kit-total" });
    this.grad = h("output", { class: "kit-grad" });
    this.parts = new SmallBars("parts");
    this.gradients = new SmallBars("gradients");
    this.root = h("div", { class: "kit-readout" },
      h("div", { class: "kit-reading" }, this.total, this.parts.root),
      h("div", { class: "kit-reading" }, this.grad, this.gradients.root), ...more);
  }

  /** @param {number|null} total @param {number|null} norm @param {boolean} exact every weight is 0
   *  @param {Plot} parts @param {Plot} gradients @returns {string} the same for a screen reader */
  show(total, norm, exact, parts, gradients) {
    const end = exact ? " exactly" : "";
    say(this.total, `total = ${number(total)}${end}`);
    say(this.grad, `|g| = ${number(norm)}${end}`);
    this.parts.update(parts);
    this.gradients.update(gradients);
    return `${this.total.textContent}, gradient norm ${number(norm)}${end}`;
  }
}
