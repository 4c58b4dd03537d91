/** Controls of a training that runs: start and pause, one step, reset, progress, faults by hypothesis, the list of changes. */

import { button } from "./controls.js";
import { h, say } from "./drawing.js";

/** @typedef {import("./live_charts.js").Mark} Mark */
/** @typedef {{key: string, title: string, group: string, what: string, unfit: string, suggested?: boolean}} Offer */

const WORDS = /** @type {Object<string, string>} */ ({
  "": "waiting for the kernel", ready: "ready", running: "running", paused: "paused", finished: "finished",
  retired: "moved to a newer panel",
});

/** Start or pause, one step, reset; where the run stands. */
export class Transport {
  /** @param {string} id @param {(type: string) => void} act */
  constructor(id, act) {
    this.state = "";
    this.go = button({ class: "kit-live-go", text: "Start" }, () => act(this.state === "running" ? "pause" : "start"));
    this.step = button({ class: "kit-live-step", text: "One step" }, () => act("step"));
    this.reset = button({ class: "kit-live-reset", text: "Reset", title: "the network, its batches and weights as at the start" },
      () => act("reset"));
    this.bar = h("progress", { class: "kit-live-bar", id: `${id}-bar`, max: 1, value: 0, "aria-label": "Progress of the run" });
    this.where = h("span", { class: "kit-live-where" });
    this.badge = h("span", { class: "kit-badge kit-live-state" });
    this.root = h("div", { class: "kit-live-transport", role: "group", "aria-label": "Training" },
      h("div", { class: "kit-live-buttons" }, this.go, this.step, this.reset, this.badge),
      h("div", { class: "kit-live-progress" }, this.bar, this.where));
  }

  /** @param {{state: string, step: number, epoch: number, planned: number|null}} now */
  show({ state, step, epoch, planned }) {
    this.state = state;
    say(this.go, state === "running" ? "Pause" : "Start");
    this.go.classList.toggle("kit-live-running", state === "running");
    // aria-disabled, not disabled: a button that goes off under the finger keeps the focus
    const off = state === "" || state === "retired";
    this.go.setAttribute("aria-disabled", String(off || state === "finished"));
    this.step.setAttribute("aria-disabled", String(off || state === "finished"));
    this.reset.setAttribute("aria-disabled", String(off));
    say(this.badge, WORDS[state] ?? state);
    this.badge.classList.toggle("kit-badge-changed", state === "running");
    const of = planned === null ? "" : ` of ${planned}`;
    say(this.where, step === 0 ? `0${of} batches` : `epoch ${epoch}, batch ${step}${of}`);
    this.bar.hidden = planned === null;
    this.bar.value = planned ? Math.min(1, step / planned) : 0;
    this.bar.setAttribute("aria-valuetext", this.where.textContent ?? "");
  }
}

const REFUSED_MS = 3000; // after which a fault that the kernel did not switch on is shown as off

/** Every fault under the hypothesis that it makes true. */
export class FaultMenu {
  /** @param {string} id @param {Offer[]} offers @param {(keys: string[]) => void} change */
  constructor(id, offers, change) {
    /** @type {Map<string, HTMLInputElement>} */
    this.boxes = new Map();
    /** @type {string[]} in the order in which they came */
    this.active = [];
    /** @type {string[]|null} what was pressed and is not confirmed: older news does not undo it */
    this.asked = null;
    this.waiting = 0;
    /** @param {string[]} keys */
    const ask = (keys) => {
      this.asked = keys;
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => { this.asked = null; this.show(this.active); }, REFUSED_MS);
      change(keys);
    };
    this.titles = new Map(offers.map(({ key, title }) => [key, title]));
    const suggested = offers.filter((offer) => offer.suggested).map(({ title }) => `\u201c${title}\u201d`);
    this.none = suggested.length === 0 ? "none is on" : `none is on; to try here: ${suggested.join(", ")}`;
    /** @type {Map<string, HTMLElement[]>} */
    const groups = new Map();
    offers.forEach((offer, i) => {
      const what = offer.unfit === "" ? offer.what : `Not possible here: ${offer.unfit}`;
      const box = h("input", {
        type: "checkbox", id: `${id}-${i}`, title: what, disabled: offer.unfit !== "", "data-lm-suppress-shortcuts": "true",
      });
      box.addEventListener("change", () => {
        const others = (this.asked ?? this.active).filter((key) => key !== offer.key);
        ask(box.checked ? [...others, offer.key] : others);
      });
      this.boxes.set(offer.key, box);
      const chip = h("label", { class: "kit-live-fault", title: what }, box, h("span", { dir: "auto", text: offer.title }));
      // what it does, also for a finger and for the keyboard
      for (const event of ["pointerenter", "focusin", "change"]) {
        chip.addEventListener(event, () => say(this.what, what || offer.title));
      }
      groups.set(offer.group, [...(groups.get(offer.group) ?? []), chip]);
    });
    this.what = h("p", { class: "kit-live-what", dir: "auto", "aria-hidden": "true" });
    this.count = h("span", { class: "kit-live-count" });
    this.off = button({ class: "kit-live-no-fault", text: "no fault" }, () => ask([]));
    this.root = h("details", { class: "kit-live-faults", hidden: offers.length === 0 },
      h("summary", { "data-lm-suppress-shortcuts": "true" }, h("span", { class: "kit-toolbar-name", text: "Faults" }), this.count),
      h("div", { class: "kit-live-groups" }, ...[...groups].map(([name, rows]) => h("fieldset", {},
        h("legend", { dir: "auto", text: name }), h("div", { class: "kit-live-chips" }, ...rows)))),
      h("div", { class: "kit-live-foot" }, this.off, this.what));
  }

  /** @param {string[]} active */
  show(active) {
    this.active = active;
    if (this.asked?.length === active.length && this.asked.every((key) => active.includes(key))) this.asked = null;
    const shown = this.asked ?? active;
    for (const [key, box] of this.boxes) box.checked = shown.includes(key);
    say(this.count, active.length === 0 ? this.none
      : `on: ${active.map((key) => this.titles.get(key) ?? key).join("; ")}`);
    this.root.classList.toggle("kit-live-faulty", active.length > 0);
    this.off.setAttribute("aria-disabled", String(active.length === 0));
  }
}

/** What was changed, in words, with the numbers that stand on the charts. */
export class ChangeList {
  /** @param {string} id */
  constructor(id) {
    // it scrolls when it is long, and whoever has no mouse has to get into it
    this.list = h("ol", { class: "kit-live-changes", "aria-labelledby": `${id}-title`, tabindex: 0,
      "data-lm-suppress-shortcuts": "true" });
    this.root = h("section", { class: "kit-live-changed", hidden: true },
      h("p", { class: "kit-toolbar-name", id: `${id}-title`, text: "Changes, as marked on the curves" }), this.list);
  }

  /** @param {Mark[]} marks */
  show(marks) {
    this.root.hidden = marks.length === 0;
    this.list.replaceChildren(...marks.map((mark) => h("li", { dir: "auto" },
      h("span", { text: mark.kind === "fault" ? "\u25b2 " : "", "aria-hidden": "true" }),
      h("span", { class: "kit-live-when", text: `after batch ${mark.step}: ` }), h("span", { text: mark.text }))));
    this.list.scrollTop = this.list.scrollHeight;
  }
}
