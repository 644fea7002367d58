// The lanes of a swap run. What is smaller than a pixel is drawn per pixel, so that a frame costs by width, not by events.

class SwapPainter extends Painter {
  below() {
    this.bands();
  }

  lane(row) {
    if (row.lane.type === "swap") this.swapLane(row);
    else if (row.lane.type === "host") this.hostLane(row);
    else this.workerLane(row);
  }

  above(state) {
    this.heldCalls();
    this.pendingSignals();
    this.proof(state.proof);
  }

  // Swaps lie over all lanes.
  bands() {
    const { context: c, layout, theme, trace, view } = this;
    const top = RULER;
    for (const swap of trace.meta.swaps) {
      if (!swap.parts.length) continue;
      for (const [name, first, last] of swap.parts) {
        const x = this.x(first);
        const end = last === null ? this.right : this.x(last);
        if (end < this.left || x > this.right) continue;
        c.fillStyle = theme.parts[name.replace(" ", "-")];
        c.globalAlpha = name === "prepare" || name === "finish" ? 0.1 : theme["band-alpha"];
        c.fillRect(x, top, Math.max(end - x, 0.75), layout.height - top);
      }
      c.globalAlpha = 1;
      const stall = swap.parts.find(([name]) => name === "drain") || swap.parts[0];
      const x = Math.round(this.x(stall[1]));
      if (x < this.left - 40 || x > this.right) continue;
      c.fillStyle = swap.refused ? theme.fail : theme.quiet;
      if (view.span > trace.meta.frequency / 500) c.fillRect(x, top, 1, layout.height - top);
    }
  }

  swapLane(row) {
    const { context: c, theme, trace, layout } = this;
    const force = trace.meta.force;
    force.forEach(([from, version], i) => {
      const x = Math.max(this.left, from === null ? this.left : this.x(from));
      const end = Math.min(this.right, i + 1 < force.length ? this.x(force[i + 1][0]) : this.x(trace.last));
      if (end <= x || !version) return;
      const top = row.y + 22;
      c.fillStyle = theme.fill(c, trace.slot(version));
      c.fillRect(x, top, end - x, 15);
      this.text(`v${version}`, x, end, top + 7.5);
    });
    let flag = -1e9;
    for (const swap of trace.meta.swaps) {
      for (const [name, first, last] of swap.parts) {
        const x = this.x(first);
        const end = last === null ? this.right : this.x(last);
        if (end < this.left || x > this.right) continue;
        c.fillStyle = theme.part(c, name.replace(" ", "-"));
        c.fillRect(x, row.y + 3, Math.max(end - x, 1), 16);
        if (end - x > 3) {
          c.fillStyle = theme.panel;
          c.fillRect(end - 0.5, row.y + 3, 1, 16);
        }
        this.text(name, Math.max(x, this.left), Math.min(end, this.right), row.y + 11, theme["on-part"]);
      }
      const begin = swap.parts.length ? this.x(swap.parts[0][1]) : NaN;
      const end = swap.parts.length ? this.x(swap.parts[swap.parts.length - 1][2] ?? trace.last) : NaN;
      if (!layout.narrow && (swap.refused || end - begin < 60) && begin > this.left - 1) {
        c.fillStyle = swap.refused ? theme.fail : theme.text;
        c.font = theme.small;
        c.textBaseline = "middle";
        const words = `${swap.from || "none"} → ${swap.to || "none"}${swap.refused ? " ↶ refused" : ""}`;
        const width = c.measureText(words).width;
        const from = end + 5 + width < this.right ? end + 5 : begin - 5 - width;
        c.textAlign = "left";
        if (from > flag + 6) {
          c.fillText(words, from, row.y + 11.5);
          flag = from + width;
        }
        c.textBaseline = "alphabetic";
      }
    }
  }

  hostLane(row) {
    const { context: c, theme, trace, view } = this;
    for (const [load, from, to] of trace.meta.loads) {
      const x = Math.max(this.left, this.x(from));
      const end = Math.min(this.right, to === null ? this.right : this.x(to));
      if (end <= x) continue;
      c.fillStyle = theme.faint;
      c.fillRect(x, row.y + 8, end - x, row.height - 16);
      this.text(`load ${load}`, x, end, row.y + row.height / 2, theme.quiet);
    }
    const ticks = row.lane.rows;
    let i = this.trace.firstRow(ticks, view.from);
    c.fillStyle = theme.quiet;
    c.beginPath();
    while (i < ticks.length && trace.tick[ticks[i]] <= view.to) {
      const tick = trace.tick[ticks[i]];
      this.diamond(this.x(tick), row.y + row.height / 2, 4.5);
      // One for each pixel is enough.
      i = Math.max(i + 1, this.trace.firstRow(ticks, tick + view.span / this.layout.plot));
    }
    c.fill();
  }

  workerLane(row) {
    const { trace, view, layout } = this;
    const place = layout.split(row);
    const [from, to] = row.lane.iterations;
    const { begin, end } = trace.iterations;
    let first = lowerBound(begin, view.from, from, to);
    if (first > from && end[first - 1] >= view.from) first--;
    const last = lowerBound(begin, view.to, first, to);
    if (last - first > layout.plot / 3) this.manyIterations(place, first, last);
    else this.fewIterations(place, first, last);
    const at = trace.signals.at;
    const s0 = lowerBound(at, view.from, ...row.lane.signals);
    const s1 = lowerBound(at, view.to, s0, row.lane.signals[1]);
    this.manySignals(place, s0, s1);
  }

  fewIterations(place, first, last) {
    const { context: c, theme, trace } = this;
    const { begin, end, slot, timeout, endRow } = trace.iterations;
    for (let i = first; i < last; i++) {
      const x = this.x(begin[i]);
      const right = endRow[i] < 0 ? this.right : this.x(end[i]);
      const width = Math.max(right - x, 1.25);
      if (width < 2) {
        // On whole pixels: between them, thin strokes lose their colour.
        c.fillStyle = theme.version(slot[i]);
        const tall = timeout[i] ? place.block * 0.45 : place.block;
        c.fillRect(Math.round(x), place.top, 1.5, tall);
      } else if (timeout[i]) {
        c.fillStyle = theme.version(slot[i]);
        c.globalAlpha = 0.28;
        c.fillRect(x, place.top, width, place.block);
        c.globalAlpha = 1;
        if (width > 4) this.dashed(x, place.top, width, place.block, theme.version(slot[i]));
        else c.fillRect(x, place.top, width, place.block * 0.45);
      } else {
        c.fillStyle = width > 4 ? theme.fill(c, slot[i]) : theme.version(slot[i]);
        c.fillRect(x, place.top, width, place.block);
      }
      if (endRow[i] < 0) {
        c.fillStyle = theme.fail;
        c.fillRect(x, place.top, Math.max(0, this.right - x), 2);
        c.fillRect(x, place.top + place.block - 2, Math.max(0, this.right - x), 2);
      }
      if (width > 46 && place.block > 11) {
        const version = trace.value(trace.iterations.row[i], "Version");
        const words = (timeout[i] ? "time-out " : "") + `v${version} #${trace.value(trace.iterations.row[i], "Iteration")}`;
        this.text(words, Math.max(x, this.left), Math.min(right, this.right), place.top + place.block / 2);
      }
    }
  }

  // One column per pixel: the version of the first iteration in it, the taller the more there are.
  manyIterations(place, first, last) {
    const { context: c, theme, trace, view, layout } = this;
    const { begin, end, slot, timeout } = trace.iterations;
    const paths = new Map();
    const perPixel = view.span / layout.plot;
    let i = first;
    for (let px = 0; px < layout.plot && i < last; px++) {
      const until = view.from + (px + 1) * perPixel;
      const next = advance(begin, until, i, last);
      let chosen = i, count = next - i;
      if (!count) {
        if (i === first || end[i - 1] < until - perPixel) continue;
        chosen = i - 1;
        count = 1e6;
      }
      const key = slot[chosen] * 2 + timeout[chosen];
      let path = paths.get(key);
      if (!path) paths.set(key, (path = new Path2D()));
      const height = place.block * Math.min(1, 0.5 + Math.log2(1 + count) / 8);
      path.rect(this.left + px, place.top + place.block - height, 1, height);
      i = next;
    }
    for (const [key, path] of paths) {
      c.globalAlpha = key % 2 ? 0.5 : 1;
      c.fillStyle = key % 2 ? theme.version(key >> 1) : theme.fill(c, key >> 1);
      c.fill(path);
    }
    c.globalAlpha = 1;
  }

  manySignals(place, first, last) {
    const { context: c, theme, trace, view, layout } = this;
    const { at, accepted } = trace.signals;
    const ticks = [new Path2D(), new Path2D()];
    const perPixel = view.span / layout.plot;
    const wide = last - first < layout.plot / 4 ? 1.5 : 1;
    for (let i = first; i < last;) {
      const px = Math.floor((at[i] - view.from) / perPixel);
      const next = advance(at, view.from + (px + 1) * perPixel, i + 1, last);
      let any = 0;
      for (let k = i; k < next && k < i + 16 && !any; k++) any = accepted[k];
      ticks[any].rect(this.left + px, place.signals, wide, any ? place.tick : place.tick * 0.5);
      i = next;
    }
    c.fillStyle = theme.signal;
    c.globalAlpha = 0.45;
    c.fill(ticks[0]);
    c.globalAlpha = 1;
    c.fill(ticks[1]);
  }
}
