// The trace's columns: base64, deflate, then integers as differences, zigzag and seven bits a byte (columns.py).

async function inflate(base64) {
  const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(base64) : bytesOf(atob(base64));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function bytesOf(text) {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

class Columns {
  constructor(described, bytes) {
    this.bytes = bytes;
    this.at = new Map();
    this.read = new Map();
    let offset = 0;
    for (const [name, [encoding, count, length]] of Object.entries(described)) {
      this.at.set(name, { encoding, count, offset, length });
      offset += length;
    }
  }

  has(name) {
    return this.at.has(name);
  }

  // Float64Array, or BigUint64Array for what numbers cannot hold, or Texts. Decoded when first asked for.
  get(name) {
    let values = this.read.get(name);
    if (!values) {
      const { encoding, count, offset, length } = this.at.get(name);
      if (encoding === "r") values = new BigUint64Array(this.bytes.slice(offset, offset + length).buffer);
      else if (encoding === "f") values = new Float64Array(this.bytes.slice(offset, offset + length).buffer);
      else if (encoding === "t") values = new Texts(this.bytes, offset, count, length);
      else values = varints(this.bytes, offset, count, encoding === "d");
      this.read.set(name, values);
    }
    return values;
  }
}

// Texts that are made when they are asked for.
class Texts {
  constructor(bytes, at, count, length) {
    const lengths = varints(bytes, at, count, false);
    this.length = count;
    this.bytes = bytes;
    this.starts = new Float64Array(count + 1);
    let total = 0;
    for (const size of lengths) total += size;
    let start = at + length - total;
    for (let i = 0; i < count; i++) {
      this.starts[i] = start;
      start += lengths[i];
    }
    this.starts[count] = start;
  }

  get(i) {
    return DECODER.decode(this.bytes.subarray(this.starts[i], this.starts[i + 1]));
  }
}

const DECODER = new TextDecoder();

function varints(bytes, at, count, differences) {
  const values = new Float64Array(count);
  let last = 0;
  for (let i = 0; i < count; i++) {
    let byte = bytes[at++];
    let coded = byte & 127;
    for (let scale = 128; byte > 127; scale *= 128) {
      byte = bytes[at++];
      coded += (byte & 127) * scale;
    }
    const value = coded % 2 ? -(coded + 1) / 2 : coded / 2;
    last = differences ? last + value : value;
    values[i] = last;
  }
  return values;
}

// First position whose value is not below `wanted`.
function lowerBound(values, wanted, low = 0, high = values.length) {
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}
