// Where everything lies on the canvas, in CSS pixels.

const RULER = 26;

class Layout {
  // `most`: the height beyond which the lanes scroll.
  constructor(trace, width, most = Infinity) {
    this.width = width;
    this.narrow = width < 620;
    this.gutter = this.narrow ? 66 : 152;
    this.plot = Math.max(10, width - this.gutter - 8);
    let y = RULER;
    this.rows = trace.lanes.map((lane) => {
      const height = trace.laneHeight(lane);
      const row = { lane, y, height };
      y += height;
      return row;
    });
    this.height = y + 4;
    this.shown = Math.min(this.height, most);
    this.scrolls = this.height > this.shown;
    this.scroll = 0;
    this.rowOf = new Map(this.rows.map((row) => [row.lane, row]));
  }

  // The lane at a height of the canvas.
  at(y) {
    if (this.scrolls && y < RULER) return undefined;
    const row = this.rows[this.first(y + this.scroll)];
    return row && y + this.scroll >= row.y ? row : undefined;
  }

  // The lanes that are in sight.
  seen() {
    if (!this.scrolls) return this.rows;
    return this.rows.slice(this.first(this.scroll + RULER), this.first(this.scroll + this.shown) + 1);
  }

  // The first lane that ends below a height.
  first(y) {
    let low = 0, high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.rows[middle].y + this.rows[middle].height <= y) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  x(tick, view) {
    return this.gutter + ((tick - view.from) / view.span) * this.plot;
  }

  tick(x, view) {
    return view.from + ((x - this.gutter) / this.plot) * view.span;
  }

  // The upper part of a worker's lane is for iterations, the lower one for signals.
  split(row) {
    const block = Math.max(5, Math.round((row.height - 4) * 0.66));
    return { top: row.y + 2, block, signals: row.y + 3 + block, tick: Math.max(3, row.height - block - 5) };
  }
}

// Steps of 1, 2 or 5 of a power of ten nanoseconds, at least `room` pixels apart.
function rulerStep(nsPerPixel, room) {
  const least = nsPerPixel * room;
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((n) => n * power).find((step) => step >= least);
}
