// All there is to say of one event: in the tip, in the panel beside the table, and in words for a screen reader.

// [name, text, row]: a row makes it a link to another event.
function detailsOf(row, trace) {
  const details = [["Time", trace.time(row)], ["Thread", String(trace.tid(row))], ["CPU", String(trace.cpu(row))]];
  const more = trace.fields(row).map(([name, text]) => [name, text]);
  const iteration = trace.iterationOfRow[row];
  const signal = trace.signalOfRow[row];
  if (iteration >= 0) more.push(...iterationDetails(iteration, row, trace));
  else if (signal >= 0) more.push(...signalDetails(signal, row, trace));
  return [...details, ...more, ["Tick", String(BigInt(trace.meta.firstTick) + BigInt(trace.tick[row]))]];
}

function iterationDetails(i, row, trace) {
  const { begin, end, endRow, row: rows } = trace.iterations;
  const details = [["Lasted", endRow[i] < 0 ? "no end in the trace" : durationText(trace.ns(end[i] - begin[i]))]];
  if (endRow[i] >= 0) details.push(row === rows[i] ? ["Ended by", "IterationEnd", endRow[i]] : ["Begun by", "IterationBegin", rows[i]]);
  const signal = trace.wokenBy[i];
  if (signal >= 0) {
    details.push(["Signal to begin", durationText(trace.ns(begin[i] - trace.signals.at[signal]))]);
    details.push(["Woken by", "SignalBegin", trace.signals.row[signal]]);
  }
  return details;
}

function signalDetails(i, row, trace) {
  const { at, row: rows, endRow, accepted } = trace.signals;
  const details = [["Found the event", accepted[i] ? "not signalled: accepted" : "signalled already"]];
  details.push(row === rows[i] ? ["Ended by", "SignalEnd", endRow[i]] : ["Begun by", "SignalBegin", rows[i]]);
  const iteration = trace.woke[i];
  if (iteration >= 0) {
    details.push(["Signal to begin", durationText(trace.ns(trace.iterations.begin[iteration] - at[i]))]);
    details.push(["Woke", "IterationBegin", trace.iterations.row[iteration]]);
  }
  return details;
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
  panel.replaceChildren(element("p", `${trace.name(row)} · row ${grouped(row)}`, "name"), list);
}

function sentence(row, trace) {
  const lane = trace.laneOf(row);
  const fields = trace.fields(row).map(([name, text]) => `${name} ${text}`).join(", ");
  return `${trace.name(row)} at ${trace.time(row)}, lane ${lane.label}, thread ${trace.tid(row)}. ${fields}`;
}
