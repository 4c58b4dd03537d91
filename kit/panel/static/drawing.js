/** Plots: bars as SVG strips that stretch with the panel, names and numbers as text; the cosine matrix as a table. */

import palette from "./palette.json" with { type: "json" };

const SVG = "http://www.w3.org/2000/svg";

/**
 * One element. Text only ever goes in as text, so a name can hold any character.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {Object<string, string|number|boolean|null>} attributes `text` sets the text content
 * @param {...(Node|null)} children @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = String(value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null) node.setAttribute(name, String(value));
  }
  for (const child of children) if (child !== null) node.append(child);
  return node;
}

/** A heading. @param {number} level 3 or 4 @param {string} text @returns {HTMLElement} */
const heading = (level, text) => h(level === 3 ? "h3" : "h4", { class: "kit-question", text });

/** @param {string} tag @param {Object<string, string|number>} attributes @returns {SVGElement} */
export function svg(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  return node;
}

/** Attributes only where they differ, for the same reason.
 *  @param {Element} node @param {Object<string, string|number>} attributes */
export function tell(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    const text = String(value);
    if (node.getAttribute(name) !== text) node.setAttribute(name, text);
  }
}

/** Text only when it differs: an untouched node costs no layout. @param {Node} node @param {string} text */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Four significant digits, a true minus sign, "not finite" in words. @param {number|null} x @returns {string} */
export function number(x) {
  if (x === null) return "not finite";
  if (x === 0) return "0";
  const size = Math.abs(x);
  let text;
  if (size >= 1e6 || size < 1e-3) text = x.toExponential(2);
  else text = size >= 1000 ? x.toFixed(0) : x.toPrecision(4);
  return text.replace("e+", "e").replaceAll("-", "\u2212");
}

/** Up to six significant digits without trailing zeros, for weights and ticks. @param {number} x @returns {string} */
export function short(x) {
  return String(Number(x.toPrecision(6))).replace("e+", "e").replaceAll("-", "\u2212");
}

/** @param {number|null} share @returns {string} */
function percent(share) {
  if (share === null) return "";
  const p = 100 * share;
  if (p !== 0 && Math.abs(p) < 1) return `${p < 0 ? "\u2212" : ""}<1\u2009%`;
  return `${p.toFixed(0).replace("-", "\u2212")}\u2009%`;
}

/** @param {number} i @returns {string} colour of term i; with more terms than hues the number tells them apart */
export function termColour(i) {
  return palette.terms[i % palette.terms.length];
}

/** Colours, dashes and markers, the same as in still pictures. */
export const table = palette;

/**
 * @typedef {Object} Bar
 * @property {string} name
 * @property {number} [index] of the term, counted from 0; shown from 1 as in the rows and the matrix
 * @property {string} detail second line under the name
 * @property {number|null} value null = not finite
 * @property {string} [text] words in place of the number
 * @property {number|null} [share] of the total
 * @property {string} [colour] none for the sum: the text colour
 * @property {number|null} [reach] place of the diamond: the sum of norms
 * @property {boolean} [sum] the last, heavier row
 * @property {boolean} [off] weight is zero
 * @property {Change|null} [next] of a term, by the next step; null: room for it, as in the rows above
 */

/**
 * @typedef {Object} Change of a term by a plain gradient step, to first order
 * @property {number|null} value for lr = 1; null = not finite
 * @property {number|null} percent of the term's value, for the step that takes 1 % off the total; null = not known
 * @property {string} mark @property {string} amount @property {string} said for a screen reader
 */

/** One row of a bar plot: name, strip, number. */
class BarRow {
  constructor() {
    this.index = h("span", { class: "kit-bar-index", "aria-hidden": "true" });
    this.name = h("bdi", { class: "kit-bar-name-text" });
    this.term = h("span", { class: "kit-bar-term" }, this.index, this.name);
    this.detail = h("span", { class: "kit-bar-detail" });
    this.strip = svg("svg", { class: "kit-strip", "aria-hidden": "true", focusable: "false" });
    this.grid = svg("g", {});
    this.mark = svg("rect", { class: "kit-mark", y: "50%", height: 12, transform: "translate(0 -6)" });
    this.reach = svg("line", { class: "kit-reach", y1: "50%", y2: "50%" });
    this.diamond = svg("svg", { y: "50%", overflow: "visible" });
    this.diamond.append(svg("path", { class: "kit-diamond", d: "M0-6 6 0 0 6-6 0Z" }));
    this.strip.append(this.grid, this.mark);
    /** The axis that the grid stands for. */
    this.drawn = "";
    this.value = h("span", { class: "kit-bar-number" });
    this.share = h("span", { class: "kit-bar-share" });
    this.next = { mark: h("span", { "aria-hidden": "true" }), said: h("span", { class: "kit-hidden" }),
      amount: h("span", { class: "kit-bar-amount", "aria-hidden": "true" }) };
    this.change = h("span", { class: "kit-bar-next", hidden: true }, this.next.mark, this.next.amount, this.next.said);
    this.root = h("div", { class: "kit-bar", role: "listitem" },
      h("div", { class: "kit-bar-name" }, this.term, this.detail), this.strip,
      h("div", { class: "kit-bar-value" }, this.value, this.share, this.change));
  }

  /** @param {Bar} bar @param {[number, number]} axis @param {number[]} grid */
  update(bar, axis, grid) {
    const [low, high] = axis;
    const place = (/** @type {number} */ v) => `${(100 * (v - low) / (high - low)).toFixed(3)}%`;
    this.root.classList.toggle("kit-bar-sum", Boolean(bar.sum));
    this.root.classList.toggle("kit-bar-off", Boolean(bar.off));
    this.root.classList.toggle("kit-bar-lost", bar.value === null);
    say(this.name, bar.name);
    say(this.index, bar.index === undefined ? "" : String(bar.index + 1));
    tell(this.term, { title: bar.name });
    say(this.detail, bar.detail);
    say(this.value, bar.text ?? number(bar.value));
    say(this.share, bar.share === undefined ? "" : percent(bar.share));
    this.change.hidden = bar.next === undefined;
    for (const part of /** @type {const} */ (["mark", "amount", "said"])) say(this.next[part], bar.next?.[part] ?? "");
    if (bar.next) {
      tell(this.change, { "data-value": bar.next.value ?? "not finite", "data-mark": bar.next.mark, title: bar.next.said });
    }

    const drawn = `${low} ${high}`;
    if (this.drawn !== drawn) {
      this.drawn = drawn;
      this.grid.replaceChildren(...grid.map((v) => svg("line", {
        class: v === 0 ? "kit-zero-line" : "kit-grid-line", x1: place(v), x2: place(v), y1: 0, y2: "100%",
      })));
    }
    const value = bar.value ?? 0;
    tell(this.mark, {
      "data-term": bar.name, "data-value": bar.value === null ? "not finite" : bar.value,
      x: place(Math.min(0, value)), width: `${(100 * Math.abs(value) / (high - low)).toFixed(3)}%`,
    });
    // The colour of the sum is the text colour, which follows the theme: it is set in the style sheet.
    if (bar.colour !== undefined && this.mark.style.fill === "") this.mark.style.fill = bar.colour;
    if (bar.reach === undefined || bar.reach === null) {
      this.reach.remove();
      this.diamond.remove();
      return;
    }
    tell(this.reach, { x1: place(value), x2: place(bar.reach) });
    tell(this.diamond, { x: place(bar.reach) });
    if (this.reach.parentNode !== this.strip) this.strip.append(this.reach, this.diamond);
  }
}

/** Horizontal bars with a question above them, and below them what healthy and faulty look like. */
export class BarPlot {
  /** @param {{kind: string, level: number, question: string, caption: string}} words */
  constructor({ kind, level, question, caption }) {
    /** @type {BarRow[]} */
    this.rows = [];
    this.drawn = "";
    this.list = h("div", { class: "kit-bars", role: "list" });
    this.axis = h("div", { class: "kit-axis", "aria-hidden": "true" });
    this.remark = h("p", { class: "kit-remark" });
    // the rows stand beside those of the sliders: what is said about them comes below
    this.root = h("figure", { class: `kit-plot kit-plot-${kind}` },
      h("figcaption", {}, heading(level, question)), this.list, this.axis, this.remark,
      h("p", { class: "kit-caption", text: caption }));
  }

  /** @param {Bar[]} bars @param {[number, number]} axis @param {string} remark */
  update(bars, axis, remark) {
    if (this.rows.length !== bars.length) {
      this.rows = bars.map(() => new BarRow());
      this.list.replaceChildren(...this.rows.map((row) => row.root));
    }
    const [low, high] = axis;
    const grid = [...new Set([low, low / 2, 0, high / 4, high / 2, 3 * high / 4, high])];
    bars.forEach((bar, i) => this.rows[i].update(bar, axis, grid));
    say(this.remark, remark);
    this.remark.hidden = remark === "";
    if (this.drawn === `${low} ${high}`) return;
    this.drawn = `${low} ${high}`;
    const room = 0.15 * (high - low);
    const ends = [low, 0, high / 2, high].filter((v, i) => (i === 0 ? -v > room : i === 1 || high > room));
    const labels = ends.map((v) => {
      const tick = h("span", { text: short(v) });
      tick.style.insetInlineStart = `${100 * (v - low) / (high - low)}%`;
      return tick;
    });
    this.axis.replaceChildren(...labels);
  }
}

/** A pair is called a conflict from here on: a cosine nearer to 0 is no conflict worth a mark. */
export const CONFLICT = -0.1;

/** Two digits without the leading zero; what rounds to 0 has no sign, what is no conflict does not round to one.
 *  @param {number} c @returns {string} */
export function cosineText(c) {
  if (Math.abs(c) < 0.005) return "0";
  const shown = c > CONFLICT && c < CONFLICT + 0.005 ? CONFLICT + 0.01 : c;
  return shown.toFixed(2).replace("-", "\u2212").replace("0.", ".");
}

/**
 * The matrix in one sentence. Pairs of two terms in force, each counted once.
 * @param {number} conflicts @param {number} measured with an angle @param {number} lost with a gradient not finite
 * @returns {string}
 */
export function conflictRemark(conflicts, measured, lost) {
  if (measured === 0) {
    return lost > 0 ? "Nothing was measured: the gradients in force are not finite (\u00d7)."
      : "Nothing to measure: fewer than two terms in force have a gradient here.";
  }
  const but = lost === 0 ? "" : " Pairs with \u00d7 could not be measured.";
  if (conflicts === 0) return `No ${lost === 0 ? "" : "measured "}pair of terms in force has opposed gradients.${but}`;
  const pairs = conflicts === 1 ? "1 pair of gradients is" : `${conflicts} pairs of gradients are`;
  return `${pairs} opposed (marked corner).${but}`;
}

/** Cosine matrix. Colour tells agreement from conflict; a conflict also has a corner mark and bold digits. */
export class CosineTable {
  /** @param {string[]} names @param {{level: number, question: string, caption: string}} words */
  constructor(names, { level, question, caption }) {
    this.names = names;
    this.cells = names.map(() => names.map(() => h("td", {})));
    /** What each cell shows: a cosine does not change with weights above 0. */
    this.shown = names.map(() => names.map(() => ""));
    const head = names.map((name, j) => h("th", { scope: "col", title: name },
      h("span", { "aria-hidden": "true", text: String(j + 1) }), h("span", { class: "kit-hidden", text: name })));
    const rows = names.map((name, i) => h("tr", {},
      h("th", { scope: "row", title: name },
        h("span", { class: "kit-index", "aria-hidden": "true", text: String(i + 1) }),
        h("span", { class: "kit-matrix-name", dir: "auto", text: name })),
      ...this.cells[i]));
    this.remark = h("p", { class: "kit-remark" });
    this.root = h("figure", { class: "kit-plot kit-plot-cosines" },
      h("figcaption", {}, heading(level, question),
        h("p", { class: "kit-caption", text: caption })),
      h("div", { class: "kit-matrix-box" }, h("table", { class: "kit-matrix", "aria-label": question },
        h("thead", {}, h("tr", {}, h("td", {}), ...head)), h("tbody", {}, ...rows))),
      h("div", { class: "kit-key", "aria-hidden": "true" },
        h("span", { class: "kit-key-neg", text: "\u22121 against" }), h("span", { class: "kit-key-ramp" }),
        h("span", { text: "+1 together" })),
      this.remark);
  }

  /**
   * @param {(number|null)[][]} cosines @param {number[]} w @param {(number|null)[][]} G
   * @returns {void}
   */
  update(cosines, w, G) {
    let [conflicts, measured, missing] = [0, 0, 0];
    cosines.forEach((line, i) => line.forEach((c, j) => {
      const cell = this.cells[i][j];
      const off = w[i] === 0 || w[j] === 0;
      const lost = !off && (G[i][i] === null || G[j][j] === null || G[i][j] === null);
      const against = c !== null && c <= CONFLICT && i !== j;
      if (i < j) {
        conflicts += Number(against);
        measured += Number(c !== null);
        missing += Number(lost);
      }
      const shown = `${c} ${off} ${lost}`;
      if (this.shown[i][j] === shown) return;
      this.shown[i][j] = shown;
      cell.className = c === null ? (lost ? "kit-lost" : "kit-none") : (c < 0 ? "kit-neg" : "kit-pos");
      cell.classList.toggle("kit-diagonal", i === j);
      cell.classList.toggle("kit-conflict", against);
      // 55 % at most: the number stays readable on the colour, in light and in dark.
      cell.style.setProperty("--kit-mix", c === null ? "0%" : `${Math.round(55 * Math.abs(c))}%`);
      let text = "\u2013";
      if (c !== null) text = cosineText(c);
      else if (lost) text = "\u00d7";
      say(cell, text);
      const why = off ? "a weight is 0" : (lost ? "not finite" : "a gradient is 0");
      cell.title = `${this.names[i]} and ${this.names[j]}: ${c === null ? why : number(c)}`;
      cell.setAttribute("data-value", c === null ? "" : String(c));
    }));
    say(this.remark, conflictRemark(conflicts, measured, missing));
  }
}
