/** Curves kept within bounds, axes and ticks: plain values, no element is touched here. */

/** Points of a curve; beyond, it is thinned to half of them or fewer. The same rule as on the Python side. */
export const CURVE_LIMIT = 1200;
const SIX = 6;

/**
 * Indices that stay, in order: of every six the smallest, the largest and the first that is not finite; the last, too.
 * @param {(number|null)[]} values null = not finite @returns {number[]}
 */
export function thinned(values) {
  /** @type {number[]} */
  const kept = [];
  for (let start = 0; start < values.length; start += SIX) {
    const end = Math.min(start + SIX, values.length);
    let [low, high, gap] = [-1, -1, -1];
    for (let i = start; i < end; i += 1) {
      const value = values[i];
      if (value === null) {
        if (gap < 0) gap = i;
      } else {
        if (low < 0 || value < /** @type {number} */ (values[low])) low = i;
        if (high < 0 || value > /** @type {number} */ (values[high])) high = i;
      }
    }
    const group = new Set([low, high, gap].filter((i) => i >= 0));
    if (end === values.length) group.add(end - 1);
    kept.push(...[...group].sort((a, b) => a - b));
  }
  return kept;
}

/** Points of one quantity over the steps; `parts` counts the changes before each. The same rules as on the Python side. */
export class Curve {
  constructor() {
    /** @type {number[]} */
    this.steps = [];
    /** @type {(number|null)[]} */
    this.values = [];
    /** @type {number[]} */
    this.parts = [];
  }

  /** @param {number[]} steps @param {(number|null)[]} values @param {number[]} [parts] none: nothing was ever changed */
  add(steps, values, parts = []) {
    for (let i = 0; i < steps.length; i += 1) {
      this.steps.push(steps[i]);
      this.values.push(values[i]);
      this.parts.push(parts[i] ?? 0);
      if (this.steps.length > CURVE_LIMIT) {
        const kept = thinned(this.values);
        this.steps = kept.map((k) => this.steps[k]);
        this.values = kept.map((k) => this.values[k]);
        this.parts = kept.map((k) => this.parts[k]);
      }
    }
  }

  /** Whether a line leads to point i from the one before: no change lies between, or no batch. @param {number} i */
  joined(i) {
    if (!(i > 0 && i < this.steps.length) || this.values[i - 1] === null || this.values[i] === null) return false;
    return this.parts[i] === this.parts[i - 1] || this.steps[i] - this.steps[i - 1] <= 1;
  }

  /** Measured at some batches only, an epoch's end or a probe: then every point is marked. */
  get sparse() {
    const { steps } = this;
    return steps.length < 2 || steps[steps.length - 1] - steps[0] > 1.5 * (steps.length - 1);
  }

  /** The last point at or before a step. @param {number} step @returns {number|null|undefined} undefined: none yet */
  at(step) {
    let [low, high] = [0, this.steps.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.steps[middle] <= step) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? undefined : this.values[low - 1];
  }
}

/**
 * Round places on an axis, about so many of them. @param {number} low @param {number} high @param {number} count
 * @returns {number[]}
 */
export function ticks(low, high, count) {
  const raw = (high - low) / Math.max(1, count);
  if (!(raw > 0) || !Number.isFinite(raw)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = /** @type {number} */ ([1, 2, 5, 10].find((s) => s * power >= raw * (1 - 1e-9)) ?? 10) * power;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1) {
    found.push(Number((i * step).toPrecision(12)));
  }
  return found;
}

/** A tick in full: ticks are round, so the shortest text that is exact is short. @param {number} x @returns {string} */
export function tickText(x) {
  const size = Math.abs(x);
  if (x === 0) return "0"; // minus zero, too
  const text = size >= 1e5 || size < 1e-3 ? x.toExponential().replace("e+", "e") : String(x);
  return text.replaceAll("-", "\u2212");
}

/**
 * @typedef {Object} Scale where a value stands between the lower end (0) and the upper end (1)
 * @property {(value: number) => number} place
 * @property {number[]} ticks
 * @property {boolean} log
 */

/**
 * The axis of some values. A logarithmic one has a place for 0 below its lowest decade, marked by a tick of its own.
 * @param {Iterable<number|null>} values @param {boolean} log @param {boolean} fromZero @returns {Scale}
 */
export function scaleOf(values, log, fromZero) {
  let [low, high, least] = [Infinity, -Infinity, Infinity];
  for (const value of values) {
    if (value === null) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
    if (value > 0) least = Math.min(least, value);
  }
  if (low > high) [low, high] = [0, 1];
  if (log && least < Infinity) {
    // 12 decades at most: what is smaller is drawn on the lowest
    const top = Math.log10(high);
    const bottom = Math.max(Math.log10(least), top - 12);
    const [first, last] = [Math.floor(bottom + 1e-9), Math.max(Math.ceil(top - 1e-9), Math.floor(bottom + 1e-9) + 1)];
    const zero = low <= 0;
    const room = zero ? 0.12 : 0;
    const every = Math.ceil((last - first) / 5);
    const decades = [];
    for (let d = first; d <= last; d += every) decades.push(Number(`1e${d}`));
    return {
      log: true, ticks: zero ? [0, ...decades] : decades,
      place: (v) => (v <= 0 ? 0 : Math.max(room, room + (1 - room) * (Math.log10(v) - first) / (last - first))),
    };
  }
  if (fromZero) low = Math.min(0, low);
  // what differs by less than the numbers beside it can show is level
  const size = Math.max(Math.abs(low), Math.abs(high));
  if (high - low <= 1e-9 * size) [low, high] = size === 0 ? [0, 1] : [low - size / 2, high + size / 2];
  const room = 0.05 * (high - low);
  const bottom = fromZero && low === 0 ? 0 : low - room;
  const top = high + room;
  return { log: false, ticks: ticks(bottom, top, 4), place: (v) => (v - bottom) / (top - bottom) };
}

/**
 * Heights of labels so that none covers another: each as near to its wish as the order allows, inside [0, end].
 * @param {number[]} wishes @param {number} gap @param {number} end @returns {number[]}
 */
export function spread(wishes, gap, end) {
  const order = wishes.map((_, i) => i).sort((a, b) => wishes[a] - wishes[b]);
  const placed = [...wishes];
  let last = -Infinity;
  for (const i of order) {
    placed[i] = last = Math.max(wishes[i], last + gap, 0);
  }
  let next = end;
  for (const i of order.reverse()) {
    placed[i] = Math.min(placed[i], next);
    next = placed[i] - gap;
  }
  return placed;
}

const LABEL_ROOM = 4; // pixels between two labels

/**
 * The numbers of the marks above a chart, none over another: those that would be share a label.
 * @param {number[]} places of the marks, ascending @param {boolean[]} faults which of them are faults
 * @param {(text: string) => number} width of a text @param {[number, number]} ends
 * @returns {{text: string, place: number}[]} `place` is the middle
 */
export function markLabels(places, faults, width, ends) {
  /** @param {number[]} group first and last mark */
  const label = ([first, last]) => {
    const sign = faults.slice(first, last + 1).some(Boolean) ? "\u25b2" : "";
    const text = sign + (first === last ? String(first + 1) : `${first + 1}\u2013${last + 1}`);
    const half = width(text) / 2;
    return { text, half, place: Math.max(ends[0] + half, Math.min((places[first] + places[last]) / 2, ends[1] - half)) };
  };
  /** @type {number[][]} */
  const groups = [];
  places.forEach((_, i) => {
    let group = [i, i];
    for (let before = groups.at(-1); before !== undefined; before = groups.at(-1)) {
      const [left, right] = [label(before), label(group)];
      if (left.place + left.half + LABEL_ROOM <= right.place - right.half) break;
      group = [before[0], group[1]];
      groups.pop();
    }
    groups.push(group);
  });
  return groups.map((group) => {
    const { text, place } = label(group);
    return { text, place };
  });
}
