// Reads {module, acts} as JSON from stdin: lists of "now", "later", "frame" and "stop". Answers after how many acts each drew.
import { readFileSync } from "node:fs";

const { module, acts } = JSON.parse(readFileSync(0, "utf8"));
const waiting = new Map();
let asked = 0;
globalThis.requestAnimationFrame = (act) => {
  asked += 1;
  waiting.set(asked, act);
  return asked;
};
globalThis.cancelAnimationFrame = (id) => waiting.delete(id);
const { Frames } = await import(`data:text/javascript;base64,${Buffer.from(module).toString("base64")}`);
process.stdout.write(JSON.stringify(acts.map((list) => {
  waiting.clear();
  const drawn = [];
  let at = 0;
  const frames = new Frames(() => drawn.push(at));
  for (const act of list) {
    at += 1;
    if (act === "frame") {
      const due = [...waiting.values()];
      waiting.clear();
      for (const run of due) run();
    } else frames[act]();
  }
  return { drawn, waiting: waiting.size };
})));
