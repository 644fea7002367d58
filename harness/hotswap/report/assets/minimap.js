// The whole trace in a strip, with the part that is seen: drawn once, the window over it each time.

class Minimap {
  constructor(canvas, trace) {
    this.canvas = canvas;
    this.trace = trace;
    this.height = 44;
  }

  resize(layout, view, theme, scale) {
    Object.assign(this, { layout, theme, scale });
    const { canvas } = this;
    canvas.width = Math.round(layout.width * scale);
    canvas.height = Math.round(this.height * scale);
    canvas.style.aspectRatio = `${layout.width} / ${this.height}`;
    this.picture = document.createElement("canvas");
    this.picture.width = canvas.width;
    this.picture.height = canvas.height;
    const c = this.picture.getContext("2d");
    c.scale(scale, scale);
    this.least = view.least;
    this.most = view.most;
    this.paint(c);
  }

  x(tick) {
    return this.layout.gutter + ((tick - this.least) / (this.most - this.least)) * this.layout.plot;
  }

  tick(x) {
    return this.least + ((x - this.layout.gutter) / this.layout.plot) * (this.most - this.least);
  }

  // How much happened: per two pixels, stacked by what the trace tells apart.
  paint(c) {
    const { trace, layout, theme, height } = this;
    c.fillStyle = theme.panel;
    c.fillRect(0, 0, layout.width, height);
    c.fillStyle = theme.quiet;
    c.font = theme.small;
    c.textBaseline = "middle";
    c.fillText(layout.narrow ? "All" : "Whole trace", 10, height / 2);
    const bins = Math.ceil(layout.plot / 2);
    const scale = layout.plot / (this.most - this.least) / 2;
    const { slots, counts } = trace.density(bins, this.least, scale);
    let most = 1;
    for (let bin = 0; bin < bins; bin++) most = Math.max(most, counts.subarray(bin * slots, (bin + 1) * slots).reduce((a, b) => a + b));
    for (let bin = 0; bin < bins; bin++) {
      let y = height - 4;
      for (let s = 0; s < slots; s++) {
        const count = counts[bin * slots + s];
        if (!count) continue;
        const size = Math.max(1, (count / most) * (height - 12));
        c.fillStyle = theme.fill(c, s);
        c.fillRect(layout.gutter + bin * 2, y - size, 2, size);
        y -= size;
      }
    }
    trace.overviewMarks(c, this, theme);
  }

  // `marked`: rows that are pointed out.
  draw(view, marked) {
    const { canvas, theme, layout, height, scale } = this;
    const c = canvas.getContext("2d");
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.drawImage(this.picture, 0, 0);
    c.scale(scale, scale);
    const from = this.x(view.from);
    const to = Math.max(this.x(view.to), from + 2);
    c.fillStyle = theme.ground;
    c.globalAlpha = 0.72;
    c.fillRect(layout.gutter, 0, from - layout.gutter, height);
    c.fillRect(to, 0, layout.gutter + layout.plot - to, height);
    c.globalAlpha = 1;
    c.fillStyle = theme[this.trace.markColour || "fail"];
    for (const row of marked || []) {
      const x = this.x(this.trace.tick[row]);
      c.beginPath();
      c.moveTo(x, 7);
      c.lineTo(x - 4, 0);
      c.lineTo(x + 4, 0);
      c.fill();
    }
    c.strokeStyle = theme.accent;
    c.lineWidth = 1.5;
    c.strokeRect(from + 0.5, 1, Math.max(1, to - from - 1), height - 2);
    c.fillStyle = theme.accent;
    for (const x of [from, to]) c.fillRect(x - 1.5, height / 2 - 7, 3, 14);
  }
}
