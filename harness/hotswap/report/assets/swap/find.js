// What lies under the pointer in a lane of a swap run.

function nearestInLane(row, y, tick, reach, trace, layout) {
  if (row.lane.type !== "worker") return nearest(row.lane.rows, tick, reach, trace);
  const place = layout.split(row);
  const signal = nearestSignal(row.lane, tick, reach, trace);
  const iteration = iterationAt(row.lane, tick, reach, trace);
  const [preferred, other] = y >= place.signals ? [signal, iteration] : [iteration, signal];
  return preferred ?? other ?? nearest(row.lane.rows, tick, reach, trace);
}

function nearestSignal(lane, tick, reach, trace) {
  const { at, row } = trace.signals;
  const after = lowerBound(at, tick, ...lane.signals);
  let best = null, distance = reach;
  for (const i of [after - 1, after]) {
    if (i < lane.signals[0] || i >= lane.signals[1]) continue;
    const away = Math.abs(at[i] - tick);
    if (away <= distance) [best, distance] = [row[i], away];
  }
  return best;
}

function iterationAt(lane, tick, reach, trace) {
  const { begin, end, row } = trace.iterations;
  const [from, to] = lane.iterations;
  const after = lowerBound(begin, tick, from, to);
  let best = null, distance = reach;
  for (const i of [after - 1, after]) {
    if (i < from || i >= to) continue;
    if (begin[i] <= tick && tick <= end[i]) return row[i];
    const away = Math.min(Math.abs(begin[i] - tick), Math.abs(end[i] - tick));
    if (away <= distance) [best, distance] = [row[i], away];
  }
  return best;
}
