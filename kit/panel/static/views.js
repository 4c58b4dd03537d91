/** The three plots of a setting, and what is chosen for them: a layer group, and the reach of the axes. */

import { WHOLE, cosines, gram } from "./algebra.js";
import { choice } from "./controls.js";
import { BarPlot, CosineTable, h } from "./drawing.js";
import { groupLabel, gradientsPlot, nextChanges, partsPlot, rising } from "./readings.js";

/** @typedef {import("./algebra.js").PanelData} PanelData */
/** @typedef {import("./algebra.js").Case} Case */
/** @typedef {import("./readings.js").Plot} Plot */

/** What each term adds to the total, its gradient, and which gradients oppose each other. */
export class Views {
  /**
   * @param {string[]} names terms @param {string} id unique on the page @param {number} level of the headings
   * @param {Views|undefined} before whose choices are kept @param {() => void} changed a choice was made
   */
  constructor(names, id, level, before, changed) {
    this.group = before?.group ?? WHOLE;
    this.wholeAxis = before?.wholeAxis ?? false;
    this.parts = new BarPlot({
      kind: "parts", level, question: "Which term makes the total?",
      caption: "Healthy: the terms you care about make most of it. Faulty: one term hides the others, or the total "
        + "reads 0 because nothing is weighed.",
    });
    this.gradients = new BarPlot({
      kind: "gradients", level, question: "How large is the gradient of each term?",
      caption: "Healthy: the total\u2019s bar comes close to the diamond, the sum of norms. Faulty: it stays far from "
        + "it because terms cancel, or it is 0 and nothing is learned.",
    });
    this.gradients.root.append(h("p", { class: "kit-caption" }, h("strong", { text: "Which terms get better with this setting?" }),
      h("span", { text: " \u25bc falls, \u25b2 rises: the change of each term, in % of its value, by a plain gradient step that "
        + "takes 1\u2009% off the total (first order, whole network)." })));
    this.angles = new CosineTable(names, {
      level, question: "Do the gradients point in the same direction?",
      caption: "Healthy: near 0 or positive. Faulty: a marked corner, one term undoes the other "
        + "(marked: cosine \u2264 \u22120.1).",
    });
    /** What the angles were drawn for. @type {{of: Case|null, group: number, signs: string}} */
    this.turned = { of: null, group: WHOLE, signs: "" };
    const groups = choice(`${id}-group`, "Layer group", "kit-group", ["Whole network"], (i) => {
      this.group = i - 1;
      changed();
    });
    const scale = choice(`${id}-scale`, "Axes", "kit-scale", ["near the setting", "whole slider range"], (i) => {
      this.wholeAxis = i === 1;
      changed();
    });
    this.groupSelect = groups.select;
    scale.select.value = this.wholeAxis ? "1" : "0";
    this.plots = h("div", { class: "kit-plots" }, this.parts.root, this.gradients.root);
    this.options = h("div", { class: "kit-view-options" }, groups.root, scale.root);
  }

  /** The layer groups of another probed state. @param {Case} probe */
  showCase(probe) {
    if (this.group >= probe.groups.length) this.group = WHOLE;
    this.groupSelect.replaceChildren(...[WHOLE, ...probe.groups.keys()].map(
      (group) => h("option", { value: group + 1, text: groupLabel(probe, group) })));
    this.groupSelect.value = String(this.group + 1);
  }

  /** @param {PanelData} data @param {Case} probe @param {number[]} w 
   *  @returns {{parts: Plot, gradients: Plot, rises: string}} what was drawn, and which terms the next step raises */
  draw(data, probe, w) {
    const parts = partsPlot(data, probe, w, this.wholeAxis);
    this.parts.update(parts.bars, parts.axis, parts.remark);
    const gradients = gradientsPlot(data, probe, w, this.group, this.wholeAxis);
    const changes = nextChanges(probe, w);
    const bars = gradients.bars.map((bar, i) => ({ ...bar, next: changes[i] ?? null }));
    this.gradients.update(bars, gradients.axis, gradients.remark);
    // an angle does not change with the size of a weight
    const signs = w.map(Math.sign).join();
    const { of, group } = this.turned;
    if (of !== probe || group !== this.group || this.turned.signs !== signs) {
      this.turned = { of: probe, group: this.group, signs };
      this.angles.update(cosines(probe, w, this.group), w, gram(probe, this.group));
    }
    return { parts, gradients, rises: rising(data, changes) };
  }
}
