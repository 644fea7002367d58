// What all pages do: find their parts, read the trace, copy, and tell when something went wrong.

const node = (id) => document.getElementById(id);

function goToTimeline(timeline) {
  const smooth = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  node("timeline").scrollIntoView({ behavior: smooth ? "smooth" : "auto", block: "start" });
  timeline.canvas.focus({ preventScroll: true });
}

// A sign of the legend: shapes of SVG, and what they mean.
function legendItem(draw, text) {
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

// Draw the trace that the page carries with `draw(meta, columns)`; what goes wrong is told in its place.
async function bringToLife(draw) {
  document.documentElement.classList.add("scripted");
  for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => copy(button));
  try {
    const meta = JSON.parse(node("trace-meta").textContent);
    if (!meta.recorded) {
      document.documentElement.classList.add("no-trace");
      node("timeline-problem").hidden = false;
      node("timeline-problem").textContent = meta.nothing;
      return;
    }
    const columns = new Columns(meta.columns, await inflate(node("trace-columns").textContent));
    const { canvas } = draw(meta, columns);
    canvas.dataset.events = meta.events;
    canvas.dataset.readyMs = performance.now().toFixed(1);
    canvas.dataset.ready = "true";
  } catch (error) {
    node("timeline-problem").hidden = false;
    node("timeline-problem").textContent = `The timeline could not be drawn: ${error.message}. Chromium 103, Firefox 113, Safari 16.4 or later are needed.`;
    throw error;
  }
}

// The parts that every timeline has.
function timelineNodes() {
  return { lanes: node("lanes"), overview: node("overview"), stage: node("stage"), tip: node("tip"), live: node("live"), span: node("span"), scroll: node("lanes-scroll"), space: node("lanes-space") };
}

// Buttons that zoom, and paper.
function wireTimeline(timeline, more = () => {}) {
  const { view } = timeline;
  const actions = { in: () => view.zoom(2, undefined, true), out: () => view.zoom(0.5, undefined, true), fit: () => view.whole(true) };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.do) actions[button.dataset.do]();
    else more(button.dataset);
  });
  window.addEventListener("beforeprint", () => timeline.print(true));
  window.addEventListener("afterprint", () => timeline.print(false));
  timeline.listen((what) => {
    if (what === "selection") fillPanel(node("selected"), timeline.selected, timeline.trace, (row) => timeline.select(row));
  });
}
