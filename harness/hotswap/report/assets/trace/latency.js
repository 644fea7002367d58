// How long it takes: of spans, or from any event to the next of another kind. Figures, a histogram, the slowest.

const PERCENTILES = [["p50", 0.5], ["p90", 0.9], ["p99", 0.99], ["max", 1]];
const SVG = "http://www.w3.org/2000/svg";

// Pairs [begin row, end row]: each first event and the next second one of its key that no earlier first one took.
function pairsOf(first, second, per, trace) {
  const codes = per ? trace.groups(per).codes : null;
  const same = first === second;
  const queues = new Map();
  const begin = [], end = [];
  let without = 0;
  for (let row = 0; row < trace.length; row++) {
    const name = trace.name(row);
    if (name !== first && name !== second) continue;
    const key = codes ? codes[row] : 0;
    if (key < 0) continue;
    let queue = queues.get(key);
    if (!queue) queues.set(key, (queue = { rows: [], at: 0 }));
    if (name === second && queue.at < queue.rows.length) {
      begin.push(queue.rows[queue.at++]);
      end.push(row);
    }
    if (name === first) queue.rows.push(row);
  }
  for (const queue of queues.values()) without += queue.rows.length - queue.at;
  return { begin, end, without: same ? 0 : without };
}

function spansOf(task, trace) {
  const begin = [], end = [];
  let without = 0;
  const { spans } = trace;
  for (let i = 0; i < spans.begin.length; i++) {
    if (spans.task[i] !== task) continue;
    if (spans.end[i] < 0) without++;
    else {
      begin.push(spans.begin[i]);
      end.push(spans.end[i]);
    }
  }
  return { begin, end, without };
}

// Steps of 1, 2 and 5, from below the least to above the most.
function edgesOf(least, most) {
  const edges = [];
  let power = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  if (least < 1) edges.push(0);
  while (!edges.length || edges[edges.length - 1] <= most) {
    for (const step of [1, 2, 5]) edges.push(step * power);
    power *= 10;
  }
  const from = edges.findLastIndex((edge) => edge <= least);
  return edges.slice(Math.max(0, from), edges.findIndex((edge) => edge > most) + 1);
}

class Latency {
  constructor(timeline) {
    this.timeline = timeline;
    this.trace = timeline.trace;
    this.what = node("latency-what");
    this.first = node("latency-first");
    this.second = node("latency-second");
    this.per = node("latency-per");
    const { meta } = this.trace;
    const used = new Float64Array(meta.tasks.length);
    for (const task of this.trace.spans.task) used[task]++;
    const tasks = [...used.keys()].filter((task) => used[task]).sort((a, b) => used[b] - used[a]);
    for (const task of tasks) this.what.append(new Option(`${meta.tasks[task].name} · ${grouped(used[task])} spans`, task));
    this.what.append(new Option("from one event to another", "pair"));
    const names = [...new Set(meta.kinds.map((kind) => kind.name))].sort(compareNames);
    for (const select of [this.first, this.second]) select.append(...names.map((name) => new Option(name, name)));
    this.second.selectedIndex = Math.min(1, names.length - 1);
    for (const select of [this.what, this.first, this.second]) select.addEventListener("change", () => this.offer());
    this.per.addEventListener("change", () => this.show());
    this.offer();
  }

  // The keys that both events have.
  offer() {
    const pair = this.what.value === "pair";
    node("latency-pair").hidden = !pair;
    if (pair) {
      const fields = [this.first, this.second].map((select) =>
        new Set(this.trace.meta.kinds.filter((kind) => kind.name === select.value).flatMap((kind) => kind.fields.map((field) => field.name))));
      const before = this.per.value;
      const common = [...fields[0]].filter((name) => fields[1].has(name));
      this.per.replaceChildren(new Option("whatever", ""), ...PLACES.slice(0, 3).map(([id, name]) => new Option("same " + name, id)),
        ...common.map((name) => new Option("same " + name, "." + name)));
      if ([...this.per.options].some((option) => option.value === before)) this.per.value = before;
    }
    this.show();
  }

  show() {
    const { trace } = this;
    const pair = this.what.value === "pair";
    const found = pair ? pairsOf(this.first.value, this.second.value, this.per.value, trace) : spansOf(Number(this.what.value), trace);
    const took = Float64Array.from(found.begin, (row, i) => trace.ns(trace.tick[found.end[i]] - trace.tick[row]));
    const order = Int32Array.from(took.keys()).sort((a, b) => took[a] - took[b]);
    const target = node("latency-answer");
    target.dataset.pairs = order.length;
    if (!order.length) {
      target.replaceChildren(element("p", pair ? "No such pair is in the trace." : "No such span is in the trace.", "quiet"));
      return;
    }
    const at = (share) => took[order[Math.min(order.length - 1, Math.ceil(share * order.length) - 1)]];
    const figures = element("dl", undefined, "mini");
    const told = [["Pairs", grouped(order.length)], ...PERCENTILES.map(([name, share]) => [name, durationText(at(share))])];
    if (found.without) told.push(["Without an end", grouped(found.without)]);
    for (const [name, text] of told) {
      const part = element("div");
      part.append(element("dt", name), element("dd", text));
      figures.append(part);
    }
    const edges = edgesOf(took[order[0]], took[order[order.length - 1]]);
    const bins = edges.slice(0, -1).map((edge, i) => ({ from: edge, to: edges[i + 1], pairs: [] }));
    let bin = 0;
    for (const i of order) {
      while (bin < bins.length - 1 && took[i] >= bins[bin].to) bin++;
      bins[bin].pairs.push(i);
    }
    const go = (i) => {
      this.timeline.select(found.begin[i], { reveal: false });
      this.timeline.revealLane();
      this.timeline.around([found.begin[i], found.end[i]], 0.6);
      goToTimeline(this.timeline);
    };
    target.replaceChildren(figures, this.picture(bins, at, go), this.slowest(order, took, go), this.numbers(bins));
  }

  picture(bins, at, go) {
    const [width, height, left, floor] = [1000, 170, 8, 140];
    const shape = (name, attributes, text) => {
      const made = document.createElementNS(SVG, name);
      for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
      if (text !== undefined) made.textContent = text;
      return made;
    };
    const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, class: "histogram", role: "img", "aria-label": `Histogram: ${bins.filter((b) => b.pairs.length).map((b) => `${this.span(b)} ${b.pairs.length}`).join(", ")}` });
    const step = Math.min(90, (width - 2 * left) / bins.length);
    const most = Math.max(...bins.map((one) => one.pairs.length));
    svg.append(shape("line", { x1: left, x2: left + step * bins.length, y1: floor + 0.5, y2: floor + 0.5, class: "axis" }));
    bins.forEach((one, i) => {
      const x = left + i * step;
      const every = Math.ceil(66 / step);
      if (i % every === 0) svg.append(shape("text", { x, y: floor + 18, class: "time" }, durationText(one.from)));
      if (!one.pairs.length) return;
      const size = Math.max(2, (one.pairs.length / most) * (floor - 24));
      const bar = shape("rect", { x: x + 1, y: floor - size, width: Math.max(1, step - 2), height: size, class: "bar v0" });
      bar.append(shape("title", {}, `${this.span(one)}: ${grouped(one.pairs.length)}`));
      bar.addEventListener("click", () => go(one.pairs[one.pairs.length - 1]));
      svg.append(bar, shape("text", { x: x + step / 2, y: floor - size - 4, class: "time", "text-anchor": "middle" }, grouped(one.pairs.length)));
    });
    const place = (ns) => {
      const i = Math.min(bins.length - 1, Math.max(0, bins.findIndex((one) => ns < one.to)));
      const { from, to } = bins[i];
      const share = from > 0 ? Math.log(Math.max(ns, from) / from) / Math.log(to / from) : ns / to;
      return left + (i + Math.min(1, share)) * step;
    };
    for (const [name, share] of PERCENTILES.slice(0, 3)) {
      const x = place(at(share));
      svg.append(shape("path", { d: `M${x} 12V${floor}`, class: "percentile" }), shape("text", { x: x + 3, y: 18, class: "percentile" }, name));
    }
    const around = element("div", undefined, "scroller");
    around.tabIndex = 0;
    around.setAttribute("role", "region");
    around.setAttribute("aria-label", "Histogram");
    around.append(svg);
    return around;
  }

  span({ from, to }) {
    return `${durationText(from)} to ${durationText(to)}`;
  }

  slowest(order, took, go) {
    const line = element("p", "Slowest: ", "slowest");
    for (const i of Array.from(order.slice(-8)).reverse()) {
      const button = element("button", durationText(took[i]), "link");
      button.type = "button";
      button.title = "Show it in the timeline";
      button.addEventListener("click", () => go(i));
      line.append(button, " ");
    }
    return line;
  }

  numbers(bins) {
    const details = element("details");
    details.append(element("summary", "As numbers"));
    const table = element("table", undefined, "data");
    const head = element("tr");
    for (const name of ["From", "To", "Pairs"]) {
      const cell = element("th", name, "r");
      cell.scope = "col";
      head.append(cell);
    }
    table.createTHead().append(head);
    const body = table.createTBody();
    for (const one of bins) {
      const line = body.insertRow();
      for (const text of [durationText(one.from), durationText(one.to), grouped(one.pairs.length)]) line.append(element("td", text, "r"));
    }
    details.append(table);
    return details;
  }
}
