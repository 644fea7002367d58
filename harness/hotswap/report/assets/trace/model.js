// Any trace: lanes by whatever its events have in common, spans with what lies in them, and what got lost.

const DEEPEST = 8;
const MOST_LANES = 1500;
const PLACES = [["thread", "thread"], ["process", "process"], ["cpu", "CPU"], ["event", "event"], ["provider", "provider"]];

class AnyTrace extends Events {
  constructor(meta, columns) {
    super(meta, columns);
    this.Painter = TracePainter;
    this.markColour = "accent";
    this.spans = { begin: columns.get("span.begin"), end: columns.get("span.end"), task: columns.get("span.task") };
    this.spanOfRow = this.rowsOfSpans();
    this.follows = this.flows();
    this.counts = this.countKinds();
    this.slots = this.slotsOfKinds();
    this.grouped = new Map();
    this.groupBy("thread");
  }

  // For each row the span that it begins (its number) or ends (minus its number, minus 2); -1: neither.
  rowsOfSpans() {
    const of = new Int32Array(this.length).fill(-1);
    const { begin, end } = this.spans;
    for (let i = 0; i < begin.length; i++) {
      if (this.meta.tasks[this.spans.task[i]].asked) continue;
      of[begin[i]] = i;
      if (end[i] >= 0) of[end[i]] = -2 - i;
    }
    return of;
  }

  flows() {
    const [origin, to] = [this.columns.get("flow.origin"), this.columns.get("flow.to")];
    const found = { from: new Map(), to: new Map() };
    for (let i = 0; i < to.length; i++) {
      found.from.set(to[i], origin[i]);
      if (!found.to.has(origin[i])) found.to.set(origin[i], to[i]);
    }
    return found;
  }

  countKinds() {
    const counts = new Float64Array(this.meta.kinds.length);
    for (let row = 0; row < this.length; row++) counts[this.kind[row]]++;
    return counts;
  }

  // The rows of a kind, in order.
  rowsOfKind(kind) {
    if (!this.byKind) {
      this.byKind = Array.from(this.counts, (count) => new Int32Array(count));
      const next = new Int32Array(this.counts.length);
      for (let row = 0; row < this.length; row++) this.byKind[this.kind[row]][next[this.kind[row]]++] = row;
    }
    return this.byKind[kind];
  }

  // The five most frequent names of what is drawn have colours of their own; ends are drawn with their begins.
  slotsOfKinds() {
    const shown = new Float64Array(this.meta.kinds.length);
    this.meta.kinds.forEach((kind, index) => { shown[index] = this.counts[index]; });
    for (const end of this.spans.end) if (end >= 0 && this.spanOfRow[end] < -1) shown[this.kind[end]]--;
    this.spans.begin.forEach((row, i) => {
      const task = this.meta.tasks[this.spans.task[i]];
      if (!task.asked) this.meta.kinds[this.kind[row]].drawn = task.name;
    });
    const byName = new Map();
    const nameOf = (kind) => kind.drawn || kind.name;
    this.meta.kinds.forEach((kind, index) => byName.set(nameOf(kind), (byName.get(nameOf(kind)) || 0) + shown[index]));
    this.named = [...byName.keys()].filter((name) => byName.get(name)).sort((a, b) => byName.get(b) - byName.get(a)).slice(0, 5);
    this.others = [...byName.values()].filter((count) => count).length > this.named.length;
    return Uint8Array.from(this.meta.kinds, (kind) => (this.named.includes(nameOf(kind)) ? this.named.indexOf(nameOf(kind)) : 5));
  }

  slotOf(row) {
    return this.slots[this.kind[row]];
  }

  // What lanes can be made by: [id, name].
  groupings() {
    const fields = new Map();
    for (const kind of this.meta.kinds) for (const field of kind.fields) fields.set(field.name, (fields.get(field.name) || 0) + 1);
    const names = [...fields.keys()].sort((a, b) => fields.get(b) - fields.get(a) || a.localeCompare(b)).slice(0, 80);
    return [...PLACES, ...names.map((name) => ["." + name, name])];
  }

  // A number for each row and the name of each number; -1 for events without the field.
  groups(id) {
    let found = this.grouped.get(id);
    if (!found) this.grouped.set(id, (found = id.startsWith(".") ? this.byField(id.slice(1)) : this.byPlace(id)));
    return found;
  }

  byPlace(id) {
    const codes = new Int32Array(this.length);
    const names = [];
    const known = new Map();
    const number = (key, name) => {
      if (!known.has(key)) {
        known.set(key, names.length);
        names.push(name);
      }
      return known.get(key);
    };
    if (id === "cpu") {
      const cpu = this.columns.get("cpu");
      for (let row = 0; row < this.length; row++) codes[row] = number(cpu[row], ["CPU " + cpu[row], ""]);
      return { codes, names };
    }
    let map, of;
    if (id === "thread") {
      map = this.meta.threads.map((thread, index) => number(index, this.threadName(thread)));
      of = this.columns.get("thread");
    } else if (id === "process") {
      map = this.meta.threads.map(([pid]) => number(pid, [this.processName(pid), ""]));
      of = this.columns.get("thread");
    } else {
      map = this.meta.kinds.map((kind) => (id === "event" ? number(kind.name, [kind.name, kind.provider]) : number(kind.provider, [kind.provider, ""])));
      of = this.kind;
    }
    for (let row = 0; row < this.length; row++) codes[row] = map[of[row]];
    return { codes, names };
  }

  processName(pid) {
    if (pid < 0) return "no process";
    const name = this.meta.processes[pid];
    return name ? `${name} (${pid})` : `process ${pid}`;
  }

  threadName([pid, tid, name]) {
    if (pid < 0) return ["no thread", "no process", "none"];
    if (tid < 0) return [this.processName(pid), "", String(pid)];
    return [name || `thread ${tid}`, this.processName(pid), name || String(tid)];
  }

  byField(name) {
    const codes = new Int32Array(this.length).fill(-1);
    const names = [];
    const known = new Map();
    const tables = this.meta.kinds.map((kind) => {
      const field = kind.fields.find((one) => one.name === name);
      return field && { field, values: this.columns.get(field.column), codes: new Map() };
    });
    for (let row = 0; row < this.length; row++) {
      const table = tables[this.kind[row]];
      if (!table || this.rank[row] < 0) continue;
      const value = table.values[this.rank[row]];
      let code = table.codes.get(value);
      if (code === undefined) {
        const text = this.fieldText(table.field, value);
        code = known.get(text);
        if (code === undefined) {
          known.set(text, (code = names.length));
          names.push([`${name} ${text}`, ""]);
        }
        table.codes.set(value, code);
      }
      codes[row] = code;
    }
    return { codes, names };
  }

  // Make the lanes by one of `groupings`.
  groupBy(id) {
    this.grouping = id;
    const { codes, names } = this.groups(id);
    const counts = new Int32Array(names.length + 1);
    for (let row = 0; row < this.length; row++) counts[codes[row] + 1]++;
    const order = [...names.keys()].sort((a, b) => (id === "cpu" || id.startsWith(".") ? compareNames(names[a][0], names[b][0]) : counts[b + 1] - counts[a + 1]));
    const kept = order.slice(0, MOST_LANES);
    const laneOf = new Int32Array(names.length + 1).fill(kept.length);
    kept.forEach((code, index) => { laneOf[code + 1] = index; });
    this.lanes = kept.map((code) => ({ label: names[code][0], detail: names[code][1], short: names[code][2], count: counts[code + 1] }));
    const rest = order.slice(MOST_LANES);
    const others = rest.reduce((sum, code) => sum + counts[code + 1], counts[0]);
    if (others) this.lanes.push({ label: rest.length ? `${grouped(rest.length)} more` : "others", detail: counts[0] ? `without ${id.slice(1)}` : "", count: others });
    this.laneIndex = new Int32Array(this.length);
    for (let row = 0; row < this.length; row++) this.laneIndex[row] = laneOf[codes[row] + 1];
    this.fillLanes();
    if (this.matches) this.share(this.matches, "matches");
  }

  fillLanes() {
    for (const lane of this.lanes) Object.assign(lane, { rows: new Int32Array(lane.count), points: 0, depths: [], matches: null });
    const next = new Int32Array(this.lanes.length);
    for (let row = 0; row < this.length; row++) {
      const lane = this.laneIndex[row];
      this.lanes[lane].rows[next[lane]++] = row;
      if (this.spanOfRow[row] === -1) this.lanes[lane].points++;
    }
    for (const lane of this.lanes) {
      const { rows } = lane;
      const points = lane.points === lane.count ? rows : new Int32Array(lane.points);
      if (points !== rows) for (let i = 0, at = 0; i < rows.length; i++) if (this.spanOfRow[rows[i]] === -1) points[at++] = rows[i];
      lane.points = points;
      lane.ticks = new Float64Array(points.length);
      for (let i = 0; i < points.length; i++) lane.ticks[i] = this.tick[points[i]];
    }
    this.stack();
  }

  // Spans lie in the lane of their begin: each in the first line that is free, so that what nests lies below.
  stack() {
    const { begin, end } = this.spans;
    for (const lane of this.lanes) lane.until = [];
    this.depthOf = new Int8Array(begin.length);
    for (let i = 0; i < begin.length; i++) {
      const lane = this.lanes[this.laneIndex[begin[i]]];
      let depth = lane.until.findIndex((row) => row <= begin[i]);
      if (depth < 0) depth = Math.min(lane.until.length, DEEPEST - 1);
      lane.until[depth] = end[i] < 0 ? Infinity : end[i];
      (lane.depths[depth] ||= []).push(i);
      this.depthOf[i] = depth;
    }
    for (const lane of this.lanes) {
      lane.depths = lane.depths.map((spans) => ({ spans: Int32Array.from(spans), begin: Float64Array.from(spans, (i) => this.tick[begin[i]]) }));
      delete lane.until;
    }
  }

  endTick(span) {
    return this.spans.end[span] < 0 ? Infinity : this.tick[this.spans.end[span]];
  }

  // Give each lane those of some rows that lie in it.
  share(rows, name) {
    const counts = new Int32Array(this.lanes.length);
    for (const row of rows) counts[this.laneIndex[row]]++;
    this.lanes.forEach((lane, index) => { lane[name] = new Int32Array(counts[index]); });
    counts.fill(0);
    for (const row of rows) this.lanes[this.laneIndex[row]][name][counts[this.laneIndex[row]]++] = row;
  }

  laneOf(row) {
    return this.lanes[this.laneIndex[row]];
  }

  laneHeight(lane) {
    const few = this.lanes.length <= 24;
    return lane.depths.length ? lane.depths.length * SPAN + (lane.points.length ? POINTS : 4) + 2 : few ? 30 : 22;
  }

  // The event under a place of the canvas: a span by its line, else the nearest event.
  find(place, y, tick, reach) {
    const { lane } = place;
    const depth = Math.floor((y - place.y - 2) / SPAN);
    if (depth >= 0 && depth < lane.depths.length) {
      const { spans, begin } = lane.depths[depth];
      const after = lowerBound(begin, tick);
      let best = null, distance = reach;
      for (const i of [after - 1, after]) {
        if (i < 0 || i >= spans.length) continue;
        const away = Math.max(begin[i] - tick, tick - this.endTick(spans[i]), 0);
        if (away <= distance) [best, distance] = [this.spans.begin[spans[i]], away];
      }
      if (best !== null) return best;
    }
    return nearest(lane.points, tick, reach, this) ?? nearest(lane.rows, tick, reach, this);
  }

  number(row) {
    return this.columns.has("row") ? this.columns.get("row")[row] : row + this.meta.firstRow;
  }

  place(row) {
    const [pid, tid, name] = this.thread(row);
    const { provider } = this.meta.kinds[this.kind[row]];
    const where = [["Process", this.processName(pid)], ["Thread", name ? `${name} (${tid})` : String(tid)]];
    return [["Time", this.time(row)], ...where.slice(0, pid < 0 ? 0 : tid < 0 ? 1 : 2), ["CPU", String(this.cpu(row))], ["Provider", provider]];
  }

  undecoded(row, kind) {
    const text = this.columns.get(this.kind[row] + ".raw").get(-1 - this.rank[row]);
    return [["not decoded", kind.problem], ...(text ? [["payload", text]] : [])];
  }

  more(row) {
    const found = [];
    const span = this.spanOfRow[row] < -1 ? -2 - this.spanOfRow[row] : this.spanOfRow[row];
    if (span >= 0) {
      const [begin, end] = [this.spans.begin[span], this.spans.end[span]];
      found.push(["Lasted", end < 0 ? "goes on at the end of the trace" : durationText(this.ns(this.tick[end] - this.tick[begin]))]);
      if (row !== begin) found.push(["Begun by", this.name(begin), begin]);
      else if (end >= 0) found.push(["Ended by", this.name(end), end]);
    }
    const [from, to] = [this.follows.from.get(row), this.follows.to.get(row)];
    if (from !== undefined) found.push(["Follows", this.name(from), from]);
    if (to !== undefined) found.push(["Led to", this.name(to), to]);
    return found;
  }

  density(bins, least, scale) {
    const counts = new Float64Array(bins * 6);
    for (let row = 0; row < this.length; row++) {
      const bin = Math.floor((this.tick[row] - least) * scale);
      if (bin >= 0 && bin < bins) counts[bin * 6 + this.slotOf(row)]++;
    }
    return { slots: 6, counts };
  }

  overviewMarks(c, minimap, theme) {
    c.fillStyle = theme.fail;
    for (const [from, to] of this.meta.losses) {
      if (from === null && to === null) continue;
      const x = from === null ? minimap.layout.gutter : minimap.x(from);
      const end = to === null ? minimap.layout.gutter + minimap.layout.plot : minimap.x(to);
      c.fillRect(x, minimap.height - 4, Math.max(2, end - x), 4);
    }
  }
}

// Numbers in names are compared as such.
function compareNames(a, b) {
  return a.localeCompare(b, "en", { numeric: true });
}
