// The timeline of a swap run: from swap to swap, and to the events of a proof.

class SwapTimeline extends Timeline {
  zoomToSwap(index) {
    const swap = this.trace.meta.swaps[index];
    if (!swap) return;
    this.swap = index;
    const stall = swap.parts.filter(([name]) => !["prepare", "finish"].includes(name));
    const parts = stall.length ? stall : swap.parts;
    const first = parts[0][1];
    const last = parts[parts.length - 1][2] ?? this.trace.last;
    const margin = Math.max((last - first) * 0.6, this.trace.meta.frequency / 50000);
    this.view.show(first - margin, last + margin, true);
    const outcome = swap.refused ? `, refused: ${swap.refused}` : "";
    this.nodes.live.textContent = `Swap ${swap.number}, version ${swap.from} to ${swap.to}${outcome}. ` +
      swap.parts.map(([name, a, b]) => `${name} ${b === null ? "without an end" : durationText(this.trace.ns(b - a))}`).join(", ");
  }

  showProof(id) {
    const proof = this.trace.meta.proofs[id];
    if (!proof) return;
    const rows = proof.slice(1).filter((row) => row < this.trace.length);
    this.proof = rows;
    this.canvas.dataset.proof = id;
    this.select(rows[0], { reveal: false });
    this.around(rows);
    this.nodes.live.textContent = `${rows.length} events of ${id}. ${sentence(rows[0], this.trace)}`;
  }
}
