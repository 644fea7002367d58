// All events as a table that holds only the lines in sight.

const LINE = 25;
const MOST = 8_000_000;

class EventTable {
  constructor(timeline) {
    this.timeline = timeline;
    this.trace = timeline.trace;
    this.scroll = document.getElementById("events-scroll");
    this.table = document.getElementById("events-table");
    this.body = this.table.tBodies[0];
    this.kind = document.getElementById("filter-kind");
    this.inView = document.getElementById("filter-view");
    this.count = document.getElementById("events-count");
    const names = [...new Set(this.trace.meta.kinds.map((kind) => kind.name))].sort();
    for (const name of names) this.kind.append(new Option(name, name));
    for (const input of [this.kind, this.inView]) input.addEventListener("change", () => this.filter());
    this.scroll.addEventListener("scroll", () => this.redraw());
    this.scroll.addEventListener("keydown", (event) => this.key(event));
    this.body.addEventListener("click", (event) => {
      const line = event.target.closest("tr[data-row]");
      if (line) timeline.select(Number(line.dataset.row));
    });
    timeline.listen((what) => {
      if (what === "selection") this.follow();
      else if (this.inView.checked) this.filterSoon();
    });
    this.filter();
  }

  filterSoon() {
    clearTimeout(this.later);
    this.later = setTimeout(() => this.filter(), 120);
  }

  // `rows` null stands for all of them.
  filter() {
    const { trace } = this;
    const source = this.source();
    let [from, to] = this.between();
    if (this.inView.checked) {
      from = Math.max(from, lowerBound(trace.tick, this.timeline.view.from));
      to = Math.min(to, lowerBound(trace.tick, this.timeline.view.to, from));
    }
    const kinds = this.kind.value ? trace.meta.kinds.map((kind) => kind.name === this.kind.value) : null;
    if (!source && !kinds && from === 0 && to >= trace.length) this.rows = null;
    else {
      this.rows = [];
      const take = (row) => { if (row >= from && row < to && (!kinds || kinds[trace.kind[row]])) this.rows.push(row); };
      if (source) source.forEach(take);
      else for (let row = from; row < to; row++) take(row);
    }
    this.total = this.rows ? this.rows.length : trace.length;
    this.table.setAttribute("aria-rowcount", this.total + 1);
    this.count.textContent = this.rows ? `${grouped(this.total)} of ${grouped(trace.length)}` : grouped(this.total);
    this.follow();
  }

  // The rows to choose from, in order; null: all.
  source() {
    return null;
  }

  // Only rows from the first of these to before the second.
  between() {
    return [0, this.trace.length];
  }

  // What stands in a line: text and class of each cell.
  cells(row) {
    const { trace } = this;
    const fields = trace.fields(row).map(([name, text]) => `${name}=${text}`).join("  ");
    return [[grouped(row), "r"], [trace.time(row), "r"], [trace.tid(row), "r"], [trace.cpu(row), "r"], [trace.name(row), "name"], [fields, "fields"]];
  }

  row(at) {
    return this.rows ? this.rows[at] : at;
  }

  position(row) {
    return this.rows ? lowerBound(this.rows, row) : row;
  }

  // Bring the selected event into sight, without taking the focus.
  follow() {
    const { selected } = this.timeline;
    if (selected !== null) {
      const at = this.position(selected);
      const top = this.scroll.scrollTop / this.scale();
      const seen = this.scroll.clientHeight - LINE * 2;
      if (at < this.total && (at * LINE < top || at * LINE > top + seen - LINE)) this.scroll.scrollTop = Math.max(0, at * LINE - seen / 2) * this.scale();
    }
    this.draw();
  }

  // Browsers limit how high an element can be; beyond that a line's place is scaled.
  scale() {
    return Math.min(1, MOST / Math.max(1, this.total * LINE));
  }

  redraw() {
    if (this.asked) return;
    this.asked = requestAnimationFrame(() => { this.asked = null; this.draw(); });
  }

  draw() {
    const scale = this.scale();
    const first = Math.max(0, Math.floor(this.scroll.scrollTop / scale / LINE) - 4);
    const last = Math.min(this.total, first + Math.ceil(this.scroll.clientHeight / LINE) + 10);
    const lines = [];
    const spacer = (height) => {
      const line = element("tr", undefined, "spacer");
      line.setAttribute("aria-hidden", "true");
      const cell = element("td");
      cell.colSpan = this.table.tHead.rows[0].cells.length;
      cell.style.height = height + "px";
      line.append(cell);
      return line;
    };
    const above = scale < 1 ? Math.max(0, this.scroll.scrollTop - 4 * LINE) : first * LINE;
    if (above) lines.push(spacer(above));
    for (let at = first; at < last; at++) lines.push(this.line(at));
    const below = this.total * LINE * scale - above - (last - first) * LINE;
    if (below > 0) lines.push(spacer(below));
    this.body.replaceChildren(...lines);
  }

  line(at) {
    const row = this.row(at);
    const line = element("tr");
    line.dataset.row = row;
    line.setAttribute("aria-rowindex", at + 2);
    if (row === this.timeline.selected) line.setAttribute("aria-selected", "true");
    line.append(...this.cells(row).map(([text, name]) => element("td", String(text), name)));
    return line;
  }

  key(event) {
    const direction = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!direction || !this.total) return;
    event.preventDefault();
    const selected = this.timeline.selected;
    const at = selected === null ? (direction > 0 ? -1 : this.total) : this.position(selected);
    this.timeline.select(this.row(Math.min(this.total - 1, Math.max(0, at + direction))));
  }
}
