/** Training live: what the kernel trains is drawn here, and what is dragged here is trained there. Entry point of the module. */

import { WeightRow, button, keepKeys } from "./controls.js";
import { h, say, short } from "./drawing.js";
import { Frames } from "./frames.js";
import { ChangeList, FaultMenu, Transport } from "./live_controls.js";
import { Kernel } from "./live_kernel.js";
import { TwoActs } from "./live_acts.js";
import { ChartWall } from "./live_wall.js";

/** @typedef {import("./live_charts.js").Mark} Mark */
/** @typedef {import("./live_acts.js").Probed} Probed */
/** @typedef {import("./live_kernel.js").LiveModel} LiveModel */
/** @typedef {import("./live_kernel.js").Told} Told */

const SEND_MS = 100; // to the kernel while dragging
const ALOUD_MS = 4000; // between two sentences to a screen reader
const CALM_MS = 1000; // between two drawings of the curves where less motion is asked for

let lives = 0;

/** One view of one training. */
class LiveView {
  /** @type {Told} */ told;
  /** @type {WeightRow[]} */ rows;
  /** @type {FaultMenu} */ faults;
  /** @type {string[]} */ names;
  /** @type {Transport} */ transport;
  /** @type {ChartWall} */ wall;
  /** @type {ChangeList} */ changes;
  /** @type {TwoActs} */ acts;
  /** @type {HTMLElement} */ root;
  /** @type {HTMLElement} */ weights;
  /** @type {HTMLElement} */ menu;
  /** @type {HTMLElement} */ line;
  /** @type {HTMLElement} */ said;
  /** @type {HTMLElement} */ aloud;
  /** @type {HTMLElement} */ status;

  /** @param {LiveModel} model @param {HTMLElement} el */
  constructor(model, el) {
    lives += 1;
    this.id = `kit-live-${lives}-${Math.random().toString(36).slice(2, 8)}`;
    this.model = model;
    /** @type {Mark[]} */
    this.marks = [];
    /** @type {Probed|null} */
    this.probe = null;
    /** @type {Object<string, number>} the sliders */
    this.setting = {};
    /** @type {Set<string>} weights that were moved and not sent yet */
    this.moved = new Set();
    this.sent = 0;
    this.pending = false;
    this.frames = new Frames(() => this.draw());
    this.calmTimer = this.sendTimer = this.aloudTimer = 0;
    this.dirty = { setting: true, curves: true };
    this.calm = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.build();
    el.append(this.root);
    this.sizes = new ResizeObserver(() => this.later("curves"));
    this.sizes.observe(this.root);
    this.themes = new MutationObserver(() => this.later("curves"));
    this.themes.observe(document.body, { attributes: true });
    this.kernel = new Kernel(model, (told) => this.hear(told),
      () => this.note("No kernel answers. Run the cell again to train.", true));
  }

  build() {
    const { id } = this;
    this.transport = new Transport(id, (type) => this.press(type));
    this.line = h("p", { class: "kit-live-line", dir: "auto" });
    this.aloud = h("p", { class: "kit-hidden", role: "status", "aria-live": "polite" });
    this.status = h("p", { class: "kit-live-status", role: "status", dir: "auto" });
    this.weights = h("div", { class: "kit-rows" });
    this.menu = h("div", {});
    this.changes = new ChangeList(`${id}-changes`);
    this.wall = new ChartWall(id, () => this.later("curves"));
    this.acts = new TwoActs();
    // of one height, whatever is said: nothing moves under the pointer. What is longer is scrolled to, with the keys as well.
    this.said = h("div", { class: "kit-meaning kit-live-said", role: "group", "aria-label": "Diagnosis so far", tabindex: 0,
      "data-lm-suppress-shortcuts": "true" }, this.status, this.line);
    const [losses, ...curves] = this.wall.charts.map((chart) => chart.root);
    this.root = h("div", { class: "kit-panel kit-live", role: "group", "aria-label": "Training live" },
      h("div", { class: "kit-head" },
        h("h3", { class: "kit-title", dir: "auto", text: this.model.get("title") || "Training live" }),
        this.transport.root, this.said),
      h("div", { class: "kit-play kit-live-play" },
        h("div", { class: "kit-near" }, this.acts.readout.root,
          h("div", { class: "kit-controls" },
            h("div", { class: "kit-toolbar" }, h("span", { class: "kit-toolbar-name", text: "Weights" }),
              button({ class: "kit-all-zero", text: "all zero" }, () => this.setAll(() => 0)),
              button({ class: "kit-reset", text: "reset weights", title: "the weights that the run started with" },
                () => this.setAll((row) => row.start))),
            this.weights)),
        losses, this.acts.words),
      this.menu, this.changes.root, this.acts.plots, this.wall.options,
      h("div", { class: "kit-plots kit-live-charts" }, ...curves, this.wall.lineInk), this.aloud);
    this.root.addEventListener("keydown", keepKeys);
    this.transport.show({ state: "", step: 0, epoch: 0, planned: null });
  }

  /** @param {string} type */
  press(type) {
    const off = ["", "retired"].includes(this.transport.state) || (type !== "reset" && this.transport.state === "finished");
    if (off) return;
    this.send(true);
    this.kernel.send({ type });
  }

  // Weights

  /** @param {string} name @param {number} value @param {boolean} done */
  change(name, value, done) {
    this.move(name, value);
    if (done) this.send(true);
    else if (this.sendTimer === 0) this.sendTimer = setTimeout(() => this.send(false), SEND_MS);
    this.frames.now();
  }

  /** @param {string} name @param {number} value */
  move(name, value) {
    this.setting = { ...this.setting, [name]: value };
    this.moved.add(name);
    this.dirty.setting = true;
  }

  /** @param {(row: {weight: string, start: number}) => number} value */
  setAll(value) {
    for (const row of this.rows ?? []) row.forget();
    for (const row of this.told?.rows ?? []) this.move(row.weight, value(row));
    this.send(true);
    this.frames.now();
  }

  /** @param {number} i */
  only(i) {
    const name = this.names[i];
    this.setAll((row) => (row.weight === name ? this.setting[name] || row.start || 1 : 0));
  }

  /** @param {boolean} done the finger has left the slider */
  send(done) {
    clearTimeout(this.sendTimer);
    this.sendTimer = 0;
    if (this.moved.size === 0) return;
    this.sent += 1;
    this.pending = true;
    const weights = Object.fromEntries([...this.moved].map((name) => [name, this.setting[name]]));
    if (done) this.moved.clear();
    this.kernel.send({ type: "weights", weights, done, seq: `${this.id}:${this.sent}` });
  }

  // From the kernel

  /** @param {Told} told */
  hear(told) {
    if (told.type === "more" && this.told === undefined) return;
    const before = this.told;
    this.told = told.type === "all" ? told : { ...before, ...told, rows: before.rows, offers: before.offers, upper: before.upper };
    if (told.type === "all") {
      this.wall.curves.clear();
      this.equip(told);
    }
    this.wall.add(told.curves);
    if (told.probe !== undefined) this.probe = told.probe;
    if (told.marks !== undefined) {
      this.marks = told.marks;
      this.changes.show(told.marks);
    }
    if (told.seq === `${this.id}:${this.sent}`) this.pending = false;
    if (!this.pending && this.moved.size === 0) this.setting = told.weights;
    this.transport.show(told);
    this.faults.show(told.active);
    this.note(told.status, told.failed);
    this.say(told.line);
    this.later("setting");
    this.later("curves");
  }

  /** Rows and faults of the session. @param {Told} told */
  equip(told) {
    const rows = told.rows ?? [];
    this.names = rows.map(({ weight }) => weight);
    this.rows = rows.map(({ weight, term, start }, i) => new WeightRow({
      id: `${this.id}-w${i}`, index: i, weight, term, adjustable: true, negative: false, upper: told.upper ?? 2,
      own: [start],
    }, {
      value: () => this.setting[weight], change: (value, done) => this.change(weight, value, done), only: () => this.only(i),
    }));
    this.weights.replaceChildren(...this.rows.map((row) => row.root));
    this.faults = new FaultMenu(`${this.id}-fault`, told.offers ?? [], (keys) => this.kernel.send({ type: "faults", keys }));
    const open = this.menu.querySelector("details")?.open ?? false;
    this.faults.root.open = open;
    this.menu.replaceChildren(this.faults.root);
    this.moved.clear();
    this.pending = false;
  }

  /** @param {string} text @param {boolean} failed */
  note(text, failed) {
    say(this.status, text);
    this.status.hidden = text === "";
    this.status.classList.toggle("kit-alarm", failed);
  }

  /** The diagnosis, seen at once, spoken seldom and politely. @param {string} text */
  say(text) {
    say(this.line, text || "Nothing was trained yet. Start, and what is seen is weighed here.");
    if (this.aloudTimer === 0 && this.aloud.textContent !== text) {
      this.aloudTimer = setTimeout(() => {
        this.aloudTimer = 0;
        say(this.aloud, this.told.line);
      }, ALOUD_MS);
    }
  }

  // Drawing

  /** @param {"setting"|"curves"} what */
  later(what) {
    this.dirty[what] = true;
    if (what === "curves" && this.calm.matches && this.told?.state === "running") {
      if (this.calmTimer === 0) this.calmTimer = setTimeout(() => this.draw("curves"), CALM_MS);
      if (!this.dirty.setting) return;
    }
    this.frames.later();
  }

  /** @param {"curves"|null} forced */
  draw(forced = null) {
    if (forced === "curves") this.calmTimer = 0;
    if (this.told === undefined) return;
    if (this.dirty.setting) this.drawSetting();
    this.dirty.setting = false;
    if (this.dirty.curves && (forced === "curves" || this.calmTimer === 0)) this.drawCurves();
    else return;
    this.dirty.curves = false;
  }

  drawSetting() {
    const { probe, setting, told } = this;
    this.rows.forEach((row, i) => {
      const name = this.names[i];
      const at = probe === null ? -1 : probe.weight_names.indexOf(name);
      row.show(setting[name], at < 0 || probe === null ? null : probe.cases[0].weights[at]);
      const kept = !this.pending && told.in_force[name] !== setting[name];
      row.message.title = kept ? "a fault keeps it there" : "";
      if (kept) row.flag(`kept at ${short(told.in_force[name])}`, false);
      else if (row.message.textContent?.startsWith("kept at ")) row.flag("");
    });
    const change = this.marks.findLast(({ kind }) => kind === "weight");
    this.acts.draw(probe, setting);
    this.acts.say(this.rows.length, this.pending || this.moved.size > 0, change, told.step);
  }

  drawCurves() {
    this.wall.draw(this.told.step, this.marks, this.root);
  }

  dispose() {
    this.send(true);
    this.kernel.dispose();
    this.sizes.disconnect();
    this.themes.disconnect();
    this.frames.stop();
    for (const timer of [this.calmTimer, this.sendTimer, this.aloudTimer]) clearTimeout(timer);
    this.root.remove();
  }
}

/** @param {{model: LiveModel, el: HTMLElement}} context @returns {() => void} cleanup */
export function renderLive({ model, el }) {
  const view = new LiveView(model, el);
  return () => view.dispose();
}

export default { render: renderLive };
