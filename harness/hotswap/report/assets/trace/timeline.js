// The timeline of any trace: lanes by choice, and a range of time that is measured.

class TraceTimeline extends Timeline {
  constructor(trace, nodes) {
    super(trace, nodes, 620);
    this.range = null;
    this.from = null;
  }

  groupBy(id) {
    this.trace.groupBy(id);
    this.layout.scroll = 0;
    if (this.nodes.scroll) this.nodes.scroll.scrollTop = 0;
    this.lane = this.selected === null ? this.trace.lanes[0] : this.trace.laneOf(this.selected);
    this.resize(true);
    if (this.selected !== null) this.revealLane();
    this.redraw();
    this.canvas.dataset.grouping = id;
    this.tell("lanes");
  }

  // Two ticks, or null for none.
  measure(range) {
    this.range = range && [Math.min(...range), Math.max(...range)];
    const { trace } = this;
    let text = "";
    if (this.range) {
      const [first, last] = this.range.map((tick, i) => lowerBound(trace.tick, i ? tick + 0.5 : tick));
      const cut = `${durationText(trace.ns(this.range[1] - this.range[0]))}, ${grouped(last - first)} events`;
      text = `Range: ${cut}`;
      this.nodes.live.textContent = text;
    }
    node("range").textContent = text;
    node("range-filter").hidden = !this.range;
    this.canvas.dataset.range = this.range ? this.range.map((tick) => Math.round(trace.ns(tick))).join(" ") : "";
    this.redraw();
    this.tell("range");
  }

  // With shift held, a drag chooses a range.
  grip(event, [x]) {
    if (!event.shiftKey || x < this.layout.gutter) return false;
    this.from = this.layout.tick(x, this.view);
    return true;
  }

  drag(event, [x]) {
    if (this.from === null) return false;
    this.point(null);
    this.measure([this.from, this.layout.tick(x, this.view)]);
    return true;
  }

  drop() {
    const dragged = this.from !== null;
    this.from = null;
    return dragged;
  }

  // For the keyboard: the first mark begins a range at the selected event, the second ends it.
  mark() {
    const tick = this.selected === null ? (this.view.from + this.view.to) / 2 : this.trace.tick[this.selected];
    if (this.marked === undefined) {
      this.marked = tick;
      this.nodes.live.textContent = "Range begins here; M at another event ends it";
      this.measure([tick, tick]);
    } else {
      this.measure([this.marked, tick]);
      this.marked = undefined;
    }
  }

  clear() {
    this.marked = undefined;
    this.measure(null);
    this.select(null);
  }
}
