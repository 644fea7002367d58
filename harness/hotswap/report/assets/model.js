// The trace in memory: events by row, and lanes of iterations and signals. Times are ticks since the first event.

const TIMEOUT = 0x102;

class Trace {
  constructor(meta, columns) {
    this.meta = meta;
    this.columns = columns;
    this.length = meta.events;
    this.tick = columns.get("tick");
    this.kind = columns.get("kind");
    this.last = this.length ? this.tick[this.length - 1] : 0;
    this.digits = Math.min(9, Math.max(3, Math.ceil(Math.log10(meta.frequency))));
    this.kindIndex = new Map(meta.kinds.map((kind, index) => [kind.name, index]));
    this.rank = this.rankRows();
    this.lanes = [];
    this.laneOfWorker = new Map();
    this.workerOfThread = new Map(meta.workers.flatMap((worker) => worker.threads.map((tid) => [tid, worker.id])));
    this.buildLanes();
  }

  // For each row, the position in the columns of its kind; -1 where its payload could not be decoded.
  rankRows() {
    const rank = new Int32Array(this.length).fill(-1);
    const next = new Int32Array(this.meta.kinds.length);
    for (let row = 0; row < this.length; row++) rank[row] = next[this.kind[row]]++;
    for (let kind = 0; kind < this.meta.kinds.length; kind++) {
      if (!this.columns.has(kind + ".rows")) continue;
      for (let row = 0; row < this.length; row++) if (this.kind[row] === kind) rank[row] = -1;
      this.columns.get(kind + ".rows").forEach((row, position) => { rank[row] = position; });
    }
    return rank;
  }

  name(row) {
    return this.meta.kinds[this.kind[row]].name;
  }

  ns(tick) {
    return (tick * 1e9) / this.meta.frequency;
  }

  time(row) {
    return exactTime(this.meta.firstNs + this.ns(this.tick[row]), this.digits);
  }

  tid(row) {
    return this.meta.tids[this.columns.get("tid")[row]];
  }

  cpu(row) {
    return this.columns.get("cpu")[row];
  }

  // A field's number, or undefined where the event has none.
  value(row, name) {
    const kind = this.kind[row];
    const column = kind + "." + name;
    return this.rank[row] >= 0 && this.columns.has(column) ? this.columns.get(column)[this.rank[row]] : undefined;
  }

  fields(row) {
    const kind = this.kind[row];
    if (this.rank[row] < 0) return [["payload", "not decoded"]];
    return this.meta.kinds[kind].fields.map((field) => {
      const value = this.columns.get(kind + "." + field.name)[this.rank[row]];
      const source = field.name === "Source" ? this.meta.sources[value] : undefined;
      return [field.name, source === undefined ? valueText(field, value) : `${value} (${source})`];
    });
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
      const lane = { type: "worker", worker: worker.id, label: `Worker ${worker.id}`, detail: worker.wait, rows: rows.worker.get(worker.id) };
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
}
