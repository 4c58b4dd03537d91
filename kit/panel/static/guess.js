/** A question whose answers are buttons; once it is judged, what the pressed one was worth. */

import { button } from "./controls.js";
import { h, say } from "./drawing.js";

/** @typedef {import("./panel.js").Model} Model */

const FOLLOWED = ["made", "replies"];

/** @param {{model: Model, el: HTMLElement}} context @returns {() => void} cleanup */
export function renderGuess({ model, el }) {
  /** @type {string} */
  const question = model.get("question");
  /** @type {string[]} */
  const options = model.get("options");
  const buttons = options.map((text) => button({ class: "kit-preset", dir: "auto", text }, () => {
    model.set("made", text);
    model.save_changes();
  }));
  const reply = h("p", { class: "kit-reply", role: "status" });
  const root = h("div", { role: "group", "aria-label": `Your guess: ${question}` },
    h("p", { class: "kit-question", text: question }), h("div", { class: "kit-preset-group" }, ...buttons), reply);
  const draw = () => {
    /** @type {string} */
    const made = model.get("made");
    buttons.forEach((node, i) => node.setAttribute("aria-pressed", String(options[i] === made)));
    /** @type {Object<string, string>} */
    const replies = model.get("replies");
    const waiting = made === "" ? "Press your guess." : `You guess \u201c${made}\u201d. It is judged below.`;
    say(reply, (made === "" ? "" : replies[made] ?? "") || waiting);
  };
  el.classList.add("kit-panel", "kit-guess");
  el.append(root);
  for (const name of FOLLOWED) model.on(`change:${name}`, draw);
  draw();
  return () => {
    for (const name of FOLLOWED) model.off(`change:${name}`, draw);
    root.remove();
  };
}

export default { render: renderGuess };
