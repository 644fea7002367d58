// Brings the page to life: reads the trace, and wires what stands around the timeline.

const node = (id) => document.getElementById(id);

function legend(trace) {
  const item = (draw, text) => {
    const line = element("li");
    const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    picture.setAttribute("width", "22");
    picture.setAttribute("height", "14");
    picture.setAttribute("aria-hidden", "true");
    for (const [name, attributes] of draw) {
      const shape = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
      picture.append(shape);
    }
    line.append(picture, text);
    return line;
  };
  const box = { x: 1, y: 1, width: 20, height: 12, rx: 2 };
  const items = trace.meta.versions.map((version, slot) => item([["rect", { ...box, fill: `url(#fill-${slot % 6})` }]], `version ${version}`));
  items.push(
    item([["rect", { ...box, class: "timeout" }]], "woken by time-out"),
    item([["path", { d: "M11 2v10", class: "signal" }]], "signal accepted"),
    item([["path", { d: "M11 2v5", class: "signal set" }]], "event was set already"),
    item([["path", { d: "M8 1v12M8 1l7 3.5L8 8", class: "held" }]], "first call held"),
    item([["rect", { ...box, class: "part-drain" }]], "drain"),
    item([["rect", { ...box, class: "part-switch" }]], "switch"),
    item([["rect", { ...box, class: "part-release" }]], "release"),
  );
  if (trace.pending.length) items.push(item([["path", { d: "M8 2v10h6", class: "signal pending" }]], "signal call did not return"));
  if (trace.meta.swaps.some((swap) => swap.parts.some(([name]) => name === "roll back"))) items.push(item([["rect", { ...box, fill: "url(#fill-back)" }]], "roll back"));
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

function goToTimeline(timeline) {
  const smooth = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  node("timeline").scrollIntoView({ behavior: smooth ? "smooth" : "auto", block: "start" });
  timeline.canvas.focus({ preventScroll: true });
}

function wire(timeline) {
  const { view } = timeline;
  const actions = { in: () => view.zoom(2, undefined, true), out: () => view.zoom(0.5, undefined, true), fit: () => view.whole(true) };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const { do: action, jump, swap } = button.dataset;
    if (action) actions[action]();
    else if (jump) {
      timeline.showProof(jump);
      goToTimeline(timeline);
    } else if (swap) {
      timeline.zoomToSwap(timeline.trace.meta.swaps.findIndex((one) => one.number === Number(swap)));
      goToTimeline(timeline);
    }
  });
  window.addEventListener("beforeprint", () => timeline.print(true));
  window.addEventListener("afterprint", () => timeline.print(false));
}

async function copy(button) {
  const source = node(button.dataset.copy);
  let done = true;
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    // Files are not always allowed to use the clipboard: select it and leave the copying to the reader.
    getSelection().selectAllChildren(source);
    done = document.execCommand("copy");
  }
  const before = button.textContent;
  button.textContent = done ? "Copied" : "Selected";
  setTimeout(() => { button.textContent = before; }, 1600);
}

async function begin() {
  document.documentElement.classList.add("scripted");
  for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => copy(button));
  const meta = JSON.parse(node("trace-meta").textContent);
  if (!meta.recorded) {
    document.documentElement.classList.add("no-trace");
    node("timeline-problem").hidden = false;
    node("timeline-problem").textContent = "There is no trace of this run, so there is nothing to draw.";
    return;
  }
  const columns = new Columns(meta.columns, await inflate(node("trace-columns").textContent));
  const trace = new Trace(meta, columns);
  const nodes = { lanes: node("lanes"), overview: node("overview"), stage: node("stage"), tip: node("tip"), live: node("live"), span: node("span") };
  const timeline = new Timeline(trace, nodes);
  listenToPointer(timeline);
  listenToOverview(timeline);
  listenToKeys(timeline);
  legend(trace);
  swapButtons(timeline);
  wire(timeline);
  timeline.listen((what) => {
    if (what === "selection") fillPanel(node("selected"), timeline.selected, trace, (row) => timeline.select(row));
  });
  new EventTable(timeline);
  const proofs = Object.values(meta.proofs).filter(([verdict]) => verdict !== "pass");
  if (proofs.length) {
    timeline.proof = proofs[0].slice(1).filter((row) => row < trace.length);
    timeline.redraw();
  }
  nodes.lanes.dataset.events = trace.length;
  nodes.lanes.dataset.readyMs = performance.now().toFixed(1);
  nodes.lanes.dataset.ready = "true";
}

begin().catch((error) => {
  node("timeline-problem").hidden = false;
  node("timeline-problem").textContent = `The timeline could not be drawn: ${error.message}. Chromium 103, Firefox 113, Safari 16.4 or later are needed.`;
  throw error;
});
