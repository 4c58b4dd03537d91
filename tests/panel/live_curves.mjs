// Reads {module, series, wishes, axes} as JSON from stdin, answers with the module's own algebra of curves on stdout.
import { readFileSync } from "node:fs";

const { module, series, reads, wishes, axes } = JSON.parse(readFileSync(0, "utf8"));
const text = `${module}\nexport { Curve, thinned, ticks, scaleOf, spread };`;
const kit = await import(`data:text/javascript;base64,${Buffer.from(text).toString("base64")}`);
const kept = series.map(({ steps, values, pieces }) => {
  const curve = new kit.Curve();
  for (let at = 0; at < steps.length; at += pieces) {
    curve.add(steps.slice(at, at + pieces), values.slice(at, at + pieces));
  }
  return { steps: curve.steps, values: curve.values, at: reads.map((step) => curve.at(step) ?? "none") };
});
process.stdout.write(JSON.stringify({
  kept,
  thinned: series.map(({ values }) => kit.thinned(values)),
  ticks: [[0, 1, 4], [0, 720, 5], [-0.3, 2.2, 4], [5, 5, 3]].map(([low, high, count]) => kit.ticks(low, high, count)),
  scales: axes.map(({ values, log, fromZero }) => {
    const scale = kit.scaleOf(values, log, fromZero);
    return { log: scale.log, ticks: scale.ticks, at: scale.ticks.map(scale.place),
      places: values.filter((v) => v !== null).map(scale.place) };
  }),
  spread: wishes.map(({ places, gap, end }) => kit.spread(places, gap, end)),
}));
