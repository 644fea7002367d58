// The trace of a swap run: lanes of iterations and signals.

const TIMEOUT = 0x102;

class Trace extends Events {
  constructor(meta, columns) {
    super(meta, columns);
    this.kindIndex = new Map(meta.kinds.map((kind, index) => [kind.name, index]));
    this.laneOfWorker = new Map();
    this.workerOfThread = new Map(meta.workers.flatMap((worker) => worker.threads.map((tid) => [tid, worker.id])));
    this.Painter = SwapPainter;
    this.buildLanes();
  }

  fieldText(field, value) {
    const source = field.name === "Source" ? this.meta.sources[value] : undefined;
    return source === undefined ? valueText(field, value) : `${value} (${source})`;
  }

  laneHeight(lane) {
    if (lane.type === "swap") return 40;
    return lane.type === "host" ? 32 : Math.max(12, Math.min(34, Math.floor(520 / Math.max(1, this.meta.workers.length))));
  }

  find(place, y, tick, reach, layout) {
    return nearestInLane(place, y, tick, reach, this, layout);
  }

  slot(version) {
    const index = this.meta.versions.indexOf(version);
    return index < 0 ? this.meta.versions.length : index;
  }

  // The lane that a row is drawn in.
  laneOf(row) {
    const name = this.name(row);
    if (name.startsWith("Swap")) return this.lanes[0];
    const worker = this.value(row, "Worker");
    return this.laneOfWorker.get(worker) || this.lanes[1];
  }

  buildLanes() {
    const rows = this.rowsByLane();
    this.lanes.push({ type: "swap", label: "Version", detail: "swaps", rows: rows.swap });
    this.lanes.push({ type: "host", label: "Host", detail: "load, lifecycle", rows: rows.host });
    for (const worker of this.meta.workers) {
      const lane = { type: "worker", worker: worker.id, label: `Worker ${worker.id}`, short: `W ${worker.id}`, detail: worker.wait, rows: rows.worker.get(worker.id) };
      this.lanes.push(lane);
      this.laneOfWorker.set(worker.id, lane);
    }
    this.fillIterations();
    this.fillSignals();
    this.pending = Array.from(this.columns.get("signal.pending"), (row) => ({ row, worker: this.value(row, "Worker") }));
    this.held = this.rowsOf("SwapFirstHeld").map((row) => ({ row, worker: this.workerOfThread.get(this.tid(row)) }));
  }

  rowsOf(name) {
    const wanted = this.kindIndex.get(name);
    const rows = [];
    if (wanted !== undefined) for (let row = 0; row < this.length; row++) if (this.kind[row] === wanted) rows.push(row);
    return rows;
  }

  rowsByLane() {
    const found = { swap: [], host: [], worker: new Map(this.meta.workers.map((worker) => [worker.id, []])) };
    const workers = this.meta.kinds.map((kind, index) =>
      kind.fields.some((field) => field.name === "Worker") ? this.columns.get(index + ".Worker") : null);
    const swaps = this.meta.kinds.map((kind) => kind.name.startsWith("Swap"));
    for (let row = 0; row < this.length; row++) {
      const kind = this.kind[row];
      const list = workers[kind] && this.rank[row] >= 0 && found.worker.get(workers[kind][this.rank[row]]);
      (list || (swaps[kind] ? found.swap : found.host)).push(row);
    }
    return found;
  }

  fillIterations() {
    const begins = this.columns.get("iteration.begin");
    const lengths = this.columns.get("iteration.end");
    this.wokenBy = this.columns.get("iteration.signal");
    this.iterationOfRow = new Int32Array(this.length).fill(-1);
    this.iterations = { begin: new Float64Array(begins.length), end: new Float64Array(begins.length), row: begins, endRow: new Int32Array(begins.length),
      slot: new Uint8Array(begins.length), timeout: new Uint8Array(begins.length) };
    const { begin, end, endRow, slot, timeout } = this.iterations;
    const slots = new Map();
    for (let i = 0; i < begins.length; i++) {
      const row = begins[i];
      begin[i] = this.tick[row];
      endRow[i] = lengths[i] < 0 ? -1 : row + lengths[i];
      end[i] = endRow[i] < 0 ? Infinity : this.tick[endRow[i]];
      const version = this.value(row, "Version");
      if (!slots.has(version)) slots.set(version, this.slot(version));
      slot[i] = slots.get(version);
      timeout[i] = Number(this.value(row, "WaitStatus")) === TIMEOUT ? 1 : 0;
      this.iterationOfRow[row] = i;
      if (endRow[i] >= 0) this.iterationOfRow[endRow[i]] = i;
    }
    this.share(begins, (lane, from, to) => { lane.iterations = [from, to]; });
  }

  fillSignals() {
    const begins = this.columns.get("signal.begin");
    const lengths = this.columns.get("signal.end");
    this.signals = { at: new Float64Array(begins.length), row: begins, endRow: new Int32Array(begins.length), accepted: new Uint8Array(begins.length) };
    this.signalOfRow = new Int32Array(this.length).fill(-1);
    for (let i = 0; i < begins.length; i++) {
      const row = begins[i];
      const endRow = row + lengths[i];
      this.signals.at[i] = this.tick[row];
      this.signals.endRow[i] = endRow;
      this.signals.accepted[i] = this.value(endRow, "PreviousState") === 0 ? 1 : 0;
      this.signalOfRow[row] = this.signalOfRow[endRow] = i;
    }
    this.woke = new Int32Array(begins.length).fill(-1);
    this.wokenBy.forEach((signal, iteration) => { if (signal >= 0) this.woke[signal] = iteration; });
    this.share(begins, (lane, from, to) => { lane.signals = [from, to]; });
  }

  // The columns hold one worker after the other: tell each lane its part.
  share(rows, tell) {
    for (const lane of this.lanes) if (lane.type === "worker") tell(lane, 0, 0);
    for (let from = 0, to; from < rows.length; from = to) {
      const worker = this.value(rows[from], "Worker");
      for (to = from + 1; to < rows.length && this.value(rows[to], "Worker") === worker;) to++;
      const lane = this.laneOfWorker.get(worker);
      if (lane) tell(lane, from, to);
    }
  }

  // Iterations by version.
  density(bins, least, scale) {
    const slots = this.meta.versions.length + 1;
    const counts = new Float64Array(bins * slots);
    const { begin, slot } = this.iterations;
    for (let i = 0; i < begin.length; i++) {
      const bin = Math.floor((begin[i] - least) * scale);
      if (bin >= 0 && bin < bins) counts[bin * slots + Math.min(slot[i], slots - 1)]++;
    }
    return { slots, counts };
  }

  overviewMarks(c, minimap, theme) {
    for (const swap of this.meta.swaps) {
      if (!swap.parts.length) continue;
      c.fillStyle = swap.refused ? theme.fail : theme.text;
      c.fillRect(Math.round(minimap.x(swap.parts[0][1])), 2, 1.5, minimap.height - 4);
    }
  }
}
