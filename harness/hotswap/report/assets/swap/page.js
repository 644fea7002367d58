// Brings the page of a swap run to life.

function legend(trace) {
  const box = { x: 1, y: 1, width: 20, height: 12, rx: 2 };
  const items = trace.meta.versions.map((version, slot) => legendItem([["rect", { ...box, fill: `url(#fill-${slot % 6})` }]], `version ${version}`));
  items.push(
    legendItem([["rect", { ...box, class: "timeout" }]], "woken by time-out"),
    legendItem([["path", { d: "M11 2v10", class: "signal" }]], "signal accepted"),
    legendItem([["path", { d: "M11 2v5", class: "signal set" }]], "event was set already"),
    legendItem([["path", { d: "M8 1v12M8 1l7 3.5L8 8", class: "held" }]], "first call held"),
    legendItem([["rect", { ...box, class: "part-drain" }]], "drain"),
    legendItem([["rect", { ...box, class: "part-switch" }]], "switch"),
    legendItem([["rect", { ...box, class: "part-release" }]], "release"),
  );
  if (trace.pending.length) items.push(legendItem([["path", { d: "M8 2v10h6", class: "signal pending" }]], "signal call did not return"));
  if (trace.meta.swaps.some((swap) => swap.parts.some(([name]) => name === "roll back"))) items.push(legendItem([["rect", { ...box, fill: "url(#fill-back)" }]], "roll back"));
  node("legend").append(...items);
}

function swapButtons(timeline) {
  timeline.trace.meta.swaps.forEach((swap, index) => {
    const button = element("button", `Swap ${swap.number}`);
    button.type = "button";
    button.title = `Version ${swap.from} to ${swap.to}${swap.refused ? `, refused: ${swap.refused}` : ""}`;
    button.addEventListener("click", () => timeline.zoomToSwap(index));
    node("zoom-swaps").append(button);
  });
  if (timeline.trace.meta.swaps.length > 8) node("zoom-swaps").classList.add("many");
}

function draw(meta, columns) {
  const trace = new Trace(meta, columns);
  const timeline = new SwapTimeline(trace, timelineNodes());
  listenToPointer(timeline);
  listenToOverview(timeline);
  const swap = (direction) => {
    const count = meta.swaps.length;
    if (count) timeline.zoomToSwap(Math.min(count - 1, Math.max(0, (timeline.swap ?? (direction > 0 ? -1 : count)) + direction)));
  };
  listenToKeys(timeline, { "]": () => swap(1), "[": () => swap(-1) });
  legend(trace);
  swapButtons(timeline);
  wireTimeline(timeline, ({ jump, swap: number }) => {
    if (jump) timeline.showProof(jump);
    else if (number) timeline.zoomToSwap(meta.swaps.findIndex((one) => one.number === Number(number)));
    else return;
    goToTimeline(timeline);
  });
  new SwapTable(timeline);
  const proofs = Object.values(meta.proofs).filter(([verdict]) => verdict !== "pass");
  if (proofs.length) {
    timeline.proof = proofs[0].slice(1).filter((row) => row < trace.length);
    timeline.redraw();
  }
  return timeline;
}

bringToLife(draw);
