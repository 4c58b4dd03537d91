/** Line charts on a canvas, each with its question, its legend with numbers, and the marks of what was changed. */

import { h, number, say, termColour } from "./drawing.js";
import { scaleOf, spread, ticks } from "./live_curves.js";

/** @typedef {import("./live_curves.js").Curve} Curve */
/** @typedef {import("./live_curves.js").Scale} Scale */

/**
 * @typedef {Object} Line
 * @property {string} name for the legend
 * @property {Curve} curve
 * @property {number} look which colour and dash
 * @property {boolean} [dots] a point at every value: numbers of whole epochs or of probed steps
 * @property {boolean} [faint] in the background
 */

/** @typedef {{step: number, kind: string, name: string, text: string}} Mark */
/** @typedef {{ink: string, muted: string, line: string}} Inks */

/** Colour is never the only cue: every line has a dash of its own, and its number at its end. */
const DASHES = [[], [6, 2], [2, 2], [8, 2, 2, 2], [4, 4], [6, 2, 1, 2, 1, 2], [10, 3]];
const DENSE = 150; // points; from here on a thinner line shows more
const HEIGHT = 168; // CSS pixels of the drawing, axes included
const [LEFT, RIGHT, TOP, BOTTOM] = [46, 20, 15, 18];

/** @param {number} look @returns {number[]} */
export const dashOf = (look) => DASHES[look % DASHES.length];

/** Ticks: short, with powers of ten beyond four digits. @param {number} x @returns {string} */
function tickText(x) {
  if (x === 0) return "0";
  const size = Math.abs(x);
  const text = size >= 1e4 || size < 1e-3 ? x.toExponential(0).replace("e+", "e") : String(Number(x.toPrecision(3)));
  return text.replaceAll("-", "\u2212");
}

/** Brightness of a hex colour, 0 to 1. @param {string} hex @returns {number} */
function brightness(hex) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255);
  return 0.2126 * r ** 2.2 + 0.7152 * g ** 2.2 + 0.0722 * b ** 2.2;
}

/** One row of a legend: a sample of the line, its number, name and value. */
class LegendRow {
  constructor() {
    this.sample = h("canvas", { class: "kit-live-sample", width: 56, height: 20, "aria-hidden": "true" });
    this.index = h("span", { class: "kit-index", "aria-hidden": "true" });
    this.name = h("span", { class: "kit-live-name", dir: "auto" });
    this.value = h("span", { class: "kit-live-value" });
    this.root = h("li", {}, this.sample, this.index, this.name, this.value);
    this.drawn = "";
  }

  /** @param {Line} line @param {number} place @param {number|null|undefined} value @param {boolean} dark */
  update(line, place, value, dark) {
    say(this.index, String(place + 1));
    say(this.name, line.name);
    this.name.title = line.name;
    const whole = typeof value === "number" && Number.isInteger(value) && Math.abs(value) < 1e6;
    say(this.value, value === undefined ? "\u2013" : (whole ? String(value) : number(value)));
    this.root.classList.toggle("kit-live-lost", value === null);
    const key = `${line.look} ${line.faint} ${dark}`;
    if (this.drawn === key) return;
    this.drawn = key;
    const pen = /** @type {CanvasRenderingContext2D} */ (this.sample.getContext("2d"));
    pen.setTransform(2, 0, 0, 2, 0, 0);
    pen.clearRect(0, 0, 28, 10);
    trace(pen, line, dark, () => {
      pen.moveTo(1, 5);
      pen.lineTo(27, 5);
    });
  }
}

/** Strokes a path in the look of a line; a hue too near to the ground gets a darker or lighter edge.
 *  @param {CanvasRenderingContext2D} pen @param {Line} line @param {boolean} dark @param {() => void} path */
function trace(pen, line, dark, path) {
  const colour = termColour(line.look);
  const bright = brightness(colour);
  pen.setLineDash(dashOf(line.look));
  pen.lineJoin = "round";
  pen.globalAlpha = line.faint ? 0.45 : 1;
  const width = line.faint ? 1 : (line.curve.steps.length > DENSE ? 1.2 : 1.8);
  pen.beginPath();
  path();
  if (!line.faint && (dark ? bright < 0.2 : bright > 0.5)) {
    pen.strokeStyle = dark ? "#ffffff66" : "#00000088";
    pen.lineWidth = width + 1.2;
    pen.stroke();
  }
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.stroke();
  pen.setLineDash([]);
  pen.globalAlpha = 1;
}

/** A chart of several lines over the steps. */
export class LineChart {
  /**
   * @param {{question: string, caption: string, unit: string, log?: boolean, fromZero?: boolean, level: number}} words
   * @param {(step: number|null) => void} point somebody points at a step, or no longer
   */
  constructor({ question, caption, unit, log = false, fromZero = false, level }, point) {
    this.log = log;
    this.fromZero = fromZero;
    this.unit = unit;
    this.question = question;
    /** @type {LegendRow[]} */
    this.rows = [];
    this.canvas = h("canvas", { class: "kit-live-canvas", role: "img", "aria-label": question });
    this.legend = h("ul", { class: "kit-live-legend" });
    this.empty = h("p", { class: "kit-remark", text: "Nothing was measured yet." });
    this.root = h("figure", { class: "kit-plot kit-live-chart" },
      h("figcaption", {}, h(level === 3 ? "h3" : "h4", { class: "kit-question", text: question }),
        h("p", { class: "kit-caption", text: caption })),
      this.canvas, this.empty, this.legend);
    /** @type {[number, number]} steps at the ends of the axis */
    this.span = [0, 1];
    this.canvas.addEventListener("pointermove", (event) => point(this.stepAt(event)));
    this.canvas.addEventListener("pointerleave", () => point(null));
  }

  /** @param {PointerEvent} event @returns {number|null} */
  stepAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    if (share < 0 || share > 1) return null;
    return Math.round(this.span[0] + share * (this.span[1] - this.span[0]));
  }

  /**
   * @param {Line[]} lines @param {{end: number, marks: Mark[], cursor: number|null, inks: Inks, dark: boolean}} how
   */
  update(lines, { end, marks, cursor, inks, dark }) {
    this.span = [0, Math.max(1, end)];
    const full = lines.filter((line) => line.curve.steps.length > 0);
    const measured = full.some((line) => !line.faint);
    this.empty.hidden = measured;
    this.canvas.hidden = !measured;
    this.list(lines, cursor, dark);
    if (!measured) return;
    const width = this.canvas.clientWidth;
    if (width === 0) return;
    const ratio = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(HEIGHT * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(HEIGHT * ratio);
    }
    const pen = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, HEIGHT);
    pen.font = `11px ${getComputedStyle(this.canvas).fontFamily}`;
    const scale = scaleOf(allValues(full), this.log, this.fromZero);
    const x = (/** @type {number} */ step) => LEFT + (step / this.span[1]) * (width - LEFT - RIGHT);
    const y = (/** @type {number} */ v) => HEIGHT - BOTTOM - scale.place(v) * (HEIGHT - TOP - BOTTOM);
    this.grid(pen, scale, x, y, width, inks);
    this.changes(pen, marks, x, inks);
    for (const line of full) this.line(pen, line, x, y, dark, inks);
    this.ends(pen, lines, x, y, inks);
    if (cursor !== null) {
      pen.fillStyle = inks.ink;
      pen.fillRect(Math.round(x(Math.min(cursor, this.span[1]))), TOP, 1, HEIGHT - TOP - BOTTOM);
    }
    const said = full.map((line) => `${line.name} ${number(line.curve.values[line.curve.values.length - 1])}`);
    const label = `${this.question} After ${end} batches: ${said.join(", ")}.`;
    if (this.canvas.getAttribute("aria-label") !== label) this.canvas.setAttribute("aria-label", label);
  }

  /** @param {Line[]} lines @param {number|null} cursor @param {boolean} dark */
  list(lines, cursor, dark) {
    if (this.rows.length !== lines.length) {
      this.rows = lines.map(() => new LegendRow());
      this.legend.replaceChildren(...this.rows.map((row) => row.root));
    }
    lines.forEach((line, i) => this.rows[i].update(line, i, line.curve.at(cursor ?? Infinity), dark));
  }

  /**
   * @param {CanvasRenderingContext2D} pen @param {Scale} scale @param {(step: number) => number} x
   * @param {(v: number) => number} y @param {number} width @param {Inks} inks
   */
  grid(pen, scale, x, y, width, inks) {
    pen.lineWidth = 1;
    pen.strokeStyle = inks.line;
    pen.fillStyle = inks.muted;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    pen.beginPath();
    for (const tick of scale.ticks) {
      const at = Math.round(y(tick)) + 0.5;
      pen.moveTo(LEFT, at);
      pen.lineTo(width - RIGHT, at);
      pen.fillText(tickText(tick), LEFT - 5, at);
    }
    pen.stroke();
    pen.textAlign = "center";
    pen.textBaseline = "alphabetic";
    for (const tick of ticks(0, this.span[1], Math.max(2, Math.floor(width / 110)))) {
      pen.fillText(tickText(tick), x(tick), HEIGHT - 4);
    }
    pen.textAlign = "left";
    pen.fillText(`${this.unit} over batches`, 2, 9);
  }

  /** @param {CanvasRenderingContext2D} pen @param {Mark[]} marks @param {(step: number) => number} x @param {Inks} inks */
  changes(pen, marks, x, inks) {
    pen.strokeStyle = inks.muted;
    pen.fillStyle = inks.ink;
    pen.textAlign = "center";
    pen.setLineDash([3, 3]);
    let free = pen.measureText(`${this.unit} over batches`).width + 10; // the name of the axis stands on the left
    marks.forEach((mark, i) => {
      const at = Math.round(x(Math.min(mark.step, this.span[1]))) + 0.5;
      pen.beginPath();
      pen.moveTo(at, TOP - 2);
      pen.lineTo(at, HEIGHT - BOTTOM);
      pen.stroke();
      if (at > free) {
        pen.fillText(`${mark.kind === "fault" ? "\u25b2" : ""}${i + 1}`, at, 9);
        free = at + 16;
      }
    });
    pen.setLineDash([]);
  }

  /** @param {CanvasRenderingContext2D} pen @param {Line} line @param {(step: number) => number} x
   *  @param {(v: number) => number} y @param {boolean} dark @param {Inks} inks */
  line(pen, line, x, y, dark, inks) {
    const { steps, values } = line.curve;
    trace(pen, line, dark, () => {
      let down = false;
      values.forEach((value, i) => {
        if (value === null) down = false;
        else if (down) pen.lineTo(x(steps[i]), y(value));
        else {
          pen.moveTo(x(steps[i]), y(value));
          down = true;
        }
      });
    });
    // a single value is no line, and a number that is not finite is a cross on the axis
    pen.fillStyle = termColour(line.look);
    pen.strokeStyle = inks.ink;
    const few = steps.length <= 40;
    values.forEach((value, i) => {
      if (value === null && (few || i % 8 === 0)) pen.fillText("\u00d7", x(steps[i]), HEIGHT - BOTTOM + 3);
      else if (value !== null && (line.dots && few || steps.length === 1)) {
        pen.beginPath();
        pen.arc(x(steps[i]), y(value), 2.6, 0, 7);
        pen.fill();
      }
    });
  }

  /** The number of each line at its end. @param {CanvasRenderingContext2D} pen @param {Line[]} lines
   *  @param {(step: number) => number} x @param {(v: number) => number} y @param {Inks} inks */
  ends(pen, lines, x, y, inks) {
    /** @type {Array<{i: number, at: number, right: number}>} */
    const labels = [];
    lines.forEach((line, i) => {
      const last = line.curve.values.findLastIndex((value) => value !== null);
      if (last >= 0) {
        labels.push({ i, at: y(/** @type {number} */ (line.curve.values[last])), right: x(line.curve.steps[last]) });
      }
    });
    const places = spread(labels.map(({ at }) => at), 11, HEIGHT - BOTTOM);
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    pen.fillStyle = inks.ink;
    labels.forEach(({ i, right }, k) => pen.fillText(String(i + 1), right + 5, places[k]));
    pen.textBaseline = "alphabetic";
  }
}

/** @param {Line[]} lines @returns {Generator<number|null>} */
function* allValues(lines) {
  for (const line of lines) yield* line.curve.values;
}
