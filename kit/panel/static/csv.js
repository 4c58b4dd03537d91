/** Numbers as CSV (RFC 4180), the same as `python -m kit verify --extract` writes. */

/** @typedef {import("./algebra.js").PanelData} PanelData */
/** @typedef {string|number|boolean|null} Cell */

/** @param {Cell|undefined} cell @returns {string} */
function field(cell) {
  if (cell === null || cell === undefined) return "";
  if (typeof cell === "number") {
    if (Number.isNaN(cell)) return "nan";
    return Number.isFinite(cell) ? String(cell) : (cell > 0 ? "inf" : "-inf");
  }
  if (typeof cell === "boolean") return cell ? "True" : "False";
  // a spreadsheet would run such a text as a formula
  const text = /^[\t\r]/.test(cell) || /^[=+\-@]/.test(cell.trimStart().slice(0, 1).normalize("NFKC")) ? `'${cell}` : cell;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll("\"", "\"\"")}"` : text;
}

/** @param {Cell[]} columns @param {Cell[][]} rows @returns {string} header and rows */
export function csvText(columns, rows) {
  return [columns, ...rows].map((row) => `${row.map(field).join(",")}\r\n`).join("");
}

/** A value as the record spells it: JSON has no word for nan and no tuples. @param {any} value @returns {Cell[]} */
export function cellsOf(value) {
  if (value !== null && typeof value === "object") {
    if ("tuple" in value) return value.tuple.flatMap(cellsOf);
    return [value.float === "nan" ? NaN : (value.float === "inf" ? Infinity : -Infinity)];
  }
  return [value];
}

/** What a figure draws. @param {Object<string, any[]>} numbers column -> values @returns {string} */
export function figureCsv(numbers) {
  const columns = Object.keys(numbers);
  const rows = (numbers[columns[0]] ?? []).map((_, i) => columns.flatMap((name) => cellsOf(numbers[name][i])));
  return csvText(columns, rows);
}

/**
 * A table; its index is the first columns if it has a name.
 * @param {{columns: any[], index: any[]|null, index_names: any[], data: any[][]}} frame @returns {string}
 */
export function tableCsv(frame) {
  const keyed = frame.index !== null && frame.index_names.every((name) => name !== null);
  const columns = [...(keyed ? frame.index_names : []), ...frame.columns];
  const rows = frame.data.map((row, i) => [...(keyed ? [frame.index?.[i]] : []), ...row].flatMap(cellsOf));
  return csvText(columns.flatMap(cellsOf), rows);
}

/**
 * Every probed state of a panel, whole network and layer groups, one row a term. With the G columns of a row every
 * setting of the sliders can be computed again.
 * @param {PanelData} data @param {string} shown title of the state shown @param {Object<string, number>} weights
 * @returns {string}
 */
export function panelCsv(data, shown, weights) {
  const columns = ["state", "group", "term", "weight name", "weight as probed", "weight as set", "value",
    ...data.names.map((name) => `G with ${name}`)];
  /** @type {Cell[][]} */
  const rows = [];
  for (const probe of data.cases) {
    const here = probe.title === shown;
    /** @type {Array<[string, (number|null)[][]]>} */
    const matrices = [["whole network", probe.G], ...probe.groups.map(
      (group, i) => /** @type {[string, (number|null)[][]]} */ ([group, probe.G_groups[i]]))];
    matrices.forEach(([group, G], place) => data.names.forEach((name, i) => {
      const own = data.adjustable[i] && Object.hasOwn(weights, data.weight_names[i]);
      const set = own ? weights[data.weight_names[i]] : probe.weights[i];
      rows.push([probe.title, group, name, data.weight_names[i], probe.weights[i], here ? set : null,
        place === 0 ? probe.L[i] : null, ...G[i]]);
    }));
  }
  return csvText(columns, rows);
}
