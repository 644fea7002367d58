// The part of the trace that is seen, in ticks. It moves at once, or glides where motion is welcome.

class View {
  constructor(last, frequency, changed) {
    const margin = Math.max(last * 0.01, frequency / 1e5);
    this.least = -margin;
    this.most = last + margin;
    this.narrowest = Math.max(10, frequency / 1e6);
    this.changed = changed;
    this.from = this.least;
    this.to = this.most;
    this.glide = null;
  }

  get span() {
    return this.to - this.from;
  }

  clamp(from, to) {
    const span = Math.min(Math.max(to - from, this.narrowest), this.most - this.least);
    const middle = (from + to) / 2;
    const begin = Math.min(Math.max(middle - span / 2, this.least), this.most - span);
    return [begin, begin + span];
  }

  show(from, to, smooth = false) {
    const [begin, end] = this.clamp(from, to);
    cancelAnimationFrame(this.glide);
    if (!smooth || matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.from = begin;
      this.to = end;
      this.changed();
      return;
    }
    const start = performance.now();
    const [from0, span0, span1] = [this.from, this.span, end - begin];
    const middle0 = from0 + span0 / 2;
    const middle1 = (begin + end) / 2;
    const step = (now) => {
      const done = Math.min(1, (now - start) / 260);
      const eased = 1 - (1 - done) ** 3;
      // Spans change by ratio, so that the middle must follow the span to keep its target in sight.
      const span = done < 1 ? span0 * (span1 / span0) ** eased : span1;
      const path = Math.abs(span0 - span1) < 1e-9 ? eased : (span0 - span) / (span0 - span1);
      const middle = middle0 + (middle1 - middle0) * path;
      [this.from, this.to] = this.clamp(middle - span / 2, middle + span / 2);
      this.changed();
      if (done < 1) this.glide = requestAnimationFrame(step);
    };
    this.glide = requestAnimationFrame(step);
  }

  zoom(factor, around = (this.from + this.to) / 2, smooth = false) {
    const from = around - (around - this.from) / factor;
    const to = around + (this.to - around) / factor;
    this.show(from, to, smooth);
  }

  pan(share, smooth = false) {
    this.show(this.from + this.span * share, this.to + this.span * share, smooth);
  }

  whole(smooth = false) {
    this.show(this.least, this.most, smooth);
  }

  // Bring a moment into sight without changing the scale, when it is not well within.
  reveal(tick) {
    if (tick < this.from + this.span * 0.05 || tick > this.to - this.span * 0.05) this.show(tick - this.span / 2, tick + this.span / 2);
  }
}
