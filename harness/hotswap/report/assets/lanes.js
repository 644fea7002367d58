// Where everything lies on the canvas, in CSS pixels.

const RULER = 26;

class Layout {
  constructor(lanes, width) {
    this.width = width;
    this.narrow = width < 620;
    this.gutter = this.narrow ? 66 : 152;
    this.plot = Math.max(10, width - this.gutter - 8);
    const workers = lanes.filter((lane) => lane.type === "worker").length;
    const each = Math.max(12, Math.min(34, Math.floor(520 / Math.max(1, workers))));
    let y = RULER;
    this.rows = lanes.map((lane) => {
      const height = lane.type === "swap" ? 40 : lane.type === "host" ? 32 : each;
      const row = { lane, y, height };
      y += height;
      return row;
    });
    this.height = y + 4;
    this.rowOf = new Map(this.rows.map((row) => [row.lane, row]));
  }

  at(y) {
    return this.rows.find((row) => y >= row.y && y < row.y + row.height);
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
