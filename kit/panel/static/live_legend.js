/** How a line looks, on the canvas of its chart and in the legend: colour, dash and marker together tell it from the others. */

import { h, number, say, table, termColour } from "./drawing.js";

/** @typedef {import("./live_curves.js").Curve} Curve */
/** @typedef {{colour: string, dash: number[], marker: string, width: number}} Look an empty colour: that of the text */

/**
 * @typedef {Object} Line
 * @property {string} name for the legend
 * @property {Curve} curve
 * @property {Look} look
 * @property {boolean} [beside] to compare with: nothing was measured of it
 */

/** Look of series i; no two of the first 56 share colour and dash. @param {number} i @returns {Look} */
export function lookOf(i) {
  const [dash, marker] = [table.dashes[i % table.dashes.length], table.markers[i % table.markers.length]];
  return { colour: termColour(i), dash, marker, width: 1.8 };
}

/** What means the same in every chart looks the same in every chart.
 *  @param {"train"|"validation"|"batch"} role @returns {Look} */
export function roleLook(role) {
  const place = Object.keys(table.roles).indexOf(role);
  if (role === "batch") return { colour: table.roles.batch, dash: [], marker: "", width: 1 };
  return { colour: table.roles[role], dash: table.dashes[place], marker: table.markers[place], width: 1.8 };
}

const DENSE = 150; // points; from here on a thinner line shows more

/** Strokes a path in a look. @param {CanvasRenderingContext2D} pen @param {Look} look @param {string} ink of the text
 *  @param {boolean} dense @param {() => void} path */
export function trace(pen, look, ink, dense, path) {
  pen.setLineDash(look.dash);
  pen.lineJoin = "round";
  pen.strokeStyle = look.colour || ink;
  pen.lineWidth = dense ? Math.min(look.width, 1.2) : look.width;
  pen.beginPath();
  path();
  pen.stroke();
  pen.setLineDash([]);
}

/** Corners of a marker around the middle, in shares of its radius. @type {Object<string, number[][]>} */
const CORNERS = {
  s: [[-0.85, -0.85], [0.85, -0.85], [0.85, 0.85], [-0.85, 0.85]],
  D: [[0, -1.2], [1.2, 0], [0, 1.2], [-1.2, 0]],
  "^": [[0, -1.1], [1.1, 0.9], [-1.1, 0.9]],
  v: [[0, 1.1], [1.1, -0.9], [-1.1, -0.9]],
  P: [[-0.4, -1.2], [0.4, -1.2], [0.4, -0.4], [1.2, -0.4], [1.2, 0.4], [0.4, 0.4], [0.4, 1.2], [-0.4, 1.2], [-0.4, 0.4],
    [-1.2, 0.4], [-1.2, -0.4], [-0.4, -0.4]],
  X: [[-1.1, -0.6], [-0.6, -1.1], [0, -0.5], [0.6, -1.1], [1.1, -0.6], [0.5, 0], [1.1, 0.6], [0.6, 1.1], [0, 0.5],
    [-0.6, 1.1], [-1.1, 0.6], [-0.5, 0]],
};

/** A marker; a look without one has a dot. @param {CanvasRenderingContext2D} pen @param {Look} look @param {string} ink
 *  @param {number} x @param {number} y */
export function mark(pen, look, ink, x, y) {
  const radius = look.marker === "" ? 1.6 : 3;
  pen.fillStyle = look.colour || ink;
  pen.beginPath();
  const corners = CORNERS[look.marker];
  if (corners === undefined) pen.arc(x, y, radius, 0, 7);
  else for (const [right, down] of corners) pen.lineTo(x + radius * right, y + radius * down);
  pen.fill();
}

/** @param {Curve} curve */
export const isDense = (curve) => curve.steps.length > DENSE;

/** One row of a legend: a sample of the line, its number, name and value. */
export class LegendRow {
  constructor() {
    this.sample = h("canvas", { class: "kit-live-sample", width: 56, height: 20, "aria-hidden": "true" });
    this.index = h("span", { class: "kit-index", "aria-hidden": "true" });
    this.name = h("span", { class: "kit-live-name", dir: "auto" });
    this.value = h("span", { class: "kit-live-value" });
    this.root = h("li", {}, this.sample, this.index, this.name, this.value);
    this.drawn = "";
  }

  /** @param {Line} line @param {number} place @param {number|null|undefined} value @param {string} ink */
  update(line, place, value, ink) {
    say(this.index, String(place + 1));
    say(this.name, line.name);
    this.name.title = line.name;
    const whole = typeof value === "number" && Number.isInteger(value) && Math.abs(value) < 1e6;
    say(this.value, value === undefined ? "\u2013" : (whole ? String(value) : number(value)));
    this.root.classList.toggle("kit-live-lost", value === null);
    const { look } = line;
    const key = `${look.colour || ink} ${look.dash} ${look.marker} ${line.curve.sparse}`;
    if (this.drawn === key) return;
    this.drawn = key;
    const pen = /** @type {CanvasRenderingContext2D} */ (this.sample.getContext("2d"));
    pen.setTransform(2, 0, 0, 2, 0, 0);
    pen.clearRect(0, 0, 28, 10);
    trace(pen, look, ink, false, () => {
      pen.moveTo(1, 5);
      pen.lineTo(27, 5);
    });
    if (line.curve.sparse && look.marker !== "") mark(pen, look, ink, 14, 5);
  }
}
