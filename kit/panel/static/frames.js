/** When to draw: what a hand changes is drawn at once, so that the next frame shows it; everything else waits for that frame. */

/** At most one drawing at once in a frame; what comes after it in the same frame is drawn with the next one. */
export class Frames {
  /** @param {() => void} draw */
  constructor(draw) {
    this.draw = draw;
    this.asked = 0;
    this.wanted = this.drawn = false;
  }

  /** With the next frame. */
  later() {
    this.wanted = true;
    this.ask();
  }

  /** At once, or with the next frame if this one has been drawn for. */
  now() {
    if (this.drawn) {
      this.later();
      return;
    }
    this.drawn = true;
    this.wanted = false;
    this.ask();
    this.draw();
  }

  ask() {
    if (this.asked !== 0) return;
    this.asked = requestAnimationFrame(() => {
      const { wanted } = this;
      this.asked = 0;
      this.wanted = this.drawn = false;
      if (wanted) this.draw();
    });
  }

  stop() {
    cancelAnimationFrame(this.asked);
  }
}
