/**
 * Where a value stands on a slider. 0 is the left end; a little beside it four decades begin, on a logarithmic scale, up to
 * the right end. A pointer sets three digits. Keys go from stop to stop: 0, round numbers, each 1 to 2.5 % above the one
 * before, and the slider's own values.
 */

const DECADES = 4;
/** How far below a value of its own a slider begins. */
const BELOW = 5;
/** From one decade to the next, in hundredths: 1.00 1.02 … 2.00 2.05 … 5.0 5.1 … 10. */
const PARTS = [[100, 200, 2], [200, 500, 5], [500, 1000, 10]];
/** Shares of the track: the way from 0 to the first stop; and how near to the probed value a pointer means that value. */
const ZERO = 0.02;
const MAGNET = 0.002;

/**
 * @param {number} upper right end, > 0
 * @param {number[]} own the slider's own values: those probed, those of presets
 * @returns {[number, number]} the values between which it is logarithmic
 */
export function rangeOf(upper, own) {
  const between = own.filter((x) => x > 0 && x < upper);
  const low = Math.min(upper / 10 ** DECADES, ...between.map((x) => x / BELOW));
  return [Number(low.toPrecision(3)), upper];
}

/** @param {[number, number]} range @param {number} x @returns {number} place on the track, from 0 to 1 */
export function placeOf([low, upper], x) {
  if (x < low) return ZERO * Math.max(0, x / low);
  return x >= upper ? 1 : ZERO + (1 - ZERO) * Math.log(x / low) / Math.log(upper / low);
}

/** @param {[number, number]} range @param {number} place @param {number|null} probed the value that draws a pointer to itself
 *  @returns {number} of three digits, or the right end, or the probed value */
export function valueAt(range, place, probed = null) {
  if (probed !== null && Math.abs(place - placeOf(range, probed)) <= MAGNET) return probed;
  if (place < ZERO / 2) return 0;
  const [low, upper] = range;
  const x = low * (upper / low) ** Math.max(0, (place - ZERO) / (1 - ZERO));
  return place >= 1 ? upper : Math.min(upper, Number(x.toPrecision(3)));
}

/** @param {[number, number]} range @param {number[]} own @returns {number[]} ascending; the first is 0, the last the right end */
export function stopsOf([low, upper], own) {
  const stops = new Set([0, low, ...own.filter((x) => x > 0 && x < upper), upper]);
  for (let power = Math.floor(Math.log10(low)); 10 ** power < upper; power += 1) {
    for (const [from, to, step] of PARTS) {
      for (let part = from; part < to; part += step) {
        const x = Number(`${part}e${power - 2}`);
        if (x > low && x < upper) stops.add(x);
      }
    }
  }
  return [...stops].sort((a, b) => a - b);
}

/** @param {number[]} stops @param {number} x @param {number} count of stops to go, up or down
 *  @returns {number} from a value between two stops the first of them counts */
export function stepFrom(stops, x, count) {
  const above = stops.findIndex((stop) => stop >= x);
  const last = stops.length - 1;
  const from = above < 0 ? last + 1 : (stops[above] > x && count > 0 ? above - 1 : above);
  return stops[Math.min(last, Math.max(0, from + count))];
}
