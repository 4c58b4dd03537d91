/** In the exported page: the six functions of a widget model over plain state, and the panel mounted on it. */

/** @param {Object<string, unknown>} state @returns {Object} */
function plainModel(state) {
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

/** @param {string} id of the element the panel is drawn in; its state stands in `<id>-data`. */
function mount(id) {
  const state = JSON.parse(document.getElementById(`${id}-data`).textContent);
  render({ model: plainModel(state), el: document.getElementById(id) });
}
