// {module, data, settings} as JSON on stdin -> answers of the shipped module's algebra as JSON on stdout.
import { readFileSync } from "node:fs";

const { module, data, settings } = JSON.parse(readFileSync(0, "utf8"));
const names = "settle, total, weighted, gradNorm, termNorms, shares, cosines, axisEnds, sum, number, meaning, "
  + "parseNumber, cosineText, conflictRemark, nextStep, nextChanges, rising";
const text = `${module}\nexport { ${names} };`;
const kit = await import(`data:text/javascript;base64,${Buffer.from(text).toString("base64")}`);
const answers = settings.map(({ index, weights }) => {
  const probe = data.cases[index];
  const w = kit.settle(data, probe, weights);
  const groups = [-1, ...probe.groups.keys()];
  return {
    w, total: kit.total(probe, w), weighted: kit.weighted(probe, w), shares: kit.shares(probe, w),
    gradNorm: groups.map((g) => kit.gradNorm(probe, w, g)), termNorms: groups.map((g) => kit.termNorms(probe, w, g)),
    cosines: groups.map((g) => kit.cosines(probe, w, g)), meaning: kit.meaning(data, probe, w),
    nextStep: [1, 0.01].map((lr) => kit.nextStep(probe, w, lr)), changes: kit.nextChanges(probe, w),
    rises: kit.rising(data, kit.nextChanges(probe, w)),
  };
});
const ends = [[0.3, 2.4], [2.9, null], [0], [-3, 4], [7e-9], []].map(kit.axisEnds);
const words = [0, null, 3.4312, 1234.5, 2.3e-7, -0.5, 0.99996].map(kit.number);
const typed = ["0.5", "0,5", " ,5 ", "1e-3", "2.", "-1", "\u22121", "", "0,5,1", "1.000,5", "0x10", "Infinity", "a", "1 2", "."]
  .map(kit.parseNumber);
const cosines = [0, -0.0001, 0.004, -0.012, -0.0996, -0.1, -0.104, 0.69, 1, -1].map(kit.cosineText);
const remarks = [[0, 0, 21], [0, 0, 0], [0, 3, 2], [0, 21, 0], [1, 21, 0], [2, 3, 2]]
  .map((counts) => kit.conflictRemark(...counts));
process.stdout.write(JSON.stringify({ answers, ends, words, typed, cosines, remarks }));
