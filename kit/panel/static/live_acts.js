/** The two things a slider does: what-if on the last probed batch, at once; and the training of the batches that follow. */

import { gradNorm, settle, total } from "./algebra.js";
import { BarPlot, h, number, say } from "./drawing.js";
import { Readout } from "./readout.js";
import { allZero, partsPlot, gradientsPlot } from "./readings.js";

/** @typedef {import("./algebra.js").PanelData} PanelData */
/** @typedef {import("./live_charts.js").Mark} Mark */
/** @typedef {PanelData & {step: number}} Probed */

/** Numbers and words beside the sliders, and the bars of the what-if. */
export class TwoActs {
  constructor() {
    this.readout = new Readout();
    this.now = h("p", { class: "kit-live-now", dir: "auto" });
    this.next = h("p", { class: "kit-live-next", dir: "auto" });
    this.words = h("div", { class: "kit-live-acts" },
      h("span", { class: "kit-badge", text: "re-weighted" }), this.now,
      h("span", { class: "kit-badge", text: "training with these weights" }), this.next);
    this.parts = new BarPlot({
      kind: "parts", level: 4, question: "Re-weighted: which term makes the total?",
      caption: "The last probed batch under the setting of the sliders. It moves at once; no network runs.",
    });
    this.gradients = new BarPlot({
      kind: "gradients", level: 4, question: "Re-weighted: how large is each gradient?",
      caption: "The same for the gradient: the norm of each weighted term, and how much of it cancels.",
    });
    this.plots = h("div", { class: "kit-plots kit-live-whatif", hidden: true }, this.parts.root, this.gradients.root);
  }

  /** What-if. @param {Probed|null} probe @param {Object<string, number>} setting */
  draw(probe, setting) {
    this.plots.hidden = this.readout.root.hidden = probe === null;
    if (probe === null) {
      say(this.now, "The network could not be probed here, so there is no what-if; training goes on.");
      return;
    }
    const seen = probe.cases[0];
    const w = settle(probe, seen, setting);
    const same = w.every((w_i, i) => w_i === seen.weights[i]);
    const [value, was] = [total(seen, w), total(seen, seen.weights)];
    const [norm, before] = [gradNorm(seen, w), gradNorm(seen, seen.weights)];
    const place = probe.step === 0 ? "Before the first batch" : `At the last probed batch (${probe.step})`;
    say(this.now, same ? `${place}: total ${number(value)}, |g| ${number(norm)}, as probed.`
      : `${place}: total ${number(was)} \u2192 ${number(value)}, |g| ${number(before)} \u2192 ${number(norm)}. `
        + "At once; nothing is trained for it.");
    const parts = partsPlot(probe, seen, w, false);
    this.parts.update(parts.bars, parts.axis, parts.remark);
    const gradients = gradientsPlot(probe, seen, w, -1, false);
    this.gradients.update(gradients.bars, gradients.axis, gradients.remark);
    this.readout.show(value, norm, allZero(w), parts, gradients);
  }

  /** Training. @param {number} count of weights @param {boolean} pending not confirmed yet
   *  @param {Mark|undefined} change the last one of a weight @param {number} step */
  say(count, pending, change, step) {
    let text = "From the next batch on.";
    if (count === 0) text = "The loss has no weights lam_* to move.";
    else if (pending) text = "On the way to the kernel.";
    else if (change === undefined) text = "No weight was changed: the run\u2019s own.";
    else if (change.step < step) {
      const since = step - change.step;
      text = `Since batch ${change.step + 1}: ${since === 1 ? "1 batch" : `${since} batches`} so far.`;
    }
    say(this.next, text);
  }
}
