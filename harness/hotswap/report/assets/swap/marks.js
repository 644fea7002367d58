// What the timeline of a swap run points out: held calls, signals that did not return, the events of a proof.

Object.assign(SwapPainter.prototype, {
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

  boxOf(row, place) {
    const { trace, layout } = this;
    const iteration = trace.iterationOfRow[row];
    if (iteration < 0 || place.lane.type !== "worker") return Painter.prototype.boxOf.call(this, row, place);
    const box = layout.split(place);
    const begin = this.x(trace.iterations.begin[iteration]);
    const end = Math.min(this.right + 4, this.x(Math.min(trace.iterations.end[iteration], trace.last)));
    return [begin - 1.5, box.top - 1, Math.max(end - begin, 1) + 3, box.block + 2];
  },
});
