// The timeline: what is seen, selected and pointed at. Others change it through its methods and hear of it by `listen`.

class Timeline {
  // `most`: how high the lanes may be before they scroll; then there are the nodes `scroll` and `space`.
  constructor(trace, nodes, most = Infinity) {
    this.trace = trace;
    this.nodes = nodes;
    this.most = most;
    this.canvas = nodes.lanes;
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.minimap = new Minimap(nodes.overview, trace);
    this.view = new View(trace.last, trace.meta.frequency, () => this.redraw());
    this.selected = null;
    this.hover = null;
    this.proof = null;
    this.lane = trace.lanes[0];
    this.listeners = [];
    this.frames = 0;
    this.asked = null;
    this.printing = false;
    new ResizeObserver(() => this.resize()).observe(nodes.stage);
    if (nodes.scroll) nodes.scroll.addEventListener("scroll", () => { this.layout.scroll = nodes.scroll.scrollTop; this.redraw(); });
    for (const query of ["(prefers-color-scheme: dark)", "(resolution: 1dppx)"]) matchMedia(query).addEventListener("change", () => this.resize(true));
    this.resize(true);
  }

  listen(heard) {
    this.listeners.push(heard);
  }

  tell(what) {
    for (const heard of this.listeners) heard(what);
  }

  resize(anew = false) {
    const width = Math.floor(this.nodes.stage.clientWidth);
    if (!width || (!anew && width === this.width)) return;
    this.width = width;
    this.scale = this.printing ? 3 : window.devicePixelRatio || 1;
    const scroll = this.layout ? this.layout.scroll : 0;
    this.layout = new Layout(this.trace, width, this.printing ? Infinity : this.most);
    this.theme = new Theme(this.scale, this.printing);
    this.canvas.width = Math.round(width * this.scale);
    this.canvas.height = Math.round(this.layout.shown * this.scale);
    this.canvas.style.aspectRatio = `${width} / ${this.layout.shown}`;
    if (this.nodes.space) this.nodes.space.style.height = this.layout.height + "px";
    this.layout.scroll = this.layout.scrolls ? Math.min(scroll, this.layout.height - this.layout.shown) : 0;
    this.minimap.resize(this.layout, this.view, this.theme, this.scale);
    this.draw();
  }

  // On paper: light colours, and as fine as print is.
  print(on) {
    this.printing = on;
    this.resize(true);
  }

  redraw() {
    if (this.asked === null) this.asked = requestAnimationFrame(() => this.draw());
  }

  draw() {
    cancelAnimationFrame(this.asked);
    this.asked = null;
    const begun = performance.now();
    this.context.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    new this.trace.Painter(this.context, this.trace, this.layout, this.view, this.theme).paint(this);
    this.minimap.draw(this.view, this.proof);
    this.frames++;
    const { trace, view, canvas } = this;
    const span = durationText(trace.ns(view.span));
    if (this.nodes.span.textContent !== span) this.nodes.span.textContent = span;
    Object.assign(canvas.dataset, {
      from: Math.round(trace.ns(view.from)),
      to: Math.round(trace.ns(view.to)),
      lanes: this.layout.rows.length,
      frames: this.frames,
      drawMs: (performance.now() - begun).toFixed(2),
      selectedRow: this.selected ?? "",
      hoverRow: this.hover ?? "",
      lane: this.lane.label,
    });
    this.tell("view");
  }

  select(row, { reveal = true, say = true } = {}) {
    this.selected = row;
    if (row !== null) {
      this.lane = this.trace.laneOf(row);
      if (reveal) this.view.reveal(this.trace.tick[row]);
      if (reveal) this.revealLane();
      if (say) this.nodes.live.textContent = sentence(row, this.trace);
    }
    this.redraw();
    this.tell("selection");
  }

  // Bring the lane in use into sight.
  revealLane() {
    const { layout, nodes } = this;
    const place = layout.rowOf.get(this.lane);
    if (!nodes.scroll || !layout.scrolls || !place) return;
    const top = place.y - RULER;
    if (top < nodes.scroll.scrollTop) nodes.scroll.scrollTop = top;
    else if (place.y + place.height > nodes.scroll.scrollTop + layout.shown) nodes.scroll.scrollTop = place.y + place.height - layout.shown;
    layout.scroll = nodes.scroll.scrollTop;
  }

  point(row, x, y) {
    if (row !== this.hover) {
      this.hover = row;
      if (row !== null) fillTip(this.nodes.tip, row, this.trace);
      this.redraw();
    }
    const tip = this.nodes.tip;
    tip.hidden = row === null;
    if (row === null) return;
    const stage = this.nodes.stage;
    const left = x + 18 + tip.offsetWidth > this.width ? Math.max(4, x - 18 - tip.offsetWidth) : x + 18;
    tip.style.left = left + "px";
    tip.style.top = Math.min(this.canvas.offsetTop + y + 14, Math.max(0, stage.clientHeight - 12)) + "px";
  }

  // What a pointer does with a key held; true when it was meant for this.
  grip() {
    return false;
  }

  drag() {
    return false;
  }

  drop() {
    return false;
  }

  // The events of a row list with some room around; at least a few microseconds.
  around(rows, room = 0.35) {
    const ticks = rows.map((row) => this.trace.tick[row]);
    const [first, last] = [Math.min(...ticks), Math.max(...ticks)];
    const margin = Math.max((last - first) * room, this.trace.meta.frequency / 20000);
    this.view.show(first - margin, last + margin, true);
  }
}
