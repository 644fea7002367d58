// What every timeline draws: the ruler, the names of the lanes, texts in boxes, the selected event. What lies in the
// lanes is drawn by those who extend it: `below`, `lane` and `above`.

class Painter {
  constructor(context, trace, layout, view, theme) {
    Object.assign(this, { context, trace, layout, view, theme });
    this.left = layout.gutter;
    this.right = layout.gutter + layout.plot;
  }

  paint(state) {
    const { context: c, layout, theme } = this;
    c.clearRect(0, 0, layout.width, layout.shown);
    c.fillStyle = theme.panel;
    c.fillRect(0, 0, layout.width, layout.shown);
    c.save();
    c.beginPath();
    c.rect(this.left, 0, layout.plot, layout.shown);
    c.clip();
    this.ruler();
    this.beside(state);
    c.beginPath();
    c.rect(this.left, this.marksReach(), layout.plot, layout.shown);
    c.clip();
    c.translate(0, -layout.scroll);
    this.below(state);
    for (const row of layout.seen()) this.lane(row);
    this.above(state);
    this.outline(state.hover, theme.text, 1);
    this.outline(state.selected, theme.accent, 2);
    c.restore();
    c.save();
    this.labels(state);
    c.restore();
  }

  // What is drawn in the ruler's line.
  beside() {}

  below() {}

  above() {}

  // Where lanes and their marks may begin: below the ruler, once they scroll.
  marksReach() {
    return this.layout.scrolls ? RULER : 0;
  }

  x(tick) {
    return this.left + ((tick - this.view.from) / this.view.span) * this.layout.plot;
  }

  ruler() {
    const { context: c, layout, theme, trace, view } = this;
    const step = rulerStep(trace.ns(view.span) / layout.plot, 88);
    const zero = trace.meta.firstNs;
    const from = zero + trace.ns(view.from);
    // Zoomed in, labels count from a round moment that is written out at the left.
    const base = step >= 1e6 ? 0 : Math.floor(from / 1e6) * 1e6;
    c.strokeStyle = theme.line;
    c.fillStyle = theme.quiet;
    c.font = theme.small;
    c.textAlign = "left";
    c.lineWidth = 1;
    c.beginPath();
    for (let ns = Math.ceil(from / step) * step; ns <= from + trace.ns(view.span); ns += step) {
      const x = Math.round(this.x(((ns - zero) * trace.meta.frequency) / 1e9)) + 0.5;
      c.moveTo(x, 16);
      c.lineTo(x, layout.shown);
      const text = base ? "+" + this.tickText(ns - base, step) : this.tickText(ns, step);
      if (x > this.left + 2 && x + 4 + c.measureText(text).width < this.right) c.fillText(text, x + 4, 12);
    }
    c.stroke();
    this.base = base;
  }

  tickText(ns, step) {
    const [scale, unit] = step >= 1e8 ? [1e9, "s"] : step >= 1e5 ? [1e6, "ms"] : step >= 100 ? [1e3, "µs"] : [1, "ns"];
    const digits = Math.max(0, Math.ceil(Math.log10(scale / step) - 1e-9));
    return (ns / scale).toFixed(digits) + THIN + unit;
  }

  // Written within a box on a version's colour, or on a part's.
  text(words, from, to, middle, colour = null) {
    const { context: c, theme } = this;
    c.font = theme.bold;
    const width = to - from > 14 ? c.measureText(words).width : Infinity;
    if (width + 10 > to - from) return;
    c.textAlign = "center";
    c.textBaseline = "middle";
    const x = (from + to) / 2;
    if (!colour) {
      c.fillStyle = theme.panel;
      c.beginPath();
      c.roundRect(x - width / 2 - 4, middle - 6.5, width + 8, 13, 3);
      c.fill();
    }
    c.fillStyle = colour || theme.text;
    c.fillText(words, x, middle + 0.5);
    c.textBaseline = "alphabetic";
  }

  dashed(x, y, width, height, colour) {
    const c = this.context;
    c.strokeStyle = colour;
    c.lineWidth = 1.25;
    c.setLineDash([3, 2]);
    c.strokeRect(x + 0.6, y + 0.6, width - 1.2, height - 1.2);
    c.setLineDash([]);
    c.lineWidth = 1;
  }

  // A text cut with a mark where it is wider than there is room.
  fit(text, room) {
    const { context: c } = this;
    if (c.measureText(text).width <= room) return text;
    let low = 0, high = text.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (c.measureText(text.slice(0, middle) + "…").width <= room) low = middle;
      else high = middle - 1;
    }
    return text.slice(0, low) + "…";
  }

  diamond(x, y, size) {
    const c = this.context;
    c.moveTo(x, y - size);
    c.lineTo(x + size, y);
    c.lineTo(x, y + size);
    c.lineTo(x - size, y);
    c.closePath();
  }

  number(value, x, y) {
    const { context: c, theme } = this;
    c.font = theme.bold;
    c.textAlign = "left";
    c.textBaseline = "middle";
    c.lineWidth = 3;
    c.strokeStyle = theme.panel;
    c.strokeText(value, x + 7, y);
    c.fillText(value, x + 7, y);
    c.strokeStyle = theme.fail;
    c.textBaseline = "alphabetic";
  }

  // The box of an event, in content coordinates; those who extend this know of longer ones.
  boxOf(row, place) {
    const x = this.x(this.trace.tick[row]);
    return [x - 4.5, place.y + 1.5, 9, place.height - 3];
  }

  outline(row, colour, width) {
    const { context: c, trace, layout } = this;
    if (row === null || row === undefined) return;
    const place = layout.rowOf.get(trace.laneOf(row));
    if (!place) return;
    c.strokeStyle = colour;
    c.lineWidth = width;
    c.strokeRect(...this.boxOf(row, place));
    if (width > 1) {
      const x = this.x(trace.tick[row]);
      c.globalAlpha = 0.5;
      c.beginPath();
      c.moveTo(x, RULER);
      c.lineTo(x, layout.height);
      c.stroke();
      c.globalAlpha = 1;
    }
    c.lineWidth = 1;
  }

  labels(state) {
    const { context: c, layout, theme, trace } = this;
    c.fillStyle = theme.panel;
    c.fillRect(0, 0, layout.gutter, layout.shown);
    c.fillStyle = theme.quiet;
    c.font = theme.small;
    c.textAlign = "left";
    if (this.base) c.fillText(exactTime(this.base, 3), 10, 12);
    c.save();
    c.beginPath();
    c.rect(0, layout.scrolls ? RULER : 0, layout.width, layout.shown);
    c.clip();
    c.translate(0, -layout.scroll);
    for (const row of layout.seen()) {
      c.fillStyle = theme.line;
      c.fillRect(0, row.y + row.height - 0.5, layout.width, 0.5);
      if (row.lane === state.lane) {
        c.fillStyle = theme.accent;
        c.fillRect(0, row.y + 2, 3, row.height - 4);
      }
      const tall = row.height >= 24 && row.lane.detail && !layout.narrow;
      const middle = row.y + row.height / 2;
      c.textBaseline = "middle";
      c.fillStyle = theme.text;
      c.font = row.height < 14 ? theme.small : theme.bold;
      const name = this.fit((layout.narrow && row.lane.short) || row.lane.label, layout.gutter - 16);
      const after = Math.max(76, 18 + c.measureText(name).width);
      c.fillText(name, 10, tall ? middle - 6 : middle);
      c.fillStyle = theme.quiet;
      c.font = theme.small;
      if (tall) c.fillText(this.fit(row.lane.detail, layout.gutter - 16), 10, middle + 7);
      else if (!layout.narrow && row.lane.detail && row.height >= 14 && after < layout.gutter - 20) c.fillText(this.fit(row.lane.detail, layout.gutter - 6 - after), after, middle);
      c.textBaseline = "alphabetic";
    }
    c.restore();
    c.fillStyle = theme.line;
    c.fillRect(layout.gutter - 1, RULER, 1, layout.shown - RULER);
  }
}

// First position from `at` whose value is not below `wanted`: by growing steps, for it is mostly near.
function advance(values, wanted, at, end) {
  let step = 1;
  let low = at;
  while (at < end && values[at] < wanted) {
    low = at + 1;
    at += step;
    step *= 2;
  }
  return lowerBound(values, wanted, low, Math.min(at, end));
}
