/** The exported page: its panels, links to a setting, numbers to take away, and a check of its own record. */

import { figureCsv, panelCsv, tableCsv } from "./csv.js";
import { button } from "./controls.js";
import { h, say } from "./drawing.js";
import { formatLink, parseLink, settleLink } from "./link.js";
import { render } from "./panel.js";
import { byId, plainModel } from "./standalone.js";

/** @typedef {import("./panel.js").Model} Model */

/** A notebook server shows a page in a sandbox: its scripts run, its downloads are dropped without a word. */
const KEPT_IN = window.origin === "null" && location.protocol !== "file:";

/**
 * @typedef {Object} Mounted one panel of the page
 * @property {number} index
 * @property {HTMLElement} place
 * @property {Model} model
 * @property {HTMLElement} status
 * @property {HTMLInputElement} field
 */

/** Gives the browser a file to store. Blob addresses are local: nothing is asked of any network.
 *  @param {string} name @param {string} text */
function download(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  const link = h("a", { href: address, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** @param {string} id of the figure, table or panel @param {string} label @param {() => string} text */
function csvButton(id, label, text) {
  return button({
    class: "kit-tool", text: "Numbers (CSV)", "aria-label": `Numbers (CSV) of ${label}`, disabled: KEPT_IN,
    title: KEPT_IN ? "This server keeps pages from storing files: download the page, and open that." : null },
    () => download(`${id}.csv`, text()));
}

/** @param {any} data the page's record @returns {Array<{kind: string, id: string, number: number, piece: any}>} */
function pieces(data) {
  /** @type {Object<string, number>} */
  const counts = { text: 0, figure: 0, table: 0, panel: 0, setting: 0 };
  const found = data.findings.flatMap((/** @type {any} */ item) => item.finding.evidence);
  found.unshift(...data.compared);
  return found.map((/** @type {any} */ piece) => {
    counts[piece.kind] += 1;
    return { kind: piece.kind, id: `${piece.kind}-${counts[piece.kind]}`, number: counts[piece.kind], piece };
  });
}

/** @param {Mounted} panel @returns {{data: any, state: number, weights: Object<string, number>}} */
function setting({ model }) {
  const data = model.get("data");
  const found = data.cases.findIndex((/** @type {any} */ probe) => probe.title === model.get("case"));
  return { data, state: Math.max(0, found), weights: model.get("weights") };
}

/** The link in words that can be copied by hand, and in the clipboard where the browser lets us.
 *  @param {Mounted} panel @param {number} panels */
async function copyLink(panel, panels) {
  const { data, state, weights } = setting(panel);
  const link = location.href.replace(/#.*$/, "") + formatLink(data, { panel: panel.index, state, weights }, panels);
  panel.field.value = link;
  panel.field.hidden = false;
  panel.field.select();
  try {
    await navigator.clipboard.writeText(link);
    say(panel.status, "Link copied: it opens this page with the sliders as they are now.");
  } catch {
    say(panel.status, "The link is selected: copy it with Ctrl+C or \u2318C.");
  }
}

/** @param {{id: string, number: number, piece: any}} found @param {any} data @param {number} panels @returns {Mounted} */
function openPanel({ id, number, piece }, data, panels) {
  const place = byId(id);
  const model = plainModel({
    data: data.datasets[piece.data], weights: { ...piece.weights }, case: piece.case, title: piece.title, note: "",
    status: "", can_export: false,
  });
  const status = h("p", { class: "kit-tool-status", role: "status" });
  const field = h("input", {
    class: "kit-link", type: "text", readonly: true, hidden: true, "aria-label": "Link to this setting",
  });
  const panel = { index: number - 1, place, model, status, field };
  const label = `panel ${number}`;
  render({ model, el: place });
  byId(`${id}-tools`).append(
    button({ class: "kit-tool kit-copy-link", text: "Copy link to this setting",
      "aria-label": `Copy link to this setting of ${label}` }, () => copyLink(panel, panels)),
    csvButton(id, label, () => panelCsv(model.get("data"), model.get("case"), model.get("weights"))),
    field, status);
  return panel;
}

/** Lines to copy get a button. @param {HTMLElement} place */
function openCode(place) {
  const code = /** @type {HTMLElement} */ (place.querySelector("code"));
  const status = h("span", { class: "kit-tool-status", role: "status" });
  const copy = button({ class: "kit-tool kit-copy-code", text: "Copy", "aria-label": "Copy the lines" }, async () => {
    globalThis.getSelection()?.selectAllChildren(code);
    try {
      await navigator.clipboard.writeText(code.textContent ?? "");
      say(status, "Copied.");
    } catch {
      say(status, "The lines are selected: copy them with Ctrl+C or \u2318C.");
    }
  });
  place.append(h("div", { class: "tools" }, copy, status));
}

/** A link of a finding to its setting of a panel of the page. @param {string} id @param {any} piece @param {Mounted[]} panels */
function openSetting(id, piece, panels) {
  const link = /** @type {HTMLAnchorElement|null} */ (document.getElementById(id));
  const panel = panels[Number(/^#panel-(\d+)$/.exec(link?.getAttribute("href") ?? "")?.[1]) - 1];
  if (link === null || panel === undefined) return;
  const { data } = setting(panel);
  const state = data.cases.findIndex((/** @type {any} */ probe) => probe.title === piece.case);
  link.href = formatLink(data, { panel: panel.index, state, weights: piece.weights }, panels.length);
}

/** Evidence is folded: what an address leads to is opened, as browsers do by themselves if they are new enough. */
function unfold() {
  let name = location.hash.slice(1);
  try { name = decodeURIComponent(name); } catch { /* then it is taken as it stands */ }
  const target = document.getElementById(name);
  const folded = target?.closest("details:not([open])");
  if (!target || !folded) return;
  folded.setAttribute("open", "");
  target.scrollIntoView({ block: "start" });
}

/** On paper all evidence is open; afterwards it is folded as it was. */
function unfoldOnPaper() {
  /** @type {Element[]} */
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const folded of opened) folded.setAttribute("open", "");
  });
  window.addEventListener("afterprint", () => { for (const folded of opened) folded.removeAttribute("open"); });
}

/** Sets the panel that the address names, and brings it into view. @param {Mounted[]} panels */
function followLink(panels) {
  const place = parseLink(location.hash);
  if (place === null) return;
  const panel = panels[place.panel];
  if (panel === undefined) return;
  const { data, state: shown } = setting(panel);
  const { state, weights, problems } = settleLink(data, place, shown);
  panel.model.set("case", data.cases[state].title);
  panel.model.set("weights", weights);
  say(panel.status, ["The sliders stand as the link says.", ...problems].join(" "));
  panel.place.scrollIntoView({ block: "start" });
}

/** Compares the record with the digest beside it; a browser that cannot leaves the line as it is.
 *  @param {string} text the record */
async function checkRecord(text) {
  const stated = byId("kit-data-sha256").textContent;
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  const found = Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
  say(byId("kit-data-check"), found === stated ? "This browser has checked it: the data are as they were written."
    : "This browser has checked it: the data are NOT as they were written. Ask for the page again.");
  byId("kit-data-check").classList.toggle("kit-changed", found !== stated);
}

/** Everything that needs a script; the page reads well without it. */
function openPage() {
  const text = byId("kit-data").textContent ?? "";
  const data = JSON.parse(text);
  const found = pieces(data);
  const places = found.filter(({ kind }) => kind === "panel");
  const panels = places.map((piece) => openPanel(piece, data, places.length));
  for (const { kind, id, number, piece } of found) {
    const label = `${kind} ${number}`;
    if (kind === "figure" && Object.keys(piece.numbers).length > 0) {
      byId(`${id}-tools`).append(csvButton(id, label, () => figureCsv(piece.numbers)));
    }
    if (kind === "table") byId(`${id}-tools`).append(csvButton(id, label, () => tableCsv(piece.frame)));
  }
  for (const { kind, id, piece } of found) if (kind === "setting") openSetting(id, piece, panels);
  for (const place of document.querySelectorAll(".kit-code")) openCode(/** @type {HTMLElement} */ (place));
  unfoldOnPaper();
  const follow = () => {
    followLink(panels);
    unfold();
  };
  follow();
  window.addEventListener("hashchange", follow);
  if (globalThis.crypto?.subtle) checkRecord(text);
}

openPage();
