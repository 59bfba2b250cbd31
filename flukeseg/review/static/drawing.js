// Drawing on a mask without a browser: nothing here knows of a canvas, an event or the server.
//
// A mask is {width, height, pixels}: one byte a pixel, 0 or 255, row after row. Coordinates are
// those of the upright photo, origin at its top-left corner; the centre of pixel (0, 0) lies at
// (0.5, 0.5). A pixel belongs to a shape where its centre lies inside or on the edge.

export const FLUKE = 255;

/** Changes of a mask in the order in which they were made, so that they can be undone. */
export class Edit {
  constructor() {
    this.runs = [];  // {start, before}: what lay there
    this.box = null;  // {left, top, right, bottom}, right and bottom exclusive
  }

  get isEmpty() {
    return this.runs.length === 0;
  }

  /** Fill the columns from left to right, exclusive, of one row, as far as they lie in the mask. */
  fill(mask, row, left, right, value) {
    if (row < 0 || row >= mask.height) return;
    let start = row * mask.width + Math.max(0, left);
    let end = row * mask.width + Math.min(mask.width, right);
    // only what changes is kept: strokes cross themselves all the time
    while (start < end && mask.pixels[start] === value) start++;
    while (end > start && mask.pixels[end - 1] === value) end--;
    if (start >= end) return;
    this.keep(mask, start, end);
    mask.pixels.fill(value, start, end);
  }

  /** Put bytes in the place of one row's, starting at a column. */
  put(mask, row, left, bytes) {
    const start = row * mask.width + left;
    let first = 0;
    let end = bytes.length;
    while (first < end && mask.pixels[start + first] === bytes[first]) first++;
    while (end > first && mask.pixels[start + end - 1] === bytes[end - 1]) end--;
    if (first >= end) return;
    this.keep(mask, start + first, start + end);
    mask.pixels.set(bytes.subarray(first, end), start + first);
  }

  /** Take over what another edit did to the same mask after this one. */
  add(later) {
    for (const run of later.runs) this.runs.push(run);
    this.box = join(this.box, later.box);
  }

  /** Bring back what was there before, and return the edit that does it all again. */
  undo(mask) {
    const again = new Edit();
    for (let i = this.runs.length - 1; i >= 0; i--) {
      const {start, before} = this.runs[i];
      again.keep(mask, start, start + before.length);
      mask.pixels.set(before, start);
    }
    return again;
  }

  keep(mask, start, end) {
    this.runs.push({start, before: mask.pixels.slice(start, end)});
    const top = Math.floor(start / mask.width);
    const bottom = Math.floor((end - 1) / mask.width) + 1;
    const left = bottom - top > 1 ? 0 : start - top * mask.width;
    const right = bottom - top > 1 ? mask.width : end - top * mask.width;
    this.box = join(this.box, {left, top, right, bottom});
  }
}

/** The smallest box around two; either may be null. */
export function join(one, other) {
  if (!one || !other) return one || other;
  return {
    left: Math.min(one.left, other.left),
    top: Math.min(one.top, other.top),
    right: Math.max(one.right, other.right),
    bottom: Math.max(one.bottom, other.bottom),
  };
}

/** Draw a round brush's path between two points {x, y}: all pixels within radius of the segment. */
export function drawCapsule(mask, edit, from, to, radius, value) {
  const length = Math.hypot(to.x - from.x, to.y - from.y);
  const across = length ? (to.y - from.y) / length * radius : 0;
  const down = length ? (from.x - to.x) / length * radius : 0;
  const corners = [
    {x: from.x + across, y: from.y + down}, {x: to.x + across, y: to.y + down},
    {x: to.x - across, y: to.y - down}, {x: from.x - across, y: from.y - down},
  ];
  const top = Math.max(0, Math.ceil(Math.min(from.y, to.y) - radius - 0.5));
  const bottom = Math.min(mask.height - 1, Math.floor(Math.max(from.y, to.y) + radius - 0.5));
  for (let row = top; row <= bottom; row++) {
    const y = row + 0.5;
    let left = Infinity;
    let right = -Infinity;
    for (const centre of [from, to]) {
      const half = radius * radius - (y - centre.y) ** 2;
      if (half < 0) continue;
      left = Math.min(left, centre.x - Math.sqrt(half));
      right = Math.max(right, centre.x + Math.sqrt(half));
    }
    for (let i = 0; i < 4; i++) {
      const [a, b] = [corners[i], corners[(i + 1) % 4]];
      if (a.y === b.y || (y - a.y) * (y - b.y) > 0) continue;
      const x = a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x);
      left = Math.min(left, x);
      right = Math.max(right, x);
    }
    edit.fill(mask, row, Math.ceil(left - 0.5), Math.floor(right - 0.5) + 1, value);
  }
}

/** Fill a closed line of points {x, y}; where it crosses itself, everything it goes around. */
export function fillPolygon(mask, edit, points, value) {
  const heights = points.map((point) => point.y);
  const top = Math.max(0, Math.floor(heights.reduce((a, b) => Math.min(a, b), Infinity)));
  const bottom = Math.min(mask.height, Math.ceil(heights.reduce((a, b) => Math.max(a, b), 0)));
  for (let row = top; row < bottom; row++) {
    const y = row + 0.5;
    const crossings = [];
    for (let i = 0; i < points.length; i++) {
      const [a, b] = [points[i], points[(i + 1) % points.length]];
      if ((a.y <= y) === (b.y <= y)) continue;
      crossings.push([a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x), a.y < b.y ? 1 : -1]);
    }
    crossings.sort((one, other) => one[0] - other[0]);
    let winding = 0;
    crossings.forEach(([x, turn], i) => {
      winding += turn;
      if (winding) {
        const end = Math.floor(crossings[i + 1][0] - 0.5) + 1;
        edit.fill(mask, row, Math.ceil(x - 0.5), end, value);
      }
    });
  }
}

/** Whether two masks' pixels, of one length, are the same. */
export function isSame(one, other) {
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false;
  return true;
}

/** Copy a box {left, top, right, bottom} that lies in the mask. */
export function cut(mask, box) {
  const width = box.right - box.left;
  const part = new Uint8Array(width * (box.bottom - box.top));
  for (let row = box.top; row < box.bottom; row++) {
    const start = row * mask.width + box.left;
    part.set(mask.pixels.subarray(start, start + width), (row - box.top) * width);
  }
  return part;
}

/** Put a part, as `cut` gives it, back in its place. */
export function paste(mask, edit, box, part) {
  const width = box.right - box.left;
  for (let row = box.top; row < box.bottom; row++) {
    const start = (row - box.top) * width;
    edit.put(mask, row, box.left, part.subarray(start, start + width));
  }
}

/**
 * Paint the part of a mask that an area of the view shows.
 *
 * @param {Uint32Array} colours one for each pixel of the area, written here
 * @param {{left, top, right, bottom}} area pixels of the view
 * @param {{scale, x, y}} place a photo's pixel p lies at p * scale + (x, y) in the view
 * @param {{fill, outline, line}} look two colours as the array holds them; the line's width
 */
export function paint(colours, area, mask, place, look) {
  const source = (from, to, shift, length) => Int32Array.from(
    {length: to - from + 2 * look.line},
    (_, i) => {
      const at = Math.floor((from - look.line + i + 0.5 - shift) / place.scale);
      return at >= 0 && at < length ? at : -1;
    },
  );
  const columns = source(area.left, area.right, place.x, mask.width);
  const rows = source(area.top, area.bottom, place.y, mask.height);
  const {pixels, width} = mask;
  const width_of_area = area.right - area.left;
  const outside = (row, column) => row < 0 || column < 0 || pixels[row * width + column] === 0;
  for (let y = 0; y < area.bottom - area.top; y++) {
    const [above, row, below] = [rows[y], rows[y + look.line], rows[y + 2 * look.line]];
    for (let x = 0; x < width_of_area; x++) {
      const column = columns[x + look.line];
      let colour = 0;
      if (row >= 0 && column >= 0 && pixels[row * width + column] !== 0) {
        const edge = outside(above, column) || outside(below, column)
          || outside(row, columns[x]) || outside(row, columns[x + 2 * look.line]);
        colour = edge ? look.outline : look.fill;
      }
      colours[y * width_of_area + x] = colour;
    }
  }
}
