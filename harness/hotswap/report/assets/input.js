// Pointer, wheel, touch and keys on the timeline.

function listenToPointer(timeline) {
  const { canvas, view } = timeline;
  const held = new Map();
  let moved = false;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("wheel", (event) => {
    const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    const focused = document.activeElement === canvas;
    // A page that scrolls must not get stuck here: the wheel zooms once the timeline is in use.
    if (!sideways && !focused && !event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 18 : 1;
    if (sideways) view.pan(((event.deltaX || event.deltaY) * unit) / timeline.layout.plot);
    else view.zoom(Math.exp(-event.deltaY * unit * 0.0022), timeline.layout.tick(place(event)[0], view));
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    if (timeline.grip(event, place(event))) return;
    held.set(event.pointerId, place(event));
    moved = false;
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    const before = held.get(event.pointerId);
    if (timeline.drag(event, [x, y])) return;
    if (!before) {
      timeline.point(rowAt(x, y, timeline.trace, timeline.layout, view), x, y);
      return;
    }
    if (held.size === 2) pinch(event.pointerId, [x, y]);
    else if (moved || Math.abs(x - before[0]) > 3) {
      moved = true;
      canvas.classList.add("dragging");
      timeline.point(null);
      view.pan((before[0] - x) / timeline.layout.plot);
    } else return;
    held.set(event.pointerId, [x, y]);
  });
  const pinch = (id, [x]) => {
    const other = [...held].find(([key]) => key !== id)[1][0];
    const before = Math.abs(held.get(id)[0] - other);
    moved = true;
    if (before > 4) view.zoom(Math.max(0.2, Math.abs(x - other) / before), timeline.layout.tick((x + other) / 2, view));
  };
  const release = (event) => {
    if (timeline.drop(event) || !held.delete(event.pointerId)) return;
    canvas.classList.remove("dragging");
    if (moved || event.type !== "pointerup") return;
    const [x, y] = place(event);
    const row = timeline.layout.at(y);
    if (row) timeline.lane = row.lane;
    timeline.select(rowAt(x, y, timeline.trace, timeline.layout, view), { reveal: false });
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => timeline.point(null));
  canvas.addEventListener("dblclick", (event) => view.zoom(4, timeline.layout.tick(place(event)[0], view), true));
}

function listenToOverview(timeline) {
  const { minimap, view } = timeline;
  const strip = minimap.canvas;
  let grip = null;
  const at = (event) => minimap.tick(event.clientX - strip.getBoundingClientRect().left);
  strip.addEventListener("pointerdown", (event) => {
    strip.setPointerCapture(event.pointerId);
    const x = event.clientX - strip.getBoundingClientRect().left;
    const near = (tick) => Math.abs(minimap.x(tick) - x) < 7;
    const tick = at(event);
    if (near(view.from)) grip = { edge: "from" };
    else if (near(view.to)) grip = { edge: "to" };
    else {
      if (tick < view.from || tick > view.to) view.show(tick - view.span / 2, tick + view.span / 2);
      grip = { offset: tick - view.from };
    }
  });
  strip.addEventListener("pointermove", (event) => {
    if (!grip) return;
    const tick = at(event);
    if (grip.edge === "from") view.show(Math.min(tick, view.to), view.to);
    else if (grip.edge === "to") view.show(view.from, Math.max(tick, view.from));
    else view.show(tick - grip.offset, tick - grip.offset + view.span);
  });
  for (const name of ["pointerup", "pointercancel"]) strip.addEventListener(name, () => { grip = null; });
}

// `more`: actions by key, beside or instead of those that every timeline has.
function listenToKeys(timeline, more = {}) {
  const { canvas, view, trace } = timeline;
  const middle = () => (view.from + view.to) / 2;
  const anchor = () => {
    const tick = timeline.selected === null ? NaN : trace.tick[timeline.selected];
    return tick >= view.from && tick <= view.to ? tick : middle();
  };
  // Where to start from when nothing is selected: the middle of what is seen.
  const start = () => timeline.selected ?? Math.max(0, lowerBound(trace.tick, middle()) - 1);
  const step = (direction) => {
    const next = neighbour(timeline.lane, start(), direction, trace);
    if (next !== null) timeline.select(next);
    else timeline.nodes.live.textContent = `No event ${direction > 0 ? "after" : "before"} this in lane ${timeline.lane.label}`;
  };
  const climb = (direction) => {
    const lanes = trace.lanes;
    const at = Math.min(lanes.length - 1, Math.max(0, lanes.indexOf(timeline.lane) + direction));
    const from = start();
    timeline.lane = lanes[at];
    timeline.revealLane();
    const rows = lanes[at].rows;
    if (!rows.length) {
      timeline.nodes.live.textContent = `Lane ${lanes[at].label}: no events`;
      timeline.redraw();
      return;
    }
    const tick = trace.tick[from];
    const nearestRow = nearest(rows, tick, Infinity, trace);
    timeline.select(nearestRow);
  };
  const actions = {
    ArrowRight: () => step(1), ArrowLeft: () => step(-1), ArrowDown: () => climb(1), ArrowUp: () => climb(-1),
    "+": () => view.zoom(2, anchor(), true), "=": () => view.zoom(2, anchor(), true), w: () => view.zoom(1.5, anchor(), true),
    "-": () => view.zoom(0.5, anchor(), true), s: () => view.zoom(1 / 1.5, anchor(), true),
    d: () => view.pan(0.2, true), a: () => view.pan(-0.2, true), PageDown: () => view.pan(0.9, true), PageUp: () => view.pan(-0.9, true),
    "0": () => view.whole(true),
    Home: () => timeline.lane.rows.length && timeline.select(timeline.lane.rows[0]),
    End: () => timeline.lane.rows.length && timeline.select(timeline.lane.rows[timeline.lane.rows.length - 1]),
    Enter: () => timeline.selected !== null && timeline.around([timeline.selected]),
    Escape: () => { timeline.proof = null; delete canvas.dataset.proof; timeline.select(null); },
    ...more,
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
