/** Line charts on a canvas, each with its question, its legend with numbers, and the marks of what was changed. */

import { h, number } from "./drawing.js";
import { markLabels, scaleOf, spread, tickText, ticks } from "./live_curves.js";
import { LegendRow, isDense, mark, trace } from "./live_legend.js";

/** @typedef {import("./live_curves.js").Scale} Scale */
/** @typedef {import("./live_legend.js").Line} Line */

/** @typedef {{step: number, kind: string, name: string, text: string}} Mark */
/** @typedef {{ink: string, muted: string, line: string}} Inks */

const HEIGHT = 168; // CSS pixels of the drawing, axes included
const [LEFT, RIGHT, TOP, BOTTOM] = [46, 20, 26, 18]; // LEFT: at least
const [TITLE, MARKS] = [9, 21]; // baselines of the two lines of text above the drawing
const MARKER_ROOM = 5; // pixels between two markers; where points are denser the line tells as much

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
    this.left = LEFT;
    this.canvas.addEventListener("pointermove", (event) => point(this.stepAt(event)));
    this.canvas.addEventListener("pointerleave", () => point(null));
  }

  /** @param {PointerEvent} event @returns {number|null} */
  stepAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const share = (event.clientX - box.left - this.left) / (box.width - this.left - RIGHT);
    if (share < 0 || share > 1) return null;
    return Math.round(this.span[0] + share * (this.span[1] - this.span[0]));
  }

  /**
   * @param {Line[]} lines @param {{end: number, marks: Mark[], cursor: number|null, inks: Inks}} how
   */
  update(lines, { end, marks, cursor, inks }) {
    this.span = [0, Math.max(1, end)];
    const full = lines.filter((line) => line.curve.steps.length > 0);
    const measured = full.some((line) => !line.beside);
    this.empty.hidden = measured;
    this.canvas.hidden = !measured;
    this.list(lines, cursor, inks);
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
    this.left = Math.max(LEFT, ...scale.ticks.map((tick) => Math.ceil(pen.measureText(tickText(tick)).width) + 8));
    const x = (/** @type {number} */ step) => this.left + (step / this.span[1]) * (width - this.left - RIGHT);
    const y = (/** @type {number} */ v) => HEIGHT - BOTTOM - scale.place(v) * (HEIGHT - TOP - BOTTOM);
    this.grid(pen, scale, x, y, width, inks);
    this.changes(pen, marks, x, inks);
    // dashes over solid lines: of two on one another both are seen
    const solid = (/** @type {Line} */ line) => Number(line.look.dash.length > 0);
    for (const line of [...full].sort((a, b) => solid(a) - solid(b))) this.line(pen, line, x, y, inks);
    this.ends(pen, lines, x, y, inks);
    if (cursor !== null) {
      pen.fillStyle = inks.ink;
      pen.fillRect(Math.round(x(Math.min(cursor, this.span[1]))), TOP, 1, HEIGHT - TOP - BOTTOM);
    }
    const said = full.map((line) => `${line.name} ${number(line.curve.values[line.curve.values.length - 1])}`);
    const label = `${this.question} After ${end} batches: ${said.join(", ")}.`;
    if (this.canvas.getAttribute("aria-label") !== label) this.canvas.setAttribute("aria-label", label);
  }

  /** @param {Line[]} lines @param {number|null} cursor @param {Inks} inks */
  list(lines, cursor, inks) {
    if (this.rows.length !== lines.length) {
      this.rows = lines.map(() => new LegendRow());
      this.legend.replaceChildren(...this.rows.map((row) => row.root));
    }
    lines.forEach((line, i) => this.rows[i].update(line, i, line.curve.at(cursor ?? Infinity), inks.ink));
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
      pen.moveTo(this.left, at);
      pen.lineTo(width - RIGHT, at);
      pen.fillText(tickText(tick), this.left - 5, at);
    }
    pen.stroke();
    pen.textAlign = "center";
    pen.textBaseline = "alphabetic";
    for (const tick of ticks(0, this.span[1], Math.max(2, Math.floor(width / 110))).filter(Number.isInteger)) {
      pen.fillText(tickText(tick), x(tick), HEIGHT - 4);
    }
    pen.textAlign = "left";
    pen.fillText(`${this.unit} over batches`, 2, TITLE);
  }

  /** @param {CanvasRenderingContext2D} pen @param {Mark[]} marks @param {(step: number) => number} x @param {Inks} inks */
  changes(pen, marks, x, inks) {
    pen.strokeStyle = inks.muted;
    pen.fillStyle = inks.ink;
    pen.textAlign = "center";
    pen.setLineDash([3, 3]);
    const places = marks.map(({ step }) => x(Math.min(step, this.span[1])));
    pen.beginPath();
    for (const place of new Set(places.map((at) => Math.round(at) + 0.5))) {
      pen.moveTo(place, TOP - 2);
      pen.lineTo(place, HEIGHT - BOTTOM);
    }
    pen.stroke();
    pen.setLineDash([]);
    const width = (/** @type {string} */ text) => pen.measureText(text).width;
    const faults = marks.map(({ kind }) => kind === "fault");
    for (const { text, place } of markLabels(places, faults, width, [this.left - 8, x(this.span[1]) + RIGHT])) {
      pen.fillText(text, place, MARKS);
    }
  }

  /** @param {CanvasRenderingContext2D} pen @param {Line} line @param {(step: number) => number} x
   *  @param {(v: number) => number} y @param {Inks} inks */
  line(pen, line, x, y, inks) {
    const { curve, look } = line;
    const { steps, values } = curve;
    trace(pen, look, inks.ink, isDense(curve), () => {
      values.forEach((value, i) => {
        if (value === null) return;
        if (curve.joined(i)) pen.lineTo(x(steps[i]), y(value));
        else pen.moveTo(x(steps[i]), y(value));
      });
    });
    // a marker at every probe and every epoch's end, and where no line leads to a value; a number that is not finite is a cross
    const few = steps.length <= 40;
    const room = x(steps[steps.length - 1]) - x(steps[0]) >= MARKER_ROOM * (steps.length - 1);
    pen.textAlign = "center";
    values.forEach((value, i) => {
      if (value === null && (few || i % 8 === 0)) {
        pen.fillStyle = look.colour || inks.ink;
        pen.fillText("\u00d7", x(steps[i]), HEIGHT - BOTTOM + 3);
      } else if (value !== null && ((curve.sparse && room) || !(curve.joined(i) || curve.joined(i + 1)))) {
        mark(pen, look, inks.ink, x(steps[i]), y(value));
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
