/** What an export says: where the page was written, a link that opens it in a new tab, the page as a download. */

import { button } from "./controls.js";
import { h, say } from "./drawing.js";

/** @typedef {import("./panel.js").Model} Model */

/** Where the notebook server serves a file: its address, from the notebook's own path and one relative to its folder.
 *  @param {string} base of the server @param {string} notebook @param {string} path
 *  @returns {string|null} null if the file lies outside of what is served, or is hidden */
export function servedAt(base, notebook, path) {
  const parts = notebook.replace(/^[^/:]*:/, "").split("/").slice(0, -1);
  for (const part of path.split("/")) {
    if (part === "..") {
      if (parts.pop() === undefined) return null;
    } else if (part !== "." && part !== "") parts.push(part);
  }
  if (parts.some((part) => part.startsWith("."))) return null;
  return `${base.replace(/\/?$/, "/")}files/${parts.map(encodeURIComponent).join("/")}`;
}

/** The address of a written page; null where no Jupyter server is known to serve it (another host of notebooks).
 *  @param {Model} model @param {string} path @returns {string|null} */
function addressOf(model, path) {
  const notebook = model.widget_manager?.context?.path;
  const told = document.getElementById("jupyter-config-data")?.textContent;
  if (typeof notebook !== "string" || !told || path === "") return null;
  return servedAt(JSON.parse(told).baseUrl ?? "/", notebook, path);
}

/** The kernel hands the page over, and the browser stores it. @param {Model} model */
function askForPage(model) {
  /** @param {{type?: string, name: string, html: string}} message */
  const store = (message) => {
    if (message?.type !== "page") return;
    model.off("msg:custom", store);
    const address = URL.createObjectURL(new Blob([message.html], { type: "text/html;charset=utf-8" }));
    h("a", { href: address, download: message.name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  };
  model.on("msg:custom", store);
  model.send({ type: "download" });
}

/** The line of one view of one widget; its owner calls `draw` when `status` or `written` changed. */
export class Exported {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    this.status = h("p", { class: "kit-export-status", role: "status" });
    this.open = h("a", { class: "kit-open", target: "_blank", rel: "noopener", text: "Open in a new tab", hidden: true });
    this.take = button({ class: "kit-download", text: "Download", hidden: true }, () => askForPage(model));
    this.root = h("div", { class: "kit-exported" }, this.status, this.open, this.take);
  }

  draw() {
    say(this.status, this.model.get("status") ?? "");
    /** @type {{name?: string, path?: string}} */
    const { name, path = "" } = this.model.get("written") ?? {};
    const address = name === undefined ? null : addressOf(this.model, path);
    this.take.hidden = name === undefined;
    this.open.hidden = address === null;
    if (address !== null) this.open.href = address;
  }
}
