// All there is to say of one event: in the tip, in the panel beside the table, and in words for a screen reader.

// [name, text, row]: a row makes it a link to another event.
function detailsOf(row, trace) {
  return [...trace.place(row), ...trace.fields(row), ...trace.more(row),
    ["Tick", String(BigInt(trace.meta.firstTick) + BigInt(trace.tick[row]))]];
}

function fillTip(tip, row, trace) {
  const list = element("dl");
  for (const [name, text] of detailsOf(row, trace)) list.append(element("dt", name), element("dd", text));
  tip.replaceChildren(element("strong", trace.name(row)), list);
}

function fillPanel(panel, row, trace, go) {
  if (row === null) {
    panel.replaceChildren(element("p", "None. Click in the timeline or in the table.", "quiet"));
    return;
  }
  const list = element("dl");
  for (const [name, text, other] of detailsOf(row, trace)) {
    const value = element("dd");
    if (other === undefined) value.textContent = text;
    else {
      const button = element("button", text, "link");
      button.type = "button";
      button.addEventListener("click", () => go(other));
      value.append(button);
    }
    list.append(element("dt", name), value);
  }
  panel.replaceChildren(element("p", `${trace.name(row)} · row ${grouped(trace.number(row))}`, "name"), list);
}

function sentence(row, trace) {
  const lane = trace.laneOf(row);
  const fields = trace.fields(row).map(([name, text]) => `${name} ${text}`).join(", ");
  return `${trace.name(row)} at ${trace.time(row)}, lane ${lane.label}, thread ${trace.tid(row)}. ${fields}`;
}
