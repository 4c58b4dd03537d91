/** One line below a cell that wrote a page. */

import { Exported } from "./exported.js";

/** @typedef {import("./panel.js").Model} Model */

/** @param {{model: Model, el: HTMLElement}} context @returns {() => void} cleanup */
export function renderWritten({ model, el }) {
  const line = new Exported(model);
  const draw = () => line.draw();
  el.classList.add("kit-panel", "kit-written");
  el.append(line.root);
  for (const name of ["status", "written"]) model.on(`change:${name}`, draw);
  draw();
  return () => {
    for (const name of ["status", "written"]) model.off(`change:${name}`, draw);
    line.root.remove();
  };
}

export default { render: renderWritten };
