/** What is said to the kernel, and what it says. */

/** @typedef {import("./live_charts.js").Mark} Mark */
/** @typedef {import("./live_controls.js").Offer} Offer */
/** @typedef {import("./live_acts.js").Probed} Probed */

/**
 * @typedef {Object} Told what the kernel says; the last four only in the first message to a view
 * @property {"all"|"more"} type
 * @property {Object<string, [number[], (number|null)[], number[]]>} curves steps, values, parts
 * @property {string} state
 * @property {string} status
 * @property {boolean} failed
 * @property {string} line
 * @property {string|number} seq
 * @property {number} step
 * @property {number} epoch
 * @property {number|null} planned
 * @property {Object<string, number>} weights
 * @property {Object<string, number>} in_force
 * @property {string[]} active
 * @property {Mark[]} [marks]
 * @property {Probed|null} [probe]
 * @property {{weight: string, term: string, start: number}[]} [rows]
 * @property {number} [upper]
 * @property {Offer[]} [offers]
 */

/**
 * @typedef {Object} LiveModel
 * @property {(name: string) => any} get
 * @property {(name: string, act: (told: any) => void) => void} on
 * @property {(name: string, act: (told: any) => void) => void} off
 * @property {(content: Object<string, any>) => void} send
 */

const HELLO_MS = 2000; // between two greetings that were not answered
const ALIVE_MS = 2000; // between two signs of life while it trains
const GREETINGS = 5;

/** The wire of one view. Training pauses when nothing is heard of any view, so it says now and then that it is there. */
export class Kernel {
  /** @param {LiveModel} model @param {(told: Told) => void} hear @param {() => void} silence nobody answers */
  constructor(model, hear, silence) {
    this.model = model;
    this.silence = silence;
    this.alive = -Infinity;
    this.hello = 0;
    /** @param {Told} told */
    this.listen = (told) => {
      if (told?.type !== "all" && told?.type !== "more") return;
      clearTimeout(this.hello);
      hear(told);
      const now = performance.now();
      if (told.state === "running" && now - this.alive > ALIVE_MS) {
        this.alive = now;
        this.send({ type: "ack" });
      }
    };
    model.on("msg:custom", this.listen);
    this.greet(GREETINGS);
  }

  /** @param {number} left tries */
  greet(left) {
    this.send({ type: "hello" });
    this.hello = setTimeout(() => (left > 1 ? this.greet(left - 1) : this.silence()), HELLO_MS);
  }

  /** @param {Object<string, any>} content */
  send(content) {
    this.model.send(content);
  }

  dispose() {
    this.model.off("msg:custom", this.listen);
    clearTimeout(this.hello);
  }
}
