// What lies under the pointer, and what follows what.

const REACH = 7;

// The row nearest to a place on the canvas, or null.
function rowAt(x, y, trace, layout, view) {
  const row = layout.at(y);
  if (!row || x < layout.gutter) return null;
  const tick = layout.tick(x, view);
  const reach = (REACH / layout.plot) * view.span;
  return trace.find(row, y + layout.scroll, tick, reach, layout);
}

function nearest(rows, tick, reach, trace) {
  let low = 0, high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (trace.tick[rows[middle]] < tick) low = middle + 1;
    else high = middle;
  }
  let best = null, distance = reach;
  for (const i of [low - 1, low]) {
    if (i < 0 || i >= rows.length) continue;
    const away = Math.abs(trace.tick[rows[i]] - tick);
    if (away <= distance) [best, distance] = [rows[i], away];
  }
  return best;
}

// The event of a lane before (-1) or after (1) a row of any lane; null at its ends.
function neighbour(lane, row, step, trace) {
  const rows = lane.rows;
  let low = 0, high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle] < row) low = middle + 1;
    else high = middle;
  }
  if (step > 0 && rows[low] === row) low++;
  const at = step > 0 ? low : low - 1;
  return at >= 0 && at < rows.length ? rows[at] : null;
}
