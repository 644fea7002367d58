// Times and fields as text.

const THIN = "\u2009";

function grouped(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, THIN);
}

function durationText(ns) {
  const size = Math.abs(ns);
  if (size === 0) return "0" + THIN + "µs";
  const [scale, unit] = size >= 999.5e6 ? [1e9, "s"] : size >= 999.5e3 ? [1e6, "ms"] : size >= 999.5 ? [1e3, "µs"] : [1, "ns"];
  const value = ns / scale;
  const digits = Math.abs(value) < 9.995 ? 2 : Math.abs(value) < 99.95 ? 1 : 0;
  return String(Number(value.toFixed(digits))) + THIN + unit;
}

// Seconds with as many digits as the clock has, in groups of three.
function exactTime(ns, digits) {
  const text = (Math.abs(ns) / 1e9).toFixed(digits);
  const [whole, rest = ""] = text.split(".");
  return (ns < 0 ? "-" : "") + whole + (rest ? "." + rest.replace(/(\d{3})(?=\d)/g, "$1" + THIN) : "") + THIN + "s";
}

function valueText(field, value) {
  if (field.texts) return field.texts.get(Number(value));
  if (field.names && field.names[value] !== undefined) return field.names[value];
  if (field.as === "hex") return "0x" + (typeof value === "bigint" ? value : BigInt(value)).toString(16);
  if (field.as === "status") return "0x" + (Number(value) >>> 0).toString(16).padStart(8, "0");
  if (field.as === "float" && Number.isInteger(value) && Math.abs(value) < 1e16) return value + ".0";
  if (typeof value === "bigint" && field.signed) return BigInt.asIntN(64, value).toString();
  return String(value);
}

function element(name, text, className) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}
