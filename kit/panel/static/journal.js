/** The journal of findings as a list: keep, rename, note, up, down, remove, bring back, compare, export. */

import { button, keepKeys } from "./controls.js";
import { h, say } from "./drawing.js";
import { Exported } from "./exported.js";

/** @typedef {import("./panel.js").Model} Model */
/** @typedef {{key: string, name: string, note: string, verdict: string, kept: string}} Entry */

const GUARDED = { "data-lm-suppress-shortcuts": "true" };
const MARKS = /** @type {Object<string, string>} */ ({
  confirmed: "\u2713 confirmed", refuted: "\u2717 refuted", partly: "\u25d0 holds partly", open: "? open",
});
const FOLLOWED = ["entries", "status", "written", "removed", "compared"];
const PAPER = "<!doctype html><html lang='en'><title>Comparison</title><style>body { margin: 12px; background: #fff;"
  + " color: #1b1f24; font: 14px/1.45 system-ui, sans-serif } main { overflow-x: auto } table { border-collapse: collapse }"
  + " th, td { max-width: 26em; padding: 3px 10px; overflow-wrap: break-word; vertical-align: top;"
  + " border-bottom: 1px solid #d5d9de; text-align: left } img { max-width: 100% } figure { margin: 0 }</style><main>";
let lists = 0;

/** One entry of the list; its fields are not rewritten under the cursor. */
class EntryRow {
  /** @param {string} id @param {(action: string, more: Object<string, any>) => void} act */
  constructor(id, act) {
    this.act = act;
    /** @type {Entry|null} */
    this.entry = null;
    this.place = 0;
    this.name = h("input", {
      id: `${id}-name`, type: "text", class: "kit-entry-name", maxlength: 200, dir: "auto", ...GUARDED,
    });
    this.note = h("textarea", { id: `${id}-note`, class: "kit-note", rows: 1, dir: "auto", ...GUARDED });
    this.name.addEventListener("change", () => this.send("rename", { name: this.name.value }));
    this.note.addEventListener("change", () => this.send("note", { note: this.note.value }));
    this.nameLabel = h("label", { class: "kit-hidden", for: `${id}-name` });
    this.noteLabel = h("label", { for: `${id}-note`, text: "Note" });
    this.claim = h("span", { class: "kit-entry-claim" });
    this.kept = h("span", { class: "kit-entry-kept" });
    this.up = button({ class: "kit-up", text: "\u2191 up" }, () => this.send("move", { place: this.place - 1 }));
    this.down = button({ class: "kit-down", text: "\u2193 down" }, () => this.send("move", { place: this.place + 1 }));
    this.gone = button({ class: "kit-remove", text: "remove" }, () => this.send("remove", {}));
    this.root = h("li", { class: "kit-entry" },
      h("div", { class: "kit-entry-head" }, this.nameLabel, this.name, this.claim, this.kept),
      h("div", { class: "kit-entry-note" }, this.noteLabel, this.note),
      h("div", { class: "kit-entry-buttons" }, this.up, this.down, this.gone));
  }

  /** @param {string} action @param {Object<string, any>} more */
  send(action, more) {
    if (this.entry !== null) this.act(action, { key: this.entry.key, ...more });
  }

  /** @param {Entry} entry @param {number} place @param {number} count */
  show(entry, place, count) {
    const before = this.entry;
    this.entry = entry;
    this.place = place;
    if (before?.name !== entry.name) this.name.value = entry.name;
    if (before?.note !== entry.note) this.note.value = entry.note;
    say(this.nameLabel, `Name of finding ${place + 1}`);
    say(this.claim, `claim ${MARKS[entry.verdict] ?? entry.verdict}`);
    say(this.kept, entry.kept.slice(0, 16).replace("T", " "));
    this.note.setAttribute("aria-label", `Note of finding ${place + 1}`);
    for (const [node, what] of /** @type {Array<[HTMLButtonElement, string]>} */ (
      [[this.up, "Move up"], [this.down, "Move down"], [this.gone, "Remove"]])) {
      node.setAttribute("aria-label", `${what}: ${entry.name}`);
    }
    // aria-disabled, not disabled: the button that moved an entry to the end keeps the focus
    this.up.setAttribute("aria-disabled", String(place === 0));
    this.down.setAttribute("aria-disabled", String(place === count - 1));
  }
}

/** One view of one journal. */
class JournalList {
  /** @param {Model} model @param {HTMLElement} el */
  constructor(model, el) {
    lists += 1;
    this.id = `kit-journal-${lists}-${Math.random().toString(36).slice(2, 8)}`;
    this.model = model;
    /** @type {Map<string, EntryRow>} */
    this.rows = new Map();
    this.made = 0;
    this.shown = "";
    this.list = h("ol", { class: "kit-entries" });
    this.empty = h("p", { class: "kit-what", text: "Nothing is kept yet." });
    this.exported = new Exported(model);
    this.back = button({ class: "kit-restore", text: "bring back" },
      () => this.act("restore", { key: this.model.get("removed") }));
    this.pair = [0, 1].map((i) => h("select", { id: `${this.id}-pair-${i}`, class: "kit-pair", ...GUARDED,
      "aria-label": i === 0 ? "Compare this finding" : "with this finding" }));
    /** What a person chose; until then the last two, also when more are kept. @type {string[]} */
    this.chosen = ["", ""];
    this.pair.forEach((select, i) => select.addEventListener("change", () => {
      this.chosen[i] = select.value;
      select.title = select.selectedOptions[0].text;
    }));
    this.side = h("iframe", { class: "kit-compared", sandbox: "", title: "Two findings side by side", hidden: true });
    this.comparing = h("div", { class: "kit-comparing" }, this.pair[0], h("span", { text: "beside" }), this.pair[1],
      button({ class: "kit-compare", text: "Compare" },
        () => this.act("compare", { first: this.pair[0].value, second: this.pair[1].value })));
    this.export = button({ class: "kit-export", text: "Write one page (HTML)" }, () => this.act("export", {}));
    this.refresh = button({ class: "kit-refresh", text: "refresh", title: "what other notebooks have kept since" },
      () => this.act("refresh", {}));
    this.root = h("div", { class: "kit-panel kit-journal", role: "group", "aria-label": "Journal of findings" },
      h("h3", { class: "kit-title", text: "Findings kept" }), this.keeper(), this.empty, this.list,
      this.comparing, this.side,
      h("div", { class: "kit-export-line" }, this.export, this.refresh, this.back, this.exported.root));
    this.root.addEventListener("keydown", keepKeys);
    this.draw = this.draw.bind(this);
    for (const name of FOLLOWED) model.on(`change:${name}`, this.draw);
    el.append(this.root);
    this.draw();
  }

  /** @param {string} action @param {Object<string, any>} more */
  act(action, more) {
    const count = this.model.get("entries").length;
    if (action === "move" && (more.place < 0 || more.place >= count)) return;
    this.model.send({ action, ...more });
  }

  /** "Keep this" with its note; nothing where there is nothing to keep. @returns {HTMLElement|null} */
  keeper() {
    /** @type {string[]} */
    const offers = this.model.get("offers");
    if (offers.length === 0) return null;
    const which = h("select", { id: `${this.id}-which`, ...GUARDED },
      ...offers.map((text, i) => h("option", { value: i, text })));
    const name = h("input", { id: `${this.id}-called`, type: "text", class: "kit-keep-name", maxlength: 200,
      dir: "auto", placeholder: "without one: what is set, and the question", ...GUARDED });
    const note = h("textarea", { id: `${this.id}-keep`, class: "kit-note", rows: 2, dir: "auto", ...GUARDED });
    return h("div", { class: "kit-keep" },
      h("div", { class: "kit-choice", hidden: offers.length < 2 },
        h("label", { for: `${this.id}-which`, text: "Finding" }), which),
      h("label", { for: `${this.id}-called`, text: "Name" }), name,
      h("label", { for: `${this.id}-keep`, text: "Note" }), note,
      button({ class: "kit-export kit-keep-this", text: "Keep this" }, () => {
        this.act("keep", { offer: Number(which.value), note: note.value, name: name.value.trim() });
        note.value = name.value = "";
      }));
  }

  draw() {
    /** @type {Entry[]} */
    const entries = this.model.get("entries");
    const focused = /** @type {HTMLElement|null} */ (this.root.contains(document.activeElement)
      ? document.activeElement : null);
    const keys = new Set(entries.map(({ key }) => key));
    for (const [key, row] of this.rows) {
      if (!keys.has(key)) {
        row.root.remove();
        this.rows.delete(key);
      }
    }
    entries.forEach((entry, place) => {
      let row = this.rows.get(entry.key);
      if (row === undefined) {
        this.made += 1;
        row = new EntryRow(`${this.id}-${this.made}`, (action, more) => this.act(action, more));
        this.rows.set(entry.key, row);
      }
      row.show(entry, place, entries.length);
      if (this.list.children[place] !== row.root) this.list.insertBefore(row.root, this.list.children[place] ?? null);
    });
    this.empty.hidden = entries.length > 0;
    this.export.hidden = entries.length === 0;
    this.offerPairs(entries);
    this.back.hidden = this.model.get("removed") === "";
    this.exported.draw();
    // moving a node takes the focus away; removing the focused entry hands it to "bring back"
    if (focused !== null && document.activeElement !== focused) {
      (focused.isConnected ? focused : (this.back.hidden ? this.refresh : this.back)).focus();
    }
  }

  /** Two entries to compare, the last two unless others are chosen. @param {Entry[]} entries */
  offerPairs(entries) {
    this.comparing.hidden = entries.length < 2;
    this.pair.forEach((select, i) => {
      const chosen = this.chosen[i];
      select.replaceChildren(...entries.map(({ key, name }, place) =>
        h("option", { value: key, text: `${place + 1}. ${name}` })));
      const wanted = entries.some(({ key }) => key === chosen) ? chosen : entries.at(i - 2)?.key;
      if (wanted !== undefined) select.value = wanted;
      select.title = select.selectedOptions[0]?.text ?? "";
    });
    /** @type {string} */
    const compared = this.model.get("compared") ?? "";
    this.side.hidden = compared === "" || entries.length < 2;
    if (this.shown !== compared) {
      this.shown = compared;
      this.side.srcdoc = compared === "" ? "" : PAPER + compared;
    }
  }

  dispose() {
    for (const name of FOLLOWED) this.model.off(`change:${name}`, this.draw);
    this.root.remove();
  }
}

/** @param {{model: Model, el: HTMLElement}} context @returns {() => void} cleanup */
export function renderJournal({ model, el }) {
  const view = new JournalList(model, el);
  return () => view.dispose();
}

export default { render: renderJournal };
