// What the timeline points out: held calls, the events of a proof, selection, and the names of the lanes.

Object.assign(Painter.prototype, {
  heldCalls() {
    const { context: c, theme, trace, layout } = this;
    for (const { row, worker } of trace.held) {
      const place = layout.rowOf.get(trace.laneOfWorker.get(worker));
      const x = this.x(trace.tick[row]);
      if (!place || x < this.left - 30 || x > this.right) continue;
      c.fillStyle = theme.text;
      c.fillRect(x - 0.75, place.y + 1, 1.5, place.height - 2);
      c.beginPath();
      c.moveTo(x, place.y + 1);
      c.lineTo(x + 6, place.y + 4.5);
      c.lineTo(x, place.y + 8);
      c.fill();
    }
  },

  // Signals whose call did not return within the trace.
  pendingSignals() {
    const { context: c, theme, trace, layout } = this;
    for (const { row, worker } of trace.pending) {
      const place = layout.rowOf.get(trace.laneOfWorker.get(worker));
      const x = this.x(trace.tick[row]);
      if (!place || x < this.left - 30 || x > this.right) continue;
      const { signals, tick } = layout.split(place);
      c.fillStyle = theme.fail;
      c.fillRect(x, signals, 1.5, tick);
      c.fillRect(x, signals + tick - 1.5, 7, 1.5);
    }
  },

  proof(proof) {
    const { context: c, theme, trace, layout } = this;
    if (!proof) return;
    c.fillStyle = c.strokeStyle = theme.fail;
    let numbered = -1e9;
    proof.forEach((row, i) => {
      const place = layout.rowOf.get(trace.laneOf(row));
      const x = this.x(trace.tick[row]);
      if (!place || x < this.left - 10 || x > this.right + 10) return;
      c.lineWidth = 1.5;
      c.strokeRect(x - 4, place.y + 1, 8, place.height - 2);
      c.beginPath();
      c.moveTo(x, RULER);
      c.lineTo(x - 5, RULER - 8);
      c.lineTo(x + 5, RULER - 8);
      c.fill();
      const next = i + 1 < proof.length ? this.x(trace.tick[proof[i + 1]]) : Infinity;
      if (x - numbered < 22 || next - x < 22) return;
      this.number(i + 1, x, place.y + place.height / 2);
      numbered = x;
    });
    c.lineWidth = 1;
  },

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
  },

  outline(row, colour, width) {
    const { context: c, trace, layout } = this;
    if (row === null || row === undefined) return;
    const place = layout.rowOf.get(trace.laneOf(row));
    const iteration = trace.iterationOfRow[row];
    c.strokeStyle = colour;
    c.lineWidth = width;
    const x = this.x(trace.tick[row]);
    if (iteration >= 0 && place.lane.type === "worker") {
      const box = layout.split(place);
      const begin = this.x(trace.iterations.begin[iteration]);
      const end = Math.min(this.right + 4, this.x(Math.min(trace.iterations.end[iteration], trace.last)));
      c.strokeRect(begin - 1.5, box.top - 1, Math.max(end - begin, 1) + 3, box.block + 2);
    } else {
      c.strokeRect(x - 4.5, place.y + 1.5, 9, place.height - 3);
    }
    if (width > 1) {
      c.globalAlpha = 0.5;
      c.beginPath();
      c.moveTo(x, RULER);
      c.lineTo(x, layout.height);
      c.stroke();
      c.globalAlpha = 1;
    }
    c.lineWidth = 1;
  },

  labels(state) {
    const { context: c, layout, theme, trace } = this;
    c.fillStyle = theme.panel;
    c.fillRect(0, 0, layout.gutter, layout.height);
    c.fillStyle = theme.quiet;
    c.font = theme.small;
    c.textAlign = "left";
    if (this.base) c.fillText(exactTime(this.base, 3), 10, 12);
    for (const row of layout.rows) {
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
      const name = layout.narrow && row.lane.worker ? `W ${row.lane.worker}` : row.lane.label;
      c.fillText(name, 10, tall ? middle - 6 : middle);
      c.fillStyle = theme.quiet;
      c.font = theme.small;
      if (tall) c.fillText(row.lane.detail, 10, middle + 7);
      else if (!layout.narrow && row.lane.detail && row.height >= 14) c.fillText(row.lane.detail, 76, middle);
      c.textBaseline = "alphabetic";
    }
    c.fillStyle = theme.line;
    c.fillRect(layout.gutter - 1, RULER, 1, layout.height - RULER);
  },
});
