// A heat map over a picture: values enlarged bilinearly, each in the middle of its share, in the colours that
// `classify --heatmap` uses too.

/** Every 16th part of matplotlib's `inferno` (N. Smith and S. van der Walt, CC0), straight lines between. */
const INFERNO = [
  [0, 0, 4], [11, 7, 36], [33, 12, 74], [60, 9, 101], [87, 16, 109], [112, 25, 110], [137, 34, 106], [163, 43, 97],
  [187, 55, 85], [209, 70, 68], [227, 89, 50], [241, 113, 30], [249, 141, 10], [252, 171, 15], [249, 202, 50],
  [242, 232, 101], [252, 255, 164],
];
/** Pixels of the drawing for each value; the browser smooths the rest. */
const DETAIL = 16;

/** Draws `values` (rows × columns, 0 to 1) on a canvas and lays it over `area`, in fractions of the picture it stands on. */
export function drawHeatmap(canvas, values, { rows, columns, area }) {
  canvas.width = columns * DETAIL;
  canvas.height = rows * DETAIL;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  for (let y = 0; y < canvas.height; y++) {
    for (let x = 0; x < canvas.width; x++) {
      const value = between(values, columns, tap(y, rows), tap(x, columns));
      image.data.set([...inferno(value), 255], 4 * (y * canvas.width + x));
    }
  }
  context.putImageData(image, 0, 0);
  for (const side of ["left", "top", "width", "height"]) canvas.style[side] = `${100 * area[side]}%`;
}

/** The two positions that a pixel lies between, and how far it is on its way to the second. */
function tap(pixel, positions) {
  const last = positions - 1;
  const place = Math.min(Math.max((pixel + 0.5) / DETAIL - 0.5, 0), last);
  const first = Math.floor(place);
  return { first, second: Math.min(first + 1, last), fraction: place - first };
}

function between(values, columns, row, column) {
  const line = (y) => mix(values[y * columns + column.first], values[y * columns + column.second], column.fraction);
  return mix(line(row.first), line(row.second), row.fraction);
}

function inferno(value) {
  const place = Math.min(Math.max(value, 0), 1) * (INFERNO.length - 1);
  const index = Math.min(Math.floor(place), INFERNO.length - 2);
  return INFERNO[index].map((low, channel) => mix(low, INFERNO[index + 1][channel], place - index));
}

function mix(low, high, fraction) {
  return low + (high - low) * fraction;
}
