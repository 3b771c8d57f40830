// Lines drawn by adding them up, pixel by pixel, in typed arrays. Where many cross it is darker, as if each
// were a little transparent. A line's strength is spread over the two pixels nearest to it in each step.
//
// Source of the antialiasing: Wu, "An Efficient Antialiasing Technique" (1991).

// lines: x0, y0, x1, y1, strength, five numbers each; a strength below 0 is drawn in the second colour.
export function splat({ width, height, lines, colours }) {
  const up = new Float32Array(width * height),
    down = new Float32Array(width * height);
  for (let k = 0; k < lines.length; k += 5) {
    const strength = lines[k + 4];
    line(
      strength < 0 ? down : up,
      width,
      height,
      lines[k],
      lines[k + 1],
      lines[k + 2],
      lines[k + 3],
      Math.abs(strength),
    );
  }
  return coloured(up, down, colours);
}

function line(sums, width, height, x0, y0, x1, y1, strength) {
  const steep = Math.abs(y1 - y0) > Math.abs(x1 - x0);
  let [a0, b0, a1, b1] = steep ? [y0, x0, y1, x1] : [x0, y0, x1, y1];
  if (a0 > a1) [a0, a1, b0, b1] = [a1, a0, b1, b0];
  const along = steep ? height : width,
    across = steep ? width : height;
  const slope = a1 > a0 ? (b1 - b0) / (a1 - a0) : 0;
  const from = Math.max(0, Math.ceil(a0)),
    till = Math.min(along - 1, Math.floor(a1));
  const stepA = steep ? width : 1,
    stepB = steep ? 1 : width;
  for (let a = from, b = b0 + (from - a0) * slope; a <= till; a++, b += slope) {
    if (b < 0 || b >= across - 1) continue;
    const whole = b | 0,
      part = b - whole,
      at = a * stepA + whole * stepB;
    sums[at] += strength * (1 - part);
    sums[at + stepB] += strength * part;
  }
}

function coloured(up, down, [[r0, g0, b0], [r1, g1, b1]]) {
  const pixels = new Uint8ClampedArray(4 * up.length);
  for (let i = 0, j = 0; i < up.length; i++, j += 4) {
    const sum = up[i] + down[i];
    if (!sum) continue;
    const share = up[i] / sum;
    pixels[j] = r1 + share * (r0 - r1);
    pixels[j + 1] = g1 + share * (g0 - g1);
    pixels[j + 2] = b1 + share * (b0 - b1);
    pixels[j + 3] = 255 * (1 - Math.exp(-sum));
  }
  return pixels;
}
