/**
 * The values a slider stops at. 0 is its left end; then come round numbers, each 1 to 2.5 % above the one before, over four
 * decades up to the right end. Its place is the number of a stop, so a key leads from stop to stop, and back to the same number.
 */

const DECADES = 4;
/** From one decade to the next, in hundredths: 1.00 1.02 … 2.00 2.05 … 5.0 5.1 … 10. */
const PARTS = [[100, 200, 2], [200, 500, 5], [500, 1000, 10]];
/** A pointer this near to the probed value, as a share of the track, means that value. A pixel is wider than half of it. */
const MAGNET = 0.002;

/**
 * @param {number} upper right end, > 0
 * @param {number[]} own values that are stops of their own, round or not: those probed, those of presets
 * @returns {number[]} ascending; the first is 0, the last is `upper`
 */
export function stopsOf(upper, own) {
  const between = own.filter((x) => x > 0 && x < upper);
  const low = Math.min(upper / 10 ** DECADES, ...between.map((x) => x / 10)) * (1 - 1e-9);
  const stops = new Set([0, ...between, upper]);
  for (let power = Math.floor(Math.log10(low)); 10 ** power < upper; power += 1) {
    for (const [from, to, step] of PARTS) {
      for (let part = from; part < to; part += step) {
        const x = Number(`${part}e${power - 2}`);
        if (x >= low && x < upper) stops.add(x);
      }
    }
  }
  return [...stops].sort((a, b) => a - b);
}

/** @param {number[]} stops @param {number} x @returns {number} place, from 0 to the number of the last stop; whole at a stop */
export function placeOf(stops, x) {
  const last = stops.length - 1;
  const above = stops.findIndex((stop) => stop >= x);
  if (above <= 0) return above < 0 ? last : 0;
  const below = stops[above - 1];
  return above - (stops[above] - x) / (stops[above] - below);
}

/** @param {number[]} stops @param {number} place @param {number|null} probed the value with a pull on the pointer
 *  @returns {number} the nearest stop */
export function valueAt(stops, place, probed = null) {
  const last = stops.length - 1;
  if (probed !== null && Math.abs(place - placeOf(stops, probed)) <= MAGNET * last) return probed;
  return stops[Math.min(last, Math.max(0, Math.round(place)))];
}

/** @param {number[]} stops @param {number} x @param {number} count of stops to go, up or down
 *  @returns {number} from a value between two stops the first of them counts */
export function stepFrom(stops, x, count) {
  const place = placeOf(stops, x);
  return valueAt(stops, (count > 0 ? Math.floor(place) : Math.ceil(place)) + count);
}
