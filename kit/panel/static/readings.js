/** What a setting means, as plain values for the plots and the read-out: no element is touched here. */

import { WHOLE, axisEnds, finite, gradNorm, nextStep, shares, sum, termNorms, total, weighted } from "./algebra.js";
import { number, short, termColour } from "./drawing.js";

/** Of the sum of norms: a total gradient below it is rounding of terms that cancel. */
const CANCELLED = 1e-12;

/** @typedef {import("./algebra.js").PanelData} PanelData */
/** @typedef {import("./algebra.js").Case} Case */
/** @typedef {import("./drawing.js").Bar} Bar */
/** @typedef {{bars: Bar[], axis: [number, number], terms: [number, number], remark: string}} Plot `terms`: the axis of the
 *  terms alone, for a small picture */

/** @param {number[]} w @returns {boolean} */
export const allZero = (w) => w.every((w_i) => w_i === 0);

/** The farthest corner of the slider box. @param {PanelData} data @param {Case} probe @returns {number[]} */
function corner(data, probe) {
  return probe.weights.map((w_i, i) => (data.adjustable[i] ? data.upper : w_i));
}

/** A name inside a sentence: cut, and isolated so that right-to-left letters keep to themselves.
 *  @param {string} name @returns {string} */
function quote(name) {
  const letters = Array.from(name);
  return `\u2068${letters.length > 40 ? `${letters.slice(0, 39).join("")}\u2026` : name}\u2069`;
}

/** @param {(number|null)[]} values @returns {number} index of the largest size */
function largest(values) {
  let best = 0;
  values.forEach((v, i) => {
    if (Math.abs(v ?? 0) > Math.abs(values[best] ?? 0)) best = i;
  });
  return best;
}

/**
 * The setting in one sentence. `alarm` where the bare numbers would mislead.
 * @param {PanelData} data @param {Case} probe @param {number[]} w @returns {{text: string, alarm: boolean}}
 */
export function meaning(data, probe, w) {
  const alarm = (/** @type {string} */ text) => ({ text, alarm: true });
  const value = total(probe, w);
  const norm = gradNorm(probe, w);
  if (allZero(w)) {
    return alarm("Every weight is zero: the loss returns 0 whatever the network predicts, and nothing is learned.");
  }
  if (value === null) {
    return alarm("A term in force is not finite, so the total is not finite. Set its weight to zero to leave it out.");
  }
  if (norm === null) {
    return alarm("The gradient of a term in force is not finite: a step with this gradient would make the "
      + "parameters not finite, unless the loop refuses it.");
  }
  if (value === 0 && norm === 0) {
    return alarm("The terms in force are 0 here and give no gradient: the loss reads 0 and nothing is learned.");
  }
  if (norm === 0) return alarm("The total is not 0, but no gradient reaches the network: nothing is learned.");
  const part = largest(weighted(probe, w));
  const gradient = largest(termNorms(probe, w));
  const share = shares(probe, w)[part];
  const size = share !== null && share > 0 && share <= 1 ? `, ${Math.round(100 * share)}\u2009% of the total` : "";
  return {
    text: `Largest part: ${quote(data.names[part])}${size}. Largest gradient: ${quote(data.names[gradient])}.`, alarm: false,
  };
}

/** Weighted values per term and their sum. @param {PanelData} data @param {Case} probe @param {number[]} w
 *  @param {boolean} fixed axis over the whole slider range @returns {Plot} */
export function partsPlot(data, probe, w, fixed) {
  const parts = weighted(probe, w);
  const value = total(probe, w);
  const share = shares(probe, w);
  /** @type {Bar[]} */
  const bars = parts.map((part, i) => ({
    name: data.names[i], index: i, value: part, share: value === 0 ? undefined : share[i], colour: termColour(i),
    detail: `${short(w[i])} \u00d7 ${number(probe.L[i])}`, off: w[i] === 0,
  }));
  bars.push({
    name: "total", detail: "sum of the bars above", value, sum: true, text: allZero(w) ? "0 exactly" : undefined,
  });
  const far = corner(data, probe);
  const own = [...parts, ...weighted(probe, probe.weights)];
  const fits = [...own, value, total(probe, probe.weights)];
  if (fixed) {
    const ends = weighted(probe, far);
    fits.push(probe.axes.total, sum(ends.map((part) => Math.min(0, part ?? 0))), ...ends);
  }
  return { bars, axis: axisEnds(fits), terms: axisEnds(own), remark: "" };
}

/** Weighted gradient norms per term, the norm of their sum and, as a diamond, the sum of the norms.
 *  @param {PanelData} data @param {Case} probe @param {number[]} w @param {number} group @param {boolean} fixed
 *  @returns {Plot} */
export function gradientsPlot(data, probe, w, group, fixed) {
  const norms = termNorms(probe, w, group);
  const unit = termNorms(probe, w.map(() => 1), group);
  const norm = gradNorm(probe, w, group);
  const reach = sum(norms);
  /** @type {Bar[]} */
  const bars = norms.map((value, i) => ({
    name: data.names[i], index: i, value, colour: termColour(i), off: w[i] === 0,
    detail: `${short(w[i])} \u00d7 ${number(unit[i])}`,
  }));
  bars.push({
    name: "total gradient", detail: `\u25c6 sum of norms ${number(reach)}`, value: norm, sum: true, reach,
    text: allZero(w) ? "0 exactly" : undefined,
  });
  const before = termNorms(probe, probe.weights, group);
  const own = [...norms, ...before];
  const fits = [...own, norm, reach, sum(before)];
  if (fixed) {
    const limit = group === WHOLE ? probe.axes.gradient : probe.axes.gradient_groups[group];
    fits.push(limit, sum(termNorms(probe, corner(data, probe), group)));
  }
  return { bars, axis: axisEnds(fits), terms: axisEnds(own), remark: cancellation(norm, reach) };
}

/** @param {number|null} norm @param {number|null} reach @returns {string} */
function cancellation(norm, reach) {
  if (norm === null || reach === null) return "A gradient in force is not finite.";
  if (reach === 0) return "No term in force has a gradient here.";
  if (norm <= CANCELLED * reach) return "The terms cancel completely.";
  const lost = Math.round(100 * (1 - norm / reach));
  return lost < 1 ? "The gradients agree: nothing is lost."
    : `${lost}\u2009% of the sum of norms is lost: the gradients point in different directions.`;
}

/** @typedef {import("./drawing.js").Change} Change */

/** @param {number} percent > 0 @returns {string} */
function amountOf(percent) {
  if (percent < 0.01) return "<0.01\u2009%";
  return percent >= 1000 ? ">999\u2009%" : `${Number(percent.toPrecision(3))}\u2009%`;
}

/**
 * Which terms get better? The change of each by a plain gradient step, in % of its value, for the step that takes 1 % off
 * the total; without an amount where the total or the value is 0.
 * @param {Case} probe @param {number[]} w @returns {Change[]} [m]
 */
export function nextChanges(probe, w) {
  const unit = termNorms(probe, w.map(() => 1));
  const reach = sum(termNorms(probe, w));
  const [whole, norm] = [total(probe, w), gradNorm(probe, w)];
  const lr = whole && norm ? Math.abs(whole) / norm ** 2 : null; // times 1 %, in % of a value: the factors are one
  return nextStep(probe, w, 1).map((slope, i) => {
    if (slope === null) return { value: null, percent: null, mark: "\u00d7", amount: "", said: "change not known" };
    if (Math.abs(slope) <= CANCELLED * (unit[i] ?? 0) * (reach ?? 0)) {
      return { value: slope, percent: 0, mark: "\u2013", amount: "", said: "unchanged by the next step" };
    }
    const percent = lr !== null && probe.L[i] ? finite(slope * lr / Math.abs(probe.L[i])) : null;
    const amount = percent === null ? "" : amountOf(Math.abs(percent));
    return { value: slope, percent, mark: slope < 0 ? "\u25bc" : "\u25b2", amount,
      said: `${slope < 0 ? "falls" : "rises"} at the next step${amount && `, by ${amount}`}` };
  });
}

/** For a screen reader. @param {PanelData} data @param {Change[]} changes @returns {string} */
export function rising(data, changes) {
  const names = data.names.filter((_, i) => (changes[i].value ?? 0) > 0 && changes[i].percent !== 0);
  return names.length === 0 ? "" : `The next step raises ${names.map(quote).join(", ")}.`;
}

/** Probed numbers and self-check. @param {Case} probe @returns {string} */
export function checkLine(probe) {
  const found = probe.residual === null ? "not available" : `relative difference ${number(probe.residual)}`;
  return `As probed: total ${number(probe.total)}, gradient norm ${number(probe.grad_norm)}. `
    + `Self-check against one real backward pass: ${found}.`;
}

/** @param {Case} probe @param {number} group @returns {string} option text */
export function groupLabel(probe, group) {
  if (group === WHOLE) return "Whole network";
  const count = probe.n_parameters[group];
  return count === undefined ? probe.groups[group]
    : `${probe.groups[group]} (${String(count).replace(/\B(?=(\d{3})+$)/g, "\u202f")} parameters)`;
}
