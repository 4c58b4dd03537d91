/** Whole settings as buttons: those given under their hypothesis, and those that balance the gradients of the state shown. */

import { settle } from "./algebra.js";
import { button } from "./controls.js";
import { h, say } from "./drawing.js";

/** @typedef {import("./algebra.js").PanelData} PanelData */
/** @typedef {import("./algebra.js").Case} Case */
/** @typedef {import("./algebra.js").Preset} Preset */
/** @typedef {{state: Case, weights: Object<string, number>, note: string}} Asked */

const BALANCE = "Balance the gradients of this step (which weights the task needs is another question)";
const WAYS = [
  { key: "equal_gradient_norm", title: "equal gradient norm", what: "Every weighted gradient gets the same norm." },
  { key: "min_norm", title: "minimum norm (MGDA)", what: "The shortest mean of the gradients: a small step lowers every "
    + "term at the same rate or faster; if it is 0, no step lowers all of them." },
  { key: "upgrad", title: "no conflict (UPGrad)", what: "The mean of the gradients, each without what opposes another: a "
    + "small step raises no term." },
];

/** @param {PanelData} data @returns {Preset[]} those that at least one state has; data of an earlier kit has none */
function balancing(data) {
  return WAYS.filter(({ key }) => data.cases.some((probe) => probe.balanced?.[key]))
    .map((way) => ({ ...way, hypothesis: BALANCE, case: null, weights: null }));
}

/** What a preset asks for; null where the state has no such weights.
 *  @param {PanelData} data @param {Case} probe the state shown @param {Preset} preset @returns {Asked|null} */
export function askedBy(data, probe, preset) {
  const state = preset.case === null ? probe : data.cases[preset.case];
  if (preset.weights !== null) return { state, weights: preset.weights, note: "" };
  const found = state.balanced?.[preset.key];
  return found === undefined ? null : { state, ...found };
}

/** The buttons; the sentence of the one pointed at, focused or in force stands below. */
export class PresetList {
  /** @param {PanelData} data @param {string} id @param {(state: Case, weights: Object<string, number>) => void} act */
  constructor(data, id, act) {
    this.data = data;
    this.presets = [...data.presets, ...balancing(data)];
    /** The state shown. */
    this.probe = data.cases[0];
    /** @type {Preset|null} the preset in force */
    this.active = null;
    /** @type {Preset|null} the preset whose sentence stands below */
    this.told = null;
    this.what = h("p", { class: "kit-what", id: `${id}-what` });
    this.buttons = this.presets.map((preset) => {
      const node = button({
        class: "kit-preset", "data-preset": preset.key, "aria-pressed": "false", title: preset.what || null,
        "aria-describedby": `${id}-what`, dir: "auto", text: preset.title,
      }, () => {
        const asked = askedBy(data, this.probe, preset);
        if (asked !== null) act(asked.state, asked.weights);
      });
      for (const event of ["focus", "pointerenter"]) node.addEventListener(event, () => this.explain(preset));
      for (const event of ["blur", "pointerleave"]) node.addEventListener(event, () => this.explain(this.active));
      return node;
    });
    const groups = new Map();
    this.presets.forEach((preset, i) => {
      const name = preset.hypothesis || "Settings to try";
      groups.set(name, [...(groups.get(name) ?? []), this.buttons[i]]);
    });
    const blocks = [...groups].map(([name, nodes], i) => h("div", {
      class: "kit-preset-group", role: "group", "aria-labelledby": `${id}-group-${i}`,
    }, h("p", { class: "kit-hypothesis", id: `${id}-group-${i}`, dir: "auto", text: name }),
    h("div", { class: "kit-preset-buttons" }, ...nodes)));
    this.root = h("div", { class: "kit-presets", role: "group", "aria-label": "Presets", hidden: this.presets.length === 0 },
      ...blocks, this.what);
    this.explain(null);
  }

  /** @param {Preset|null} preset */
  explain(preset) {
    this.told = preset;
    say(this.what, preset === null ? "A preset fills in every weight at once." : this.words(preset));
  }

  /** @param {Preset} preset @returns {string} */
  words(preset) {
    const asked = askedBy(this.data, this.probe, preset);
    if (asked === null) return "Not in this state: there is no gradient to balance.";
    const { state, weights, note } = asked;
    const text = preset.what || preset.title;
    const same = settle(this.data, state, weights).every((w, i) => w === state.weights[i]);
    return [same ? text.replace(/(\.?)\s*$/, " (same as probed)$1") : text, note].filter(Boolean).join(" ");
  }

  /** @param {Case} probe the state shown @param {number[]} w the setting [m] */
  show(probe, w) {
    this.probe = probe;
    const asked = this.presets.map((preset) => askedBy(this.data, probe, preset));
    const pressed = asked.map((one) => one !== null && one.state === probe
      && settle(this.data, probe, one.weights).every((x, i) => x === w[i]));
    const active = this.presets[pressed.indexOf(true)] ?? null;
    this.buttons.forEach((node, i) => {
      const text = String(pressed[i]);
      if (node.getAttribute("aria-pressed") !== text) node.setAttribute("aria-pressed", text);
      if (node.disabled !== (asked[i] === null)) node.disabled = asked[i] === null;
    });
    const told = active === this.active ? this.told : active;
    this.active = active;
    this.explain(told);
  }
}
