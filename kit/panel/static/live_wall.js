/** All charts of a training, with one choice of axes and one cursor for all of them. */

import { choice } from "./controls.js";
import { h, say } from "./drawing.js";
import { LineChart } from "./live_charts.js";
import { Curve } from "./live_curves.js";
import { lookOf, roleLook } from "./live_legend.js";

/** @typedef {import("./live_legend.js").Look} Look */
/** @typedef {import("./live_legend.js").Line} Line */
/** @typedef {import("./live_charts.js").Mark} Mark */

const NO_CURVE = new Curve();
/** @type {Look} */
const WHOLE_NETWORK = { colour: "", dash: [], marker: "o", width: 2.4 };

const CHARTS = [
  { kind: "losses", question: "Do the displayed losses move?", unit: "loss", fromZero: true,
    caption: "Healthy: train and validation fall together. Faulty: train lies on 0, or validation does not change." },
  { kind: "terms", question: "What becomes of each term?", unit: "unweighted value", log: true,
    caption: "Healthy: the terms you care about fall. Faulty: a term stays where it was, or rises once its weight is 0." },
  { kind: "gradients", question: "How large is each gradient?", unit: "weighted gradient norm", log: true,
    caption: "Probed at the markers. Healthy: no term is lost. Faulty: one lies on 0 or towers above the others." },
  { kind: "groups", question: "Where does a gradient arrive?", unit: "gradient norm", log: true,
    caption: "Healthy: every layer group gets one. Faulty: a group on 0 learns nothing; \u00d7 is not finite." },
  { kind: "taken", question: "Are steps taken?", unit: "steps", fromZero: true,
    caption: "Healthy: one for every batch. Faulty: the line does not rise, and nothing is learned." },
  { kind: "rate", question: "How long are the steps?", unit: "learning rate", fromZero: true,
    caption: "Healthy: as the schedule was meant. Faulty: it lies on 0." },
];

/** The curves and their charts. */
export class ChartWall {
  /** @param {string} id @param {() => void} later asks for a drawing */
  constructor(id, later) {
    /** @type {Map<string, Curve>} */
    this.curves = new Map();
    this.later = later;
    /** @type {number|null} batch at which the legends are read; null: the newest */
    this.cursor = null;
    this.scale = 0;
    const scales = choice(`${id}-scale`, "Axes", "kit-scale", ["as suits each", "linear", "logarithmic"], (i) => {
      this.scale = i;
      later();
    });
    this.reader = h("input", {
      type: "range", id: `${id}-reader`, min: 0, max: 1, value: 1, step: 1, class: "kit-live-reader",
      "data-lm-suppress-shortcuts": "true",
    });
    this.readAt = h("output", { class: "kit-live-at", for: `${id}-reader`, text: "newest" });
    this.reader.addEventListener("input", () => {
      const at = Number(this.reader.value);
      this.point(at >= Number(this.reader.max) ? null : at);
    });
    this.charts = CHARTS.map((words) => new LineChart({ ...words, level: 4 }, (step) => this.point(step)));
    this.lineInk = h("i", { class: "kit-live-line-ink", hidden: true });
    this.options = h("div", { class: "kit-view-options" }, scales.root,
      h("div", { class: "kit-choice kit-live-read" },
        h("label", { for: `${id}-reader`, text: "Read the curves at batch" }), this.reader, this.readAt));
  }

  /** @param {number|null} step */
  point(step) {
    if (step === this.cursor) return;
    this.cursor = step;
    this.later();
  }

  /** @param {Object<string, [number[], (number|null)[], number[]]>} points */
  add(points) {
    for (const [name, [steps, values, parts]] of Object.entries(points)) {
      const curve = this.curves.get(name) ?? new Curve();
      curve.add(steps, values, parts);
      this.curves.set(name, curve);
    }
  }

  /** @param {number} end the newest batch @param {Mark[]} marks @param {HTMLElement} root whose colours hold */
  draw(end, marks, root) {
    const { color } = getComputedStyle(root);
    const inks = {
      ink: color, muted: getComputedStyle(this.charts[0].empty).color, line: getComputedStyle(this.lineInk).color,
    };
    const how = { end, marks, cursor: this.cursor, inks };
    const lines = this.lines(end);
    CHARTS.forEach((words, i) => {
      const chart = this.charts[i];
      chart.log = this.scale === 0 ? Boolean(words.log) : this.scale === 2;
      chart.update(lines[i], how);
    });
    const last = Math.max(1, end);
    this.reader.max = String(last);
    const at = String(this.cursor ?? last);
    if (this.reader.value !== at) this.reader.value = at;
    this.reader.style.setProperty("--kit-at", String((this.cursor ?? last) / last));
    say(this.readAt, this.cursor === null ? "newest" : String(this.cursor));
  }

  /** @param {number} end @returns {Line[][]} lines of every chart */
  lines(end) {
    const of = (/** @type {string} */ name) => this.curves.get(name) ?? NO_CURVE;
    const named = (/** @type {string} */ prefix) => [...this.curves.keys()]
      .filter((name) => name.startsWith(prefix))
      .map((name, i) => ({ name: name.slice(prefix.length), curve: of(name), look: lookOf(i) }));
    const every = new Curve();
    every.add([0, end], [0, end]);
    return [
      [{ name: "train", curve: of("train"), look: roleLook("train") },
        { name: "validation", curve: of("val"), look: roleLook("validation") },
        { name: "each batch", curve: of("batch"), look: roleLook("batch") }],
      named("term:"),
      named("grad:"),
      [{ name: "whole network", curve: of("grad"), look: WHOLE_NETWORK }, ...named("group:")],
      [{ name: "steps taken", curve: of("taken"), look: lookOf(0) },
        { name: "one for every batch", curve: every, look: { ...roleLook("batch"), dash: [2, 2] }, beside: true }],
      [{ name: "learning rate", curve: of("lr"), look: lookOf(0) }],
    ];
  }
}
