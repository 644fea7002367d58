// Brings the page of any trace to life.

function legendOf(trace) {
  const box = { x: 1, y: 1, width: 20, height: 12, rx: 2 };
  const items = trace.named.map((name, slot) => legendItem([["rect", { ...box, fill: `url(#fill-${slot})` }]], name));
  if (trace.others) items.push(legendItem([["rect", { ...box, fill: "url(#fill-5)" }]], "other events"));
  if (trace.meta.losses.some(([from, to]) => from !== null || to !== null)) items.push(legendItem([["rect", { ...box, class: "lost" }]], "events may be missing"));
  node("legend").append(...items);
}

function drawTrace(meta, columns) {
  const trace = new AnyTrace(meta, columns);
  const timeline = new TraceTimeline(trace, timelineNodes());
  const search = new Search(timeline);
  listenToPointer(timeline);
  listenToOverview(timeline);
  listenToKeys(timeline, {
    "/": () => { node("search").focus(); node("search").select(); },
    n: () => search.go(1), p: () => search.go(-1), m: () => timeline.mark(), escape: () => timeline.clear(), Escape: () => timeline.clear(),
  });
  legendOf(trace);
  const lanes = node("lanes-by");
  lanes.append(...trace.groupings().map(([id, name]) => new Option(name, id)));
  lanes.addEventListener("change", () => timeline.groupBy(lanes.value));
  const table = new TraceTable(timeline);
  // After the timeline is there: it looks at all events.
  setTimeout(() => new Latency(timeline));
  wireTimeline(timeline, ({ find, kind }) => {
    if (find) search.go(Number(find));
    else if (kind !== undefined) {
      table.kind.value = kind;
      table.filter();
      node("events-title").scrollIntoView({ block: "nearest" });
    }
  });
  timeline.canvas.dataset.grouping = "thread";
  return timeline;
}

bringToLife(drawTrace);
