// The lanes of any trace: spans in lines, other events below them. What is smaller than a pixel is drawn per pixel, so
// that a frame costs by width and lanes in sight, not by events.

const SPAN = 15;
const POINTS = 13;

class TracePainter extends Painter {
  // What got lost, and the range that was chosen, in the ruler's line.
  beside(state) {
    const { context: c, theme, trace } = this;
    for (const loss of trace.meta.losses) {
      const [x, end] = this.lossPlace(loss);
      if (x === null) continue;
      c.fillStyle = theme.fail;
      c.fillRect(x, RULER - 5, Math.max(end - x, 2), 4);
    }
    if (state.range) {
      c.fillStyle = theme.accent;
      for (const tick of state.range) c.fillRect(this.x(tick) - 0.75, 0, 1.5, RULER);
    }
  }

  // From where to where a loss is drawn; null when it is out of sight, or nobody knows where it was.
  lossPlace([from, to]) {
    if (from === null && to === null) return [null, null];
    const x = from === null ? this.left : this.x(from);
    const end = to === null ? this.right : this.x(to);
    return end < this.left || x > this.right ? [null, null] : [x, end];
  }

  below(state) {
    const { context: c, layout, theme, trace } = this;
    for (const loss of trace.meta.losses) {
      const [x, end] = this.lossPlace(loss);
      if (x === null) continue;
      const cpu = trace.grouping === "cpu" && loss[3] !== null ? trace.lanes.find((lane) => lane.label === "CPU " + loss[3]) : null;
      const place = cpu && layout.rowOf.get(cpu);
      c.fillStyle = theme.lost(c);
      c.globalAlpha = 0.5;
      c.fillRect(x, place ? place.y : RULER, Math.max(end - x, 2), place ? place.height : layout.height - RULER);
      c.globalAlpha = 1;
    }
    if (!state.range) return;
    const [from, to] = state.range.map((tick) => this.x(tick));
    c.fillStyle = theme.accent;
    c.globalAlpha = 0.12;
    c.fillRect(from, RULER, Math.max(to - from, 1), layout.height - RULER);
    c.globalAlpha = 1;
  }

  lane(place) {
    const { lane } = place;
    lane.depths.forEach((line, depth) => this.spans(line, place.y + 2 + depth * SPAN));
    const top = place.y + 2 + lane.depths.length * SPAN;
    this.points(lane, top, place.y + place.height - top - 2);
    if (lane.matches && lane.matches.length) this.matches(lane.matches, place);
  }

  spans({ spans, begin }, top) {
    const { context: c, theme, trace, view, layout } = this;
    const perPixel = view.span / layout.plot;
    let i = lowerBound(begin, view.from);
    // The one before may reach into sight; so may others that nest in no other line, which are few.
    while (i > 0 && trace.endTick(spans[i - 1]) >= view.from && begin[i - 1] < view.from) i--;
    while (i < spans.length && begin[i] <= view.to) {
      const row = trace.spans.begin[spans[i]];
      const x = this.x(begin[i]);
      const open = trace.spans.end[spans[i]] < 0;
      const end = open ? this.right : this.x(trace.endTick(spans[i]));
      const slot = trace.slotOf(row);
      if (end - x < 2) {
        c.fillStyle = theme.version(slot);
        c.fillRect(Math.round(x), top, 1.5, SPAN - 2);
        // One for each pixel is enough.
        i = Math.max(i + 1, advance(begin, begin[i] + perPixel, i, spans.length));
        continue;
      }
      // What has no colour of its own stays in the background.
      c.globalAlpha = slot === 5 ? 0.4 : 1;
      c.fillStyle = end - x > 4 && slot !== 5 ? theme.fill(c, slot) : theme.version(slot);
      c.fillRect(x, top, end - x, SPAN - 2);
      c.globalAlpha = 1;
      if (open) {
        c.fillStyle = theme.fail;
        c.fillRect(x, top, end - x, 2);
      }
      const [from, to] = [Math.max(x, this.left), Math.min(end, this.right)];
      if (to - from > 40) this.text(this.named(trace.meta.tasks[trace.spans.task[spans[i]]].name, to - from - 12), from, to, top + (SPAN - 2) / 2);
      i++;
    }
  }

  named(name, room) {
    this.context.font = this.theme.bold;
    return this.fit(name, room);
  }

  points(lane, top, height) {
    const { context: c, theme, trace, view, layout } = this;
    const { points, ticks } = lane;
    if (!points.length) return;
    const perPixel = view.span / layout.plot;
    const paths = new Map();
    const last = lowerBound(ticks, view.to);
    let i = lowerBound(ticks, view.from);
    const loose = last - i < layout.plot / 5;
    while (i < last) {
      const next = advance(ticks, view.from + (Math.floor((ticks[i] - view.from) / perPixel) + 1) * perPixel, i + 1, last);
      const slot = trace.slotOf(points[i]);
      let path = paths.get(slot);
      if (!path) paths.set(slot, (path = new Path2D()));
      const x = this.x(ticks[i]);
      const tall = Math.max(4, height * Math.min(1, 0.55 + Math.log2(next - i) / 12));
      if (loose) path.rect(x - 1.25, top + height - tall, 2.5, tall);
      else path.rect(Math.floor(x), top + height - tall, 1, tall);
      if (loose && height >= 11) this.label(points[i], x, next < points.length ? this.x(ticks[next]) : this.right, top + height / 2);
      i = next;
    }
    for (const [slot, path] of paths) {
      c.fillStyle = theme.version(slot);
      c.fill(path);
    }
  }

  // The name of an event, where there is room before the next.
  label(row, x, until, middle) {
    const { context: c, theme, trace } = this;
    const room = Math.min(until, this.right) - x - 10;
    if (room < 36) return;
    c.font = theme.small;
    c.textAlign = "left";
    c.textBaseline = "middle";
    c.fillStyle = theme.quiet;
    c.fillText(this.fit(trace.name(row), room), x + 5, middle + 0.5);
    c.textBaseline = "alphabetic";
  }

  matches(rows, place) {
    const { context: c, theme, trace, view, layout } = this;
    const perPixel = view.span / layout.plot;
    let i = trace.firstRow(rows, view.from);
    c.fillStyle = theme.accent;
    c.beginPath();
    while (i < rows.length && trace.tick[rows[i]] <= view.to) {
      const tick = trace.tick[rows[i]];
      const x = this.x(tick);
      c.moveTo(x, place.y + 6);
      c.lineTo(x - 4, place.y);
      c.lineTo(x + 4, place.y);
      i = Math.max(i + 1, trace.firstRow(rows, tick + 2 * perPixel));
    }
    c.fill();
  }

  boxOf(row, place) {
    const { trace } = this;
    const span = trace.spanOfRow[row] < -1 ? -2 - trace.spanOfRow[row] : trace.spanOfRow[row];
    if (span < 0) {
      const top = place.y + 1 + place.lane.depths.length * SPAN;
      return [this.x(trace.tick[row]) - 4.5, top, 9, place.y + place.height - top - 1];
    }
    const home = this.layout.rowOf.get(trace.laneOf(trace.spans.begin[span]));
    const x = this.x(trace.tick[trace.spans.begin[span]]);
    const end = Math.min(this.right + 4, this.x(Math.min(trace.endTick(span), trace.last)));
    return [x - 1.5, (home || place).y + 1 + trace.depthOf[span] * SPAN, Math.max(end - x, 1) + 3, SPAN];
  }
}
