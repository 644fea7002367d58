// What there is to say of an event of a swap run beside its own fields.

Object.assign(Trace.prototype, {
  more(row) {
    const iteration = this.iterationOfRow[row];
    const signal = this.signalOfRow[row];
    if (iteration >= 0) return iterationDetails(iteration, row, this);
    return signal >= 0 ? signalDetails(signal, row, this) : [];
  },
});

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
