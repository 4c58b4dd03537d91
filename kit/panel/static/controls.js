/** Controls: one row per weight, buttons for whole settings, labelled selects. */

import { h, say, short, termColour } from "./drawing.js";
import { placeOf, rangeOf, stepFrom, stopsOf, valueAt } from "./scale.js";

/**
 * Jupyter binds arrows and letters at the document ("d d" deletes the cell). Keys typed into a control stay in it;
 * shortcuts with a modifier, Escape and Shift+Enter still reach the notebook.
 * @param {KeyboardEvent} event
 */
export function keepKeys(event) {
  const passes = event.ctrlKey || event.metaKey || event.altKey || event.key === "Escape"
    || (event.key === "Enter" && event.shiftKey);
  if (!passes) event.stopPropagation();
}

/** Lumino reads this on the focused element, not on its ancestors: every control carries it. */
const GUARD = { "data-lm-suppress-shortcuts": "true" };

/** @param {Object<string, string|boolean|null>} attributes @param {() => void} act @returns {HTMLButtonElement} */
export function button(attributes, act) {
  const node = h("button", { type: "button", ...GUARD, ...attributes });
  node.addEventListener("click", act);
  return node;
}

/**
 * @param {string} id @param {string} label @param {string} className @param {string[]} options
 * @param {(index: number) => void} act @returns {{root: HTMLElement, select: HTMLSelectElement}}
 */
export function choice(id, label, className, options, act) {
  const select = h("select", { id, class: className, ...GUARD },
    ...options.map((text, i) => h("option", { value: i, text })));
  select.addEventListener("change", () => act(Number(select.value)));
  return { root: h("div", { class: "kit-choice" }, h("label", { for: id, text: label }), select), select };
}

/**
 * @typedef {Object} States the chooser of a state
 * @property {HTMLElement} root
 * @property {(index: number) => void} show follows the state
 * @property {boolean} over it goes over the steps of one run
 */

/**
 * A slider over the probed steps of one run.
 * @param {string} id @param {string[]} titles "step 1", "step 51", ... @param {(index: number) => void} act
 * @returns {States}
 */
function stepSlider(id, titles, act) {
  const steps = titles.map((title) => title.replace(/^step /, ""));
  const last = titles.length - 1;
  const slider = h("input", { type: "range", id, class: "kit-step", min: 0, max: last, step: 1, value: 0, ...GUARD });
  slider.addEventListener("input", () => act(Number(slider.value)));
  const shown = h("output", { class: "kit-step-shown", for: id });
  shown.style.minWidth = `${steps[last].length}ch`; // the slider keeps its length
  /** @param {number} index */
  const show = (index) => {
    slider.value = String(index);
    slider.style.setProperty("--kit-at", String(index / last));
    slider.setAttribute("aria-valuetext", `step ${steps[index]}`);
    say(shown, steps[index]);
  };
  return { root: h("div", { class: "kit-choice kit-steps" }, h("label", { for: id, text: "Step" }), slider, shown), show,
    over: true };
}

/**
 * The probed states: a slider where they are steps of one run, else a list; nothing to choose where there is one.
 * @param {string} id @param {string[]} titles @param {(index: number) => void} act @returns {States}
 */
export function stateChooser(id, titles, act) {
  if (titles.length > 1 && titles.every((title) => /^step \d+$/.test(title))) return stepSlider(id, titles, act);
  const { root, select } = choice(id, "Probed state", "kit-case", titles, act);
  root.hidden = titles.length < 2;
  return { root, show: (index) => { select.value = String(index); }, over: false };
}

/** A typed number with a decimal point or comma; a number input would drop the comma and read 0,5 as 5.
 *  @param {string} text @returns {number} NaN for anything that is not one whole number or decimal */
export function parseNumber(text) {
  const plain = text.trim().replace("\u2212", "-");
  return /^[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?$/i.test(plain) ? Number(plain.replace(",", ".")) : NaN;
}

/**
 * @typedef {Object} Spec
 * @property {string} id unique on the page
 * @property {number} index
 * @property {string} weight
 * @property {string} term
 * @property {boolean} adjustable
 * @property {boolean} negative fixed because it was probed with a negative weight
 * @property {number} upper
 * @property {number[]} own values the slider has to stop at: those probed, those of presets
 */

/** Stops that a page key goes: an eighth of a decade. */
const PAGE = 20;

/** Slider, number box, "zero" and "only this" of one weight. The slider itself counts from 0 to 1, see scale.js. */
export class WeightRow {
  /** @type {HTMLInputElement} */ slider;
  /** @type {HTMLInputElement} */ box;
  /** @type {HTMLElement} */ tick;
  /** @type {HTMLElement} */ fixed;
  /** @type {HTMLElement} */ why;

  /** @param {Spec} spec
   *  @param {{value: () => number, change: (value: number, done: boolean) => void, only: () => void}} act */
  constructor(spec, act) {
    this.spec = spec;
    this.act = act;
    /** @type {number|null} the value both inputs show */
    this.shown = null;
    /** @type {number|null} */
    this.probed = null;
    /** Value and probed value that the marks stand for. */
    this.drawn = "";
    const { id, weight, term, upper } = spec;
    this.range = rangeOf(upper, spec.own);
    /** @type {number[]|null} made when a key asks for them */
    this.stops = null;
    const swatch = h("span", { class: "kit-swatch", "aria-hidden": "true" });
    swatch.style.background = termColour(spec.index);
    const names = [h("span", { class: "kit-weight-name", dir: "auto", text: weight, title: weight }),
      h("span", { class: "kit-term-name", dir: "auto", text: term, title: term })];
    const index = h("span", { class: "kit-index", "aria-hidden": "true", text: String(spec.index + 1) });
    this.message = h("p", { class: "kit-message", id: `${id}-message`, role: "alert", hidden: true });

    if (!spec.adjustable) {
      this.fixed = h("span", { class: "kit-fixed" });
      this.root = h("div", { class: "kit-row kit-row-fixed", "data-weight": weight },
        h("div", { class: "kit-row-name" }, swatch, index, h("span", { class: "kit-names" }, ...names)), this.fixed,
        this.why = h("p", { class: "kit-why", hidden: !spec.negative }));
      return;
    }

    this.slider = h("input", { type: "range", id: `${id}-slider`, min: 0, max: 1, step: "any", ...GUARD });
    for (const event of ["input", "change"]) {
      this.slider.addEventListener(event, () => this.act.change(
        valueAt(this.range, Number(this.slider.value), this.probed), event === "change"));
    }
    this.slider.addEventListener("keydown", (event) => this.press(event));
    this.tick = h("span", { class: "kit-tick", "aria-hidden": "true" });
    this.box = h("input", {
      type: "text", class: "kit-box", id: `${id}-box`, inputmode: "decimal", autocomplete: "off", spellcheck: "false",
      "aria-label": `${weight}, exact value`, "aria-describedby": `${id}-message`, ...GUARD,
    });
    this.box.addEventListener("focus", () => this.flag(""));
    this.box.addEventListener("input", () => this.type(false));
    this.box.addEventListener("change", () => this.type(true));
    this.root = h("div", { class: "kit-row", "data-weight": weight },
      h("label", { class: "kit-row-name", for: `${id}-slider` }, swatch, index,
        h("span", { class: "kit-names" }, ...names)),
      h("div", { class: "kit-row-buttons" },
        button({ class: "kit-zero", title: `zero ${weight}`, "aria-label": `zero ${weight}` },
          () => this.act.change(0, true)),
        button({ class: "kit-only", title: `only this: ${weight}`, "aria-label": `only this: ${weight}` }, this.act.only)),
      this.box, this.message, h("div", { class: "kit-slider" }, this.slider, this.tick));
  }

  /** From stop to stop; from the setting, as the row may be a frame behind it. @param {KeyboardEvent} event */
  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    /** @type {Object<string, number>} */
    const moves = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: PAGE, PageDown: -PAGE,
      Home: -Infinity, End: Infinity };
    if (!Object.hasOwn(moves, event.key)) return;
    event.preventDefault();
    this.stops ??= stopsOf(this.range, this.spec.own);
    this.act.change(stepFrom(this.stops, this.act.value(), moves[event.key]), true);
  }

  /** Reads the box. What cannot be set is answered in a few words, and the value in force comes back.
   *  @param {boolean} done the user has left the box or pressed Enter */
  type(done) {
    const { upper } = this.spec;
    const value = parseNumber(this.box.value);
    if (value >= 0 && value <= upper) {
      this.flag("");
      // Remember what was typed, so that "0.50" is not rewritten to "0.5" under the cursor.
      this.shown = value;
      this.act.change(value, done);
      return;
    }
    if (!done && this.box.value.trim() === "") return; // about to be typed
    this.flag(Number.isNaN(value) ? "a number, e.g. 0.5" : `0 to ${short(upper)}`, !done);
    if (done) this.box.value = String(this.act.value());
  }

  /** @param {string} text empty: nothing to say @param {boolean} invalid */
  flag(text, invalid = text !== "") {
    say(this.message, text);
    this.message.hidden = text === "";
    this.box.setAttribute("aria-invalid", String(invalid));
    this.root.classList.toggle("kit-row-invalid", invalid);
  }

  /** The next show() writes both inputs anew, whatever stands in them. */
  forget() {
    this.shown = null;
  }

  /** @param {number} value the setting @param {number|null} probed where the tick stands */
  show(value, probed) {
    const { adjustable } = this.spec;
    this.root.classList.toggle("kit-row-off", value === 0);
    if (!adjustable) {
      say(this.fixed, `fixed at ${short(value)}`);
      say(this.why, `${value < 0 ? "negative weight" : "negative in another probed state"}: shown, not adjustable`);
      return;
    }
    this.probed = probed;
    const place = placeOf(this.range, value);
    if (this.drawn !== `${value} ${probed}`) {
      this.drawn = `${value} ${probed}`;
      if (probed !== null) this.tick.style.setProperty("--kit-at", String(placeOf(this.range, probed)));
      this.slider.style.setProperty("--kit-at", String(place));
      this.slider.setAttribute("aria-valuetext", short(value));
    }
    if (Number(this.slider.value) !== place) this.slider.value = String(place);
    if (this.shown === value) return;
    this.shown = value;
    if (parseNumber(this.box.value) !== value) this.box.value = String(value);
    this.flag("");
  }
}
