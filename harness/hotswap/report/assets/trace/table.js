// The table of any trace: of a lane, of a range of time, or of what was found.

class TraceTable extends EventTable {
  constructor(timeline) {
    super(timeline);
    this.lanes = node("filter-lane");
    this.inRange = node("filter-range");
    this.found = node("filter-found");
    for (const input of [this.lanes, this.inRange, this.found]) input.addEventListener("change", () => this.filter());
    this.offer();
    timeline.listen((what) => {
      if (what === "lanes") this.offer();
      if (what === "lanes" || what === "matches") this.filterSoon();
      if (what === "range" && this.inRange.checked) this.filterSoon();
    });
  }

  offer() {
    this.lanes.replaceChildren(new Option("all lanes", ""), ...this.trace.lanes.slice(0, 500).map((lane, index) => new Option(lane.label + (lane.detail ? ` · ${lane.detail}` : ""), index)));
  }

  source() {
    if (!this.lanes) return null;
    const lane = this.lanes.value === "" ? null : this.trace.lanes[Number(this.lanes.value)];
    const { matches } = this.trace;
    if (!this.found.checked || !matches) return lane ? lane.rows : null;
    return lane ? lane.matches || [] : matches;
  }

  between() {
    const { range } = this.timeline;
    if (!this.inRange || !this.inRange.checked || !range) return super.between();
    return [lowerBound(this.trace.tick, range[0]), lowerBound(this.trace.tick, range[1] + 0.5)];
  }

  cells(row) {
    const { trace } = this;
    const [pid, tid] = trace.thread(row);
    const fields = trace.fields(row).map(([name, text]) => `${name}=${text}`).join("  ");
    const place = [pid, tid].map((id) => (id < 0 ? "" : id));
    return [[grouped(trace.number(row)), "r"], [trace.time(row), "r"], [place[0], "r"], [place[1], "r"], [trace.cpu(row), "r"], [trace.name(row), "name"], [fields, "fields"]];
  }
}
