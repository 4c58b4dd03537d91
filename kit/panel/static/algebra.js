/**
 * What-if algebra on recorded numbers: total = lam . L, |g| = sqrt(max(0, lam' G lam)), and the next step.
 *
 * Same rules as the Python side: a term with weight 0 is not evaluated, so it contributes exactly 0 even if its
 * value or its gradient is not finite. `null` stands for a number that is not finite, in data and in results.
 */

/**
 * @typedef {Object} Case one probed state
 * @property {string} key
 * @property {string} title
 * @property {string} note
 * @property {number[]} weights weights at the probed step [m]
 * @property {(number|null)[]} L unweighted values [m]
 * @property {(number|null)[][]} G Gram matrix of the per-term gradients, whole network [m][m]
 * @property {string[]} groups layer groups [n]
 * @property {(number|null)[][][]} G_groups the same, one per layer group [n][m][m]
 * @property {number[]} n_parameters scalars in each group [n]
 * @property {number|null} residual self-check against one real backward pass, relative
 * @property {number|null} total what the loss itself returned
 * @property {number|null} grad_norm norm of the real gradient
 * @property {{total: number|null, gradient: number|null, gradient_groups: (number|null)[]}} axes maxima over the box
 * @property {Object<string, {weights: Object<string, number>, note: string}>} [balanced] settings that balance the gradients
 */

/**
 * @typedef {Object} Preset
 * @property {string} key
 * @property {string} title
 * @property {string} hypothesis
 * @property {number|null} case index into cases; null = the case shown
 * @property {Object<string, number>|null} weights null = those of `balanced`, by the key
 * @property {string} what one sentence
 */

/**
 * @typedef {Object} PanelData
 * @property {string[]} names terms [m]
 * @property {string[]} weight_names [m], "" for a term without a weight
 * @property {boolean[]} adjustable [m]
 * @property {boolean[]} negative [m] probed with a negative weight in some case: shown, not adjustable
 * @property {number} upper right end of every slider
 * @property {Case[]} cases
 * @property {Preset[]} presets
 */

/** Group index that means the whole network. */
export const WHOLE = -1;

/** @param {number} x @returns {number|null} */
export const finite = (x) => (Number.isFinite(x) ? x : null);

/**
 * The weights in the order of the terms. A missing name keeps its probed weight; a fixed weight stays as probed.
 * @param {PanelData} data @param {Case} probe @param {Object<string, number>} weights @returns {number[]} [m]
 */
export function settle(data, probe, weights) {
  return data.weight_names.map((name, i) => {
    const asked = data.adjustable[i] && Object.hasOwn(weights, name) ? weights[name] : probe.weights[i];
    return Number.isFinite(asked) && asked >= 0 ? asked : probe.weights[i];
  });
}

/** @param {Case} probe @param {number[]} w @returns {(number|null)[]} w_i * L_i [m] */
export function weighted(probe, w) {
  return w.map((w_i, i) => {
    if (w_i === 0) return 0;
    return probe.L[i] === null ? null : finite(w_i * probe.L[i]);
  });
}

/** @param {Case} probe @param {number[]} w @returns {number|null} sum_i w_i * L_i */
export function total(probe, w) {
  let sum = 0;
  for (const part of weighted(probe, w)) {
    if (part === null) return null;
    sum += part;
  }
  return finite(sum);
}

/** @param {Case} probe @param {number} group index or WHOLE @returns {(number|null)[][]} [m][m] */
export function gram(probe, group = WHOLE) {
  return group === WHOLE ? probe.G : probe.G_groups[group];
}

/** @param {Case} probe @param {number[]} w @param {number} group @returns {number|null} sqrt(max(0, w' G w)) */
export function gradNorm(probe, w, group = WHOLE) {
  const G = gram(probe, group);
  let square = 0;
  for (let i = 0; i < w.length; i += 1) {
    if (w[i] === 0) continue;
    for (let j = 0; j < w.length; j += 1) {
      if (w[j] === 0) continue;
      const G_ij = G[i][j];
      if (G_ij === null) return null;
      square += w[i] * G_ij * w[j];
    }
  }
  return finite(Math.sqrt(Math.max(0, square)));
}

/** @param {Case} probe @param {number[]} w @param {number} group @returns {(number|null)[]} |w_i| * sqrt(G_ii) [m] */
export function termNorms(probe, w, group = WHOLE) {
  const G = gram(probe, group);
  return w.map((w_i, i) => {
    if (w_i === 0) return 0;
    return G[i][i] === null ? null : finite(Math.abs(w_i) * Math.sqrt(Math.max(0, G[i][i])));
  });
}

/**
 * Change of every term by one plain gradient step of size lr, to first order: -lr (G w)_i. A term of weight 0 changes too.
 * @param {Case} probe @param {number[]} w @param {number} lr @returns {(number|null)[]} [m]
 */
export function nextStep(probe, w, lr) {
  return probe.G.map((G_i) => {
    let slope = 0;
    for (let j = 0; j < w.length; j += 1) {
      if (w[j] === 0) continue;
      const G_ij = G_i[j];
      if (G_ij === null) return null;
      slope += G_ij * w[j];
    }
    return finite(slope === 0 ? 0 : -lr * slope);
  });
}

/**
 * Share of every term in the total. A part that is 0 has share 0; of a total that is 0 nothing has a share.
 * @param {Case} probe @param {number[]} w @returns {(number|null)[]} [m]
 */
export function shares(probe, w) {
  const whole = total(probe, w);
  return weighted(probe, w).map((part) => {
    if (part === 0 || whole === 0) return 0;
    return part === null || whole === null ? null : finite(part / whole);
  });
}

/**
 * Cosine of the gradients w_i g_i and w_j g_j: G_ij / sqrt(G_ii G_jj), turned round where one of the weights is negative.
 * Null where the angle does not exist: a weight or a norm is 0, or an entry is not finite.
 * @param {Case} probe @param {number[]} w @param {number} group @returns {(number|null)[][]} [m][m]
 */
export function cosines(probe, w, group = WHOLE) {
  const G = gram(probe, group);
  const norm = w.map((_, i) => (G[i][i] === null ? null : Math.sqrt(Math.max(0, G[i][i]))));
  return w.map((w_i, i) => w.map((w_j, j) => {
    if (w_i === 0 || w_j === 0 || !norm[i] || !norm[j] || G[i][j] === null) return null;
    return Math.sign(w_i) * Math.sign(w_j) * Math.min(1, Math.max(-1, G[i][j] / norm[i] / norm[j]));
  }));
}

/** @param {(number|null)[]} parts @returns {number|null} plain sum; null as soon as one part is not finite */
export function sum(parts) {
  let whole = 0;
  for (const part of parts) {
    if (part === null) return null;
    whole += part;
  }
  return finite(whole);
}

/** Smallest of 1, 2, 3, 5 times a power of ten that holds x. @param {number} x > 0 @returns {number} */
export function roundUp(x) {
  const power = 10 ** Math.floor(Math.log10(x));
  const step = [1, 2, 3, 5, 10].find((s) => s * power >= x * (1 - 1e-12)) ?? 10;
  return Number((step * power).toPrecision(1));
}

/**
 * Ends of an axis from the setting alone, without memory: it holds the probed setting and the present one, in steps
 * of 1, 2, 3, 5. Lowering a weight from the probed setting therefore never moves the axis.
 * @param {(number|null)[]} values everything that has to fit @returns {[number, number]}
 */
export function axisEnds(values) {
  const known = values.filter((v) => v !== null);
  const high = Math.max(0, ...known);
  const low = Math.min(0, ...known);
  return [low < 0 ? -roundUp(-low) : 0, high > 0 ? roundUp(high) : (low < 0 ? 0 : 1)];
}
