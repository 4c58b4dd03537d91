// Reads {module, series, wishes, axes, ranges, marks} as JSON from stdin, answers with the module's own algebra of curves on stdout.
import { readFileSync } from "node:fs";

const { module, series, reads, wishes, axes, ranges, marks, looks } = JSON.parse(readFileSync(0, "utf8"));
const text = `${module}\nexport { Curve, thinned, ticks, tickText, scaleOf, spread, markLabels, lookOf, roleLook };`;
const kit = await import(`data:text/javascript;base64,${Buffer.from(text).toString("base64")}`);
const kept = series.map(({ steps, values, parts, pieces }) => {
  const curve = new kit.Curve();
  for (let at = 0; at < steps.length; at += pieces) {
    curve.add(...[steps, values, parts].map((column) => column.slice(at, at + pieces)));
  }
  return {
    steps: curve.steps, values: curve.values, parts: curve.parts, sparse: curve.sparse,
    joined: curve.steps.map((_, i) => curve.joined(i)), at: reads.map((step) => curve.at(step) ?? "none"),
  };
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
  labels: ranges.map(([low, high, log]) => {
    const scale = kit.scaleOf([low, high], log, false);
    return scale.ticks.map((tick) => ({ tick, text: kit.tickText(tick) }));
  }),
  marks: marks.map(({ places, faults, letter, ends }) => kit.markLabels(places, faults, (text) => letter * text.length, ends)),
  looks: Array.from({ length: looks }, (_, i) => kit.lookOf(i)),
  roles: ["train", "validation", "batch"].map(kit.roleLook),
  spread: wishes.map(({ places, gap, end }) => kit.spread(places, gap, end)),
}));
