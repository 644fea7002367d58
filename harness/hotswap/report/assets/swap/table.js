// The table of a swap run can be narrowed down to one worker.

class SwapTable extends EventTable {
  constructor(timeline) {
    super(timeline);
    this.worker = document.getElementById("filter-worker");
    for (const worker of this.trace.meta.workers) this.worker.append(new Option(`worker ${worker.id}`, worker.id));
    this.worker.addEventListener("change", () => this.filter());
  }

  source() {
    return this.worker && this.worker.value ? this.trace.laneOfWorker.get(Number(this.worker.value)).rows : null;
  }
}
