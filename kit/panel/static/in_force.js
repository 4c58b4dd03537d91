/** Which weight was in force when? One line a weight over the probed steps of a run, each at the height where its slider stands. */

import { h, short, svg, table, tell, termColour } from "./drawing.js";
import { placeOf, rangeOf } from "./scale.js";

/** @typedef {import("./algebra.js").PanelData} PanelData */

const HEIGHT = 64;

/** @param {string} name @param {number[]} values @returns {string} */
function said(name, values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (low === high) return `${name} ${short(low)} throughout`;
  const [first, last] = [values[0], values[values.length - 1]];
  const between = first === low && last === high ? "" : `, between ${short(low)} and ${short(high)}`;
  return `${name} from ${short(first)} to ${short(last)}${between}`;
}

export class InForce {
  /** @param {PanelData} data whose cases are steps of one run @param {number} level of the heading */
  constructor(data, level) {
    this.last = data.cases.length - 1;
    const own = [...data.weight_names.keys()].filter((i) => data.adjustable[i]);
    const range = rangeOf(data.upper, data.cases.flatMap((probe) => own.map((i) => probe.weights[i])));
    const values = own.map((i) => data.cases.map((probe) => probe.weights[i]));
    const ends = `From ${data.cases[0].title} to ${data.cases[this.last].title}`;
    const text = `Weights in force. ${ends}: `
      + `${own.map((i, k) => said(data.weight_names[i], values[k])).join("; ")}.`;
    const drawn = svg("svg", { class: "kit-in-force", role: "img", "aria-label": text, height: HEIGHT,
      viewBox: `0 0 ${this.last} ${HEIGHT}`, preserveAspectRatio: "none" });
    this.now = svg("line", { class: "kit-in-force-now", y1: 0, y2: HEIGHT });
    const lines = own.map((i, k) => {
      const height = values[k].map((w) => HEIGHT - 4 - (HEIGHT - 8) * placeOf(range, w));
      const line = svg("polyline", { class: "kit-in-force-line", points: height.map((y, x) => `${x},${y.toFixed(1)}`).join(" "),
        "stroke-dasharray": table.dashes[i % table.dashes.length].join(" ") });
      line.style.stroke = termColour(i);
      return line;
    });
    drawn.append(this.now, ...lines);
    this.root = h("figure", { class: "kit-plot kit-plot-in-force" },
      h("figcaption", {}, h(level === 3 ? "h3" : "h4", { class: "kit-question", text: "Which weight was in force when?" })), drawn,
      h("p", { class: "kit-caption", text: `${ends}: 0 at the bottom, logarithmic above, as the sliders.` }));
  }

  /** @param {number} index of the step shown */
  show(index) {
    tell(this.now, { x1: index, x2: index });
  }
}
