/** In the exported page: the six functions of a widget model over plain state, and the panel mounted on it. */

import { render } from "./panel.js";

/** @typedef {import("./panel.js").Model} Model */

/** @param {Object<string, any>} state @returns {Model} */
export function plainModel(state) {
  /** @type {Map<string, Array<() => void>>} */
  const listeners = new Map();
  return {
    get: (name) => state[name],
    set(name, value) {
      if (JSON.stringify(state[name]) === JSON.stringify(value)) return;
      state[name] = value;
      for (const act of listeners.get(`change:${name}`) ?? []) act();
    },
    on: (name, act) => listeners.set(name, [...(listeners.get(name) ?? []), act]),
    off: (name, act) => listeners.set(name, (listeners.get(name) ?? []).filter((other) => other !== act)),
    save_changes() {},
    send() {},
  };
}

/** @param {string} id @returns {HTMLElement} */
export function byId(id) {
  const node = document.getElementById(id);
  if (node === null) throw new Error(`the page has no element ${id}`);
  return node;
}

/** @param {string} id of the element the panel is drawn in; its state stands in `<id>-data`. */
export function mount(id) {
  const state = JSON.parse(byId(`${id}-data`).textContent ?? "");
  render({ model: plainModel(state), el: byId(id) });
}
