// Finding events: by a part of their name or of a text in them, by a number, or by a condition on a field.

const CONDITION = /^\s*([^=!<>]+?)\s*(!=|>=|<=|=|>|<)\s*(.*?)\s*$/;

// The rows that fit, in order; null for no question at all.
function findRows(question, trace) {
  const text = question.trim();
  if (!text) return null;
  const flags = new Uint8Array(trace.length);
  const condition = CONDITION.exec(text);
  const field = condition && knownField(condition[1], trace);
  if (field) markWhere(field, condition[2], condition[3], trace, flags);
  else markText(text.toLowerCase(), trace, flags);
  let count = 0;
  for (const flag of flags) count += flag;
  const rows = new Int32Array(count);
  for (let row = 0, at = 0; row < flags.length; row++) if (flags[row]) rows[at++] = row;
  return rows;
}

function knownField(name, trace) {
  const wanted = name.toLowerCase();
  for (const kind of trace.meta.kinds) for (const field of kind.fields) if (field.name.toLowerCase() === wanted) return wanted;
  return null;
}

function numberOf(text) {
  return /^-?(0x[0-9a-f]+|\d+(\.\d+)?(e[+-]?\d+)?)$/i.test(text) ? (text.startsWith("-0x") ? -Number(text.slice(1)) : Number(text)) : NaN;
}

// Whether a field holds a number; beyond 2^53 only whole numbers are compared, and exactly.
function sameNumber(field, value, number, text) {
  if (typeof value !== "bigint") return Number(value) === number;
  if (!/^-?(0x[0-9a-f]+|\d+)$/i.test(text)) return false;
  const whole = text.startsWith("-") ? -BigInt(text.slice(1)) : BigInt(text);
  return (field.signed ? BigInt.asIntN(64, value) : value) === whole;
}

function markWhere(wanted, operator, text, trace, flags) {
  const number = numberOf(text);
  const folded = text.toLowerCase();
  const compare = {
    "<": (value) => value < number, ">": (value) => value > number,
    "<=": (value) => value <= number, ">=": (value) => value >= number,
  }[operator];
  trace.meta.kinds.forEach((kind, index) => {
    const field = kind.fields.find((one) => one.name.toLowerCase() === wanted);
    if (!field) return;
    const values = trace.columns.get(field.column);
    const fits = new Map();
    const test = (value) => {
      const shown = trace.fieldText(field, value).toLowerCase();
      const same = shown === folded || (!field.texts && sameNumber(field, value, number, text));
      if (operator === "=" || operator === "!=") return same === (operator === "=");
      return compare(field.texts ? numberOf(shown) : Number(value));
    };
    markRows(index, trace, flags, (rank) => {
      const value = values[rank];
      if (!fits.has(value)) fits.set(value, test(value));
      return fits.get(value);
    });
  });
}

function markText(text, trace, flags) {
  const number = numberOf(text);
  trace.meta.kinds.forEach((kind, index) => {
    if (kind.name.toLowerCase().includes(text) || kind.provider.toLowerCase().includes(text)) {
      for (const row of trace.rowsOfKind(index)) flags[row] = 1;
      return;
    }
    for (const field of kind.fields) {
      if (field.texts) {
        const fits = new Uint8Array(field.texts.length);
        for (let i = 0; i < fits.length; i++) fits[i] = field.texts.get(i).toLowerCase().includes(text) ? 1 : 0;
        if (!fits.includes(1)) continue;
        const codes = trace.columns.get(field.column);
        markRows(index, trace, flags, (rank) => fits[codes[rank]]);
      } else {
        const named = Object.keys(field.names || {}).filter((value) => field.names[value].toLowerCase().includes(text)).map(Number);
        if (Number.isNaN(number) && !named.length) continue;
        const wanted = new Set(named);
        const values = trace.columns.get(field.column);
        markRows(index, trace, flags, (rank) => sameNumber(field, values[rank], number, text) || wanted.has(Number(values[rank])));
      }
    }
  });
}

function markRows(kind, trace, flags, fits) {
  const rows = trace.rowsOfKind(kind);
  for (const row of rows) if (trace.rank[row] >= 0 && fits(trace.rank[row])) flags[row] = 1;
}

// The search field with its buttons.
class Search {
  constructor(timeline) {
    this.timeline = timeline;
    this.trace = timeline.trace;
    this.field = node("search");
    this.count = node("search-count");
    this.field.addEventListener("input", () => {
      clearTimeout(this.later);
      this.later = setTimeout(() => this.ask(), 160);
    });
    this.field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        this.field.value = "";
        this.ask();
        this.timeline.canvas.focus();
      } else if (event.key === "Enter") {
        clearTimeout(this.later);
        this.ask();
        this.go(event.shiftKey ? -1 : 1);
      } else return;
      event.preventDefault();
    });
  }

  ask() {
    if (this.asked === this.field.value) return;
    this.asked = this.field.value;
    const { trace, timeline } = this;
    trace.matches = findRows(this.asked, trace);
    trace.share(trace.matches || [], "matches");
    timeline.proof = trace.matches && trace.matches.length <= 4000 ? trace.matches : null;
    timeline.canvas.dataset.matches = trace.matches ? trace.matches.length : "";
    this.say();
    timeline.redraw();
    timeline.tell("matches");
  }

  say(at = -1) {
    const { matches } = this.trace;
    const place = at >= 0 ? `${grouped(at + 1)} of ` : "";
    this.count.textContent = matches ? (matches.length ? place + grouped(matches.length) + " found" : "nothing found") : "";
  }

  // To the next match in time, or to the one before; around the ends.
  go(direction) {
    const { matches } = this.trace;
    if (!matches || !matches.length) return;
    const from = this.timeline.selected ?? (direction > 0 ? -1 : this.trace.length);
    let at = lowerBound(matches, from + (direction > 0 ? 1 : 0)) - (direction > 0 ? 0 : 1);
    at = (at + matches.length) % matches.length;
    this.timeline.select(matches[at]);
    this.say(at);
  }
}
