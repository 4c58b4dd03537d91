/** The panel: reads the model, draws it, writes settings back. Entry point of the module. */

import { gradNorm, settle, total } from "./algebra.js";
import { WeightRow, button, keepKeys, stateChooser } from "./controls.js";
import { h, say } from "./drawing.js";
import { Exported } from "./exported.js";
import { Frames } from "./frames.js";
import { InForce } from "./in_force.js";
import { PresetList } from "./presets.js";
import { Readout } from "./readout.js";
import { allZero, checkLine, meaning } from "./readings.js";
import { Views } from "./views.js";

const SYNC_MS = 100; // to the kernel while dragging
const SPEAK_MS = 700; // to screen readers, after the last change

/** @typedef {import("./algebra.js").PanelData} PanelData */
/** @typedef {import("./algebra.js").Case} Case */
/** @typedef {import("./controls.js").States} States */

/**
 * @typedef {Object} Model the functions of a widget model that are used, in the notebook and in the page
 * @property {(name: string) => any} get
 * @property {(name: string, value: any) => void} set
 * @property {(name: string, act: (message?: any) => void) => void} on
 * @property {(name: string, act: (message?: any) => void) => void} off
 * @property {() => void} save_changes
 * @property {(content: Object<string, any>) => void} send
 * @property {any} [widget_manager] of the notebook; an exported page has none
 */

let instances = 0;

/** One view of one model. */
class PanelView {
  /** @type {PanelData} */ data;
  /** @type {Readout} */ readout;
  /** @type {HTMLElement} */ badge;
  /** @type {HTMLElement} */ meaning;
  /** @type {HTMLElement} */ check;
  /** @type {HTMLElement} */ live;
  /** @type {HTMLElement|undefined} */ problem;
  /** @type {WeightRow[]} */ rows;
  /** @type {PresetList} */ presets;
  /** @type {States} */ states;
  /** @type {InForce|null} */ inForce;
  /** @type {HTMLElement} */ caseNote;
  /** @type {Views} */ views;
  /** @type {HTMLTextAreaElement} */ note;
  /** @type {Exported} */ exported;
  /** @type {HTMLElement} */ exportBox;
  /** @type {Case|null} */ shownCase;

  /** @param {Model} model @param {HTMLElement} el */
  constructor(model, el) {
    instances += 1;
    this.id = `kit-${instances}-${Math.random().toString(36).slice(2, 8)}`;
    this.model = model;
    this.frames = new Frames(() => this.attempt());
    this.syncTimer = 0;
    this.speakTimer = 0;
    /** @type {Array<[string, () => void]>} */
    this.listeners = ["weights", "case", "note", "status", "written", "can_export"].map(
      (name) => [`change:${name}`, () => this.frames.later()]);
    this.listeners.push(["change:data", () => this.rebuild()], ["change:title", () => this.rebuild()]);
    this.root = h("div", { class: "kit-panel", role: "group", "aria-label": "What-if panel" });
    this.root.addEventListener("keydown", keepKeys);
    el.append(this.root);
    this.rebuild();
    for (const [name, act] of this.listeners) model.on(name, act);
  }

  /** @returns {Case} the probed state shown */
  get probe() {
    return this.data.cases.find((probe) => probe.title === this.model.get("case")) ?? this.data.cases[0];
  }

  /** @returns {number[]} the setting, in the order of the terms */
  get setting() {
    return settle(this.data, this.probe, this.model.get("weights") ?? {});
  }

  /** Adjustable weights by name. @param {number[]} w @returns {Object<string, number>} */
  named(w) {
    return Object.fromEntries(
      this.data.weight_names.map((name, i) => [name, w[i]]).filter((_, i) => this.data.adjustable[i]));
  }

  /** The model is the only state: setting it calls every view of it, this one too.
   *  @param {number[]} w @param {boolean} done */
  put(w, done) {
    this.model.set("weights", this.named(w));
    if (done) this.sync();
    else this.syncSoon();
  }

  /** A whole setting at once; text in a box that was not understood goes with it. @param {number[]} w */
  putAll(w) {
    for (const row of this.rows) row.forget();
    this.put(w, true);
    this.frames.now();
  }

  syncSoon() {
    if (this.syncTimer === 0) this.syncTimer = setTimeout(() => this.sync(), SYNC_MS);
  }

  sync() {
    clearTimeout(this.syncTimer);
    this.syncTimer = 0;
    this.model.save_changes();
  }

  /** @param {number} i @param {number} value @param {boolean} done */
  change(i, value, done) {
    this.put(this.setting.map((w, j) => (j === i ? value : w)), done);
    this.frames.now();
  }

  /** @param {number} i */
  only(i) {
    const own = this.setting[i] || this.probe.weights[i] || Math.min(1, this.data.upper);
    this.putAll(this.setting.map((w, j) => (j === i ? own : (this.data.adjustable[j] ? 0 : w))));
  }

  /** A setting that was as probed stays as probed in the new state; a setting made by hand is kept.
   *  @param {Case} next @param {Object<string, number>|null} weights */
  show(next, weights = null) {
    const asProbed = this.setting.every((w, i) => w === this.probe.weights[i]);
    const w = weights === null && !asProbed ? this.setting : settle(this.data, next, weights ?? {});
    this.model.set("case", next.title);
    this.putAll(w);
  }

  export() {
    clearTimeout(this.syncTimer);
    this.syncTimer = 0;
    this.model.save_changes();
    // The setting travels with the message too: state updates may still wait behind one that is on its way.
    this.model.send({
      type: "export", weights: this.named(this.setting), case: this.probe.title, note: this.model.get("note") ?? "",
    });
  }

  rebuild() {
    try {
      this.data = this.model.get("data");
      this.build();
      this.draw();
    } catch (error) {
      this.fail(error);
    }
  }

  build() {
    const { data, id } = this;
    const title = this.model.get("title") || "";
    const level = title === "" ? 3 : 4;
    this.badge = h("p", { class: "kit-badge" });
    this.readout = new Readout(this.badge);
    // of one height, whatever it says: nothing moves under the pointer
    this.meaning = h("p", { class: "kit-meaning" });
    this.check = h("p", { class: "kit-check" });
    this.live = h("p", { class: "kit-hidden", role: "status" });
    this.problem = h("p", { class: "kit-problem", role: "alert", hidden: true });
    this.rows = data.weight_names.map((weight, i) => new WeightRow({
      id: `${id}-w${i}`, index: i, weight, term: data.names[i], adjustable: data.adjustable[i],
      negative: Boolean(data.negative?.[i]), upper: data.upper,
      own: [...data.cases.map((probe) => probe.weights[i]), ...data.presets.map((preset) => preset.weights?.[weight] ?? 0)],
    }, {
      value: () => this.setting[i], change: (value, done) => this.change(i, value, done), only: () => this.only(i),
    }));
    this.presets = new PresetList(data, `${id}-preset`, (state, weights) => this.show(state, weights));
    this.states = stateChooser(`${id}-case`, data.cases.map((probe) => probe.title), (i) => this.show(data.cases[i]));
    this.inForce = this.states.over ? new InForce(data, level) : null;
    this.caseNote = h("p", { class: "kit-case-note", dir: "auto" });
    this.views = new Views(data.names, id, level, this.views, () => this.frames.later());
    this.makeExport();
    this.shownCase = null;
    this.root.replaceChildren(
      h("header", { class: "kit-head" },
        title === "" ? null : h("h3", { class: "kit-title", dir: "auto", text: title }), this.states.root, this.problem),
      h("div", { class: "kit-play" },
        h("div", { class: "kit-near" }, this.readout.root, this.meaning,
          h("div", { class: "kit-controls" },
            h("div", { class: "kit-toolbar" },
              h("span", { class: "kit-toolbar-name", text: "Weights" }),
              button({ class: "kit-all-zero", text: "all zero" },
                () => this.putAll(this.setting.map((w, i) => (data.adjustable[i] ? 0 : w)))),
              button({ class: "kit-reset", text: "reset", title: "the first probed state, its weights as probed" },
                () => this.show(data.cases[0], {}))),
            h("div", { class: "kit-rows" }, ...this.rows.map((row) => row.root)),
            this.inForce?.root ?? null)),
        this.views.plots),
      this.presets.root, this.views.options, this.views.angles.root,
      h("footer", { class: "kit-foot" }, this.caseNote, this.check,
        h("p", { class: "kit-again", hidden: this.model.widget_manager === undefined,
          text: "Live while the kernel runs. After a restart, run this cell again." }), this.exportBox), this.live);
  }

  makeExport() {
    const id = `${this.id}-note`;
    this.note = h("textarea", { id, class: "kit-note", rows: 2, dir: "auto", "data-lm-suppress-shortcuts": "true" });
    this.note.addEventListener("input", () => {
      this.model.set("note", this.note.value);
      this.syncSoon();
    });
    this.note.addEventListener("change", () => this.sync());
    this.exported = new Exported(this.model);
    this.exportBox = h("div", { class: "kit-export-box" },
      h("label", { for: id, text: "Note for the finding" }), this.note,
      h("div", { class: "kit-export-line" },
        button({ class: "kit-export", text: "Export finding (HTML)" }, () => this.export()), this.exported.root));
  }

  attempt() {
    try {
      this.draw();
    } catch (error) {
      this.fail(error);
    }
  }

  /** @param {unknown} error */
  fail(error) {
    this.problem ??= h("p", { class: "kit-problem", role: "alert" });
    if (!this.problem.isConnected) this.root.prepend(this.problem);
    this.problem.textContent = `The panel could not be drawn: ${error instanceof Error ? error.message : error}`;
    this.problem.hidden = false;
  }

  draw() {
    const { probe, model } = this;
    const w = this.setting;
    if (this.shownCase !== probe) this.showCase(probe);
    this.rows.forEach((row, i) => row.show(w[i], probe.weights[i]));
    this.presets.show(probe, w);
    this.drawReadout(w);
    this.exportBox.hidden = !model.get("can_export");
    this.exported.draw();
    const note = model.get("note") ?? "";
    if (this.note.value !== note) this.note.value = note;
    if (this.problem !== undefined) this.problem.hidden = true;
  }

  /** @param {Case} probe */
  showCase(probe) {
    this.shownCase = probe;
    this.states.show(this.data.cases.indexOf(probe));
    this.inForce?.show(this.data.cases.indexOf(probe));
    say(this.caseNote, probe.note ?? "");
    this.caseNote.hidden = !probe.note;
    this.views.showCase(probe);
    say(this.check, checkLine(probe));
    this.check.classList.toggle("kit-check-bad", probe.residual !== null && probe.residual > 1e-3);
  }

  /** The charts and the two numbers. @param {number[]} w */
  drawReadout(w) {
    const { data, probe } = this;
    const plots = this.views.draw(data, probe, w);
    const spoken = this.readout.show(total(probe, w), gradNorm(probe, w), allZero(w), plots.parts, plots.gradients);
    const asProbed = w.every((w_i, i) => w_i === probe.weights[i]);
    say(this.badge, asProbed ? "as probed" : "re-weighted at this step, not retrained");
    this.badge.classList.toggle("kit-badge-changed", !asProbed);
    const { text, alarm } = meaning(data, probe, w);
    say(this.meaning, text);
    this.meaning.classList.toggle("kit-alarm", alarm);
    clearTimeout(this.speakTimer);
    this.speakTimer = setTimeout(() => say(this.live, `${spoken}, ${this.badge.textContent}. ${text} ${plots.rises}`), SPEAK_MS);
  }

  dispose() {
    for (const [name, act] of this.listeners) this.model.off(name, act);
    this.frames.stop();
    clearTimeout(this.speakTimer);
    if (this.syncTimer !== 0) this.sync();
    this.root.remove();
  }
}

/** @param {{model: Model, el: HTMLElement}} context @returns {() => void} cleanup */
export function render({ model, el }) {
  const view = new PanelView(model, el);
  return () => view.dispose();
}

export default { render };
