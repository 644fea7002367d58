// Colours and patterns for the canvas, from the page's own styles.

const PARTS = ["prepare", "drain", "switch", "release", "finish", "roll-back"];

class Theme {
  // `print`: the light colours whatever the screen shows.
  constructor(scale, print = false) {
    document.documentElement.classList.toggle("printing", print);
    const styles = getComputedStyle(document.documentElement);
    const get = (name) => styles.getPropertyValue("--" + name).trim();
    this.scale = scale;
    for (const name of ["text", "quiet", "faint", "line", "ground", "panel", "accent", "fail", "hatch", "on-part", "signal", "band-alpha"]) this[name] = get(name);
    this.parts = Object.fromEntries(PARTS.map((name) => [name, get("part-" + name)]));
    this.versions = [0, 1, 2, 3, 4, 5].map((slot) => get("v" + slot));
    this.lostColour = get("fail-tint");
    this.fills = null;
    this.font = "11px " + get("sans");
    this.small = "10px " + get("sans");
    this.bold = "600 11px " + get("sans");
    document.documentElement.classList.remove("printing");
  }

  version(slot) {
    return this.versions[slot % this.versions.length];
  }

  // The fill of a version: its colour, and from the second on its pattern.
  fill(context, slot) {
    if (!this.fills) this.fills = this.versions.map((colour, index) => this.pattern(context, colour, index));
    return this.fills[slot % this.fills.length];
  }

  // The fill of a swap's part; the way back is hatched, for its red is another's green.
  part(context, name) {
    if (name !== "roll-back") return this.parts[name];
    this.back ??= this.pattern(context, this.parts[name], 4);
    return this.back;
  }

  // What got lost: hatched, for red alone is not seen by all.
  lost(context) {
    this.gone ??= this.pattern(context, this.lostColour, 4);
    return this.gone;
  }

  pattern(context, colour, index) {
    if (index === 0) return colour;
    const size = [8, 8, 5, 6, 8, 6][index];
    const tile = document.createElement("canvas");
    tile.width = tile.height = Math.round(size * this.scale);
    const paint = tile.getContext("2d");
    paint.scale(tile.width / size, tile.height / size);
    paint.fillStyle = colour;
    paint.fillRect(0, 0, size, size);
    paint.fillStyle = paint.strokeStyle = this.hatch;
    paint.lineWidth = 1.5;
    paint.beginPath();
    if (index === 1 || index === 4) {
      const flip = index === 1 ? 1 : -1;
      for (const shift of [-size, 0, size]) {
        paint.moveTo(shift - 1, flip > 0 ? size + 1 : -1);
        paint.lineTo(shift + size + 1, flip > 0 ? -1 : size + 1);
      }
      paint.stroke();
    } else if (index === 2) {
      paint.arc(size / 2, size / 2, 1.1, 0, 7);
      paint.fill();
    } else {
      paint.fillRect(0, 0, size, 1.4);
      if (index === 5) paint.fillRect(0, 0, 1.4, size);
    }
    const fill = context.createPattern(tile, "repeat");
    fill.setTransform(new DOMMatrix().scale(1 / this.scale));
    return fill;
  }
}
