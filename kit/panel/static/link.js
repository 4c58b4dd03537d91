/**
 * A setting of the sliders as the fragment of an address: `#w=lam_cov:0,lam_K:0.5`, on a page with several panels
 * `#panel=2&state=3&w=lam_cov:0`. Panels and states are counted from 1. A weight that is left out has its probed value.
 * Names are percent-encoded, so they can hold any character.
 */

/** @typedef {import("./algebra.js").PanelData} PanelData */

/**
 * @typedef {Object} Place
 * @property {number} panel index, from 0
 * @property {number|null} state index of the probed state; null = the one shown
 * @property {Object<string, number>} weights
 */

/** @param {string} text @returns {string|null} null where it is no percent-encoded text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

/** @param {string|undefined} text @returns {number|null} counted from 0; null unless it is a whole number from 1 */
function counted(text) {
  return text !== undefined && /^[1-9]\d{0,5}$/.test(text) ? Number(text) - 1 : null;
}

/**
 * @param {string} hash with or without `#` @returns {Place|null} null: the fragment is no setting (an ordinary anchor)
 */
export function parseLink(hash) {
  const parts = new Map(hash.replace(/^#/, "").split("&").map((part) => {
    const cut = part.indexOf("=");
    return cut < 0 ? [part, ""] : [part.slice(0, cut), part.slice(cut + 1)];
  }));
  if (!parts.has("w")) return null;
  /** @type {Array<[string, number]>} */
  const weights = [];
  for (const pair of (parts.get("w") ?? "").split(",")) {
    const cut = pair.lastIndexOf(":");
    const name = cut < 0 ? null : decoded(pair.slice(0, cut));
    const text = pair.slice(cut + 1);
    if (name !== null && /^\d*\.?\d+(e[+-]?\d+)?$/i.test(text)) weights.push([name, Number(text)]);
  }
  const panel = parts.has("panel") ? counted(parts.get("panel")) : 0;
  return panel === null ? null
    : { panel, state: counted(parts.get("state")), weights: Object.fromEntries(weights) };
}

/**
 * @param {PanelData} data @param {Place} place @param {number} panels on the page
 * @returns {string} the fragment with its `#`: only what differs from the probed weights
 */
export function formatLink(data, place, panels) {
  const state = place.state ?? 0;
  const probe = data.cases[state];
  const pairs = data.weight_names
    .map((name, i) => ({ name, value: place.weights[name], can: data.adjustable[i], probed: probe.weights[i] }))
    .filter(({ can, value, probed }) => can && value !== undefined && value !== probed)
    .map(({ name, value }) => `${encodeURIComponent(name)}:${value}`);
  const parts = [`w=${pairs.join(",")}`];
  if (data.cases.length > 1) parts.unshift(`state=${state + 1}`);
  if (panels > 1) parts.unshift(`panel=${place.panel + 1}`);
  return `#${parts.join("&")}`;
}

/**
 * What a place means for a panel, and what of it the panel cannot follow.
 * @param {PanelData} data @param {Place} place @param {number} shown index of the state shown
 * @returns {{state: number, weights: Object<string, number>, problems: string[]}}
 */
export function settleLink(data, place, shown) {
  /** @type {string[]} */
  const problems = [];
  let state = place.state ?? shown;
  if (data.cases[state] === undefined) {
    problems.push(`The link names state ${state + 1}; there are ${data.cases.length}.`);
    state = shown;
  }
  /** @type {Map<string, number>} */
  const weights = new Map();
  data.weight_names.forEach((name, i) => {
    if (data.adjustable[i]) weights.set(name, data.cases[state].weights[i]);
  });
  for (const [name, value] of Object.entries(place.weights)) {
    if (!weights.has(name)) problems.push(`The link names \u2068${name.slice(0, 60)}\u2069, which has no slider here.`);
    else if (!(value >= 0 && value <= data.upper)) problems.push(`The link sets a weight beyond ${data.upper}.`);
    else weights.set(name, value);
  }
  return { state, weights: Object.fromEntries(weights), problems };
}
