// The events of a trace in memory: columns, and what there is to say of a row. Times are ticks since the first event.

class Events {
  constructor(meta, columns) {
    this.meta = meta;
    this.columns = columns;
    this.length = meta.events;
    this.tick = columns.get("tick");
    this.kind = columns.get("kind");
    this.last = this.length ? this.tick[this.length - 1] : 0;
    this.digits = Math.min(9, Math.max(3, Math.ceil(Math.log10(meta.frequency))));
    this.rank = this.rankRows();
    this.lanes = [];
    meta.kinds.forEach((kind, index) => {
      for (const field of kind.fields) {
        field.column = index + "." + field.name;
        if (field.as === "text") Object.defineProperty(field, "texts", { get: () => columns.get(field.column + ".texts") });
      }
    });
  }

  // For each row, the position in the columns of its kind; where its payload could not be decoded, -1 minus the number
  // of those of its kind before it.
  rankRows() {
    const rank = new Int32Array(this.length);
    const next = new Int32Array(this.meta.kinds.length);
    const decoded = this.meta.kinds.map((kind, index) => (this.columns.has(index + ".rows") ? this.columns.get(index + ".rows") : null));
    if (decoded.every((rows) => rows === null)) {
      for (let row = 0; row < this.length; row++) rank[row] = next[this.kind[row]]++;
      return rank;
    }
    const failed = new Int32Array(this.meta.kinds.length);
    for (let row = 0; row < this.length; row++) {
      const kind = this.kind[row];
      const rows = decoded[kind];
      if (rows === null || rows[next[kind]] === row) rank[row] = next[kind]++;
      else rank[row] = -1 - failed[kind]++;
    }
    return rank;
  }

  // Of a row in the table of the whole trace.
  number(row) {
    return row;
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

  thread(row) {
    return this.meta.threads[this.columns.get("thread")[row]];
  }

  tid(row) {
    return this.thread(row)[1];
  }

  cpu(row) {
    return this.columns.get("cpu")[row];
  }

  // Where and when: the first lines of what there is to say of an event.
  place(row) {
    return [["Time", this.time(row)], ["Thread", String(this.tid(row))], ["CPU", String(this.cpu(row))]];
  }

  // What there is to say beside its fields.
  more() {
    return [];
  }

  // A field's number, or undefined where the event has none.
  value(row, name) {
    const column = this.kind[row] + "." + name;
    return this.rank[row] >= 0 && this.columns.has(column) ? this.columns.get(column)[this.rank[row]] : undefined;
  }

  fields(row) {
    const kind = this.meta.kinds[this.kind[row]];
    if (this.rank[row] < 0) return this.undecoded(row, kind);
    return kind.fields.map((field) => [field.name, this.fieldText(field, this.columns.get(field.column)[this.rank[row]])]);
  }

  undecoded() {
    return [["payload", "not decoded"]];
  }

  fieldText(field, value) {
    return valueText(field, value);
  }

  // First position in a list of rows that is not before a tick.
  firstRow(rows, tick) {
    let low = 0, high = rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.tick[rows[middle]] < tick) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
