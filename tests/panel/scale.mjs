// {module, cases: [{upper, own, pixels}]} as JSON on stdin -> what scale.js makes of each, as JSON on stdout.
import { readFileSync } from "node:fs";

const { module, cases } = JSON.parse(readFileSync(0, "utf8"));
const kit = await import(`data:text/javascript;base64,${Buffer.from(module).toString("base64")}`);
process.stdout.write(JSON.stringify(cases.map(({ upper, own, pixels }) => {
  const range = kit.rangeOf(upper, own);
  const stops = kit.stopsOf(range, own);
  const walk = [0];
  while (walk.at(-1) < upper && walk.length <= stops.length) walk.push(kit.stepFrom(stops, walk.at(-1), 1));
  const between = stops.slice(1).map((x, i) => (x + stops[i]) / 2);
  const under = (probed) => Array.from({ length: pixels + 1 }, (_, x) => kit.valueAt(range, x / pixels, probed));
  return {
    stops, walk, places: stops.map((x) => kit.placeOf(range, x)),
    again: stops.map((x) => kit.valueAt(range, kit.placeOf(range, x))),
    there_and_back: stops.slice(0, -1).map((x) => kit.stepFrom(stops, kit.stepFrom(stops, x, 1), -1)),
    between, up: between.map((x) => kit.stepFrom(stops, x, 1)), down: between.map((x) => kit.stepFrom(stops, x, -1)),
    between_places: between.map((x) => kit.placeOf(range, x)), too_far: [-1, 2 * upper].map((x) => kit.placeOf(range, x)),
    ends: [kit.stepFrom(stops, 0, -Infinity), kit.stepFrom(stops, 0, Infinity), kit.stepFrom(stops, upper, 20),
      kit.stepFrom(stops, 0, -1), kit.valueAt(range, -0.1), kit.valueAt(range, 1.1)],
    pixels: own.map(under),
  };
})));
