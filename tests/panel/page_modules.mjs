// {folder, data, hashes, places, record, figure, frame} as JSON on stdin -> answers of link.js and csv.js as JSON on stdout.
import { readFileSync } from "node:fs";

const { folder, data, hashes, places, record, figure, frame } = JSON.parse(readFileSync(0, "utf8"));
const load = async (name) => {
  const text = readFileSync(`${folder}/${name}`, "utf8");
  return import(`data:text/javascript;base64,${Buffer.from(text).toString("base64")}`);
};
const link = await load("link.js");
const csv = await load("csv.js");
process.stdout.write(JSON.stringify({
  parsed: hashes.map(link.parseLink),
  settled: places.map((place) => link.settleLink(data, place, 0)),
  written: places.slice(0, 2).map((place) => link.formatLink(data, place, 1)),
  several: places.slice(0, 2).map((place) => link.formatLink(data, place, 3)),
  again: places.slice(0, 2).map((place) => link.parseLink(link.formatLink(data, place, 3))),
  panel: csv.panelCsv(record.data, record.case, record.weights), figure: csv.figureCsv(figure), table: csv.tableCsv(frame),
}));
