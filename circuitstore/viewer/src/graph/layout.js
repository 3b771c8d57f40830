// Where nodes stand: tokens along x, layers up y. Positions are in pixels of a picture of `width` × `height`.

import { HEIGHT } from "./turns.js";

export const MARGIN = { left: 64, right: 20, top: 26, bottom: 46 };
const SPACING = 15,
  FEWEST = 0.55;

export function layout(graph, nodes, width, height) {
  const layers = graph.n_layers + 2; // the embeddings below, the logits above
  const columns = graph.tokens.length;
  const cells = new Map(); // layer and position → nodes, the most influential first
  const shown = [];
  for (let i = 0; i < graph.size; i++) if (nodes[i]) shown.push(i);
  shown.sort((a, b) => graph.kind[a] - graph.kind[b] || graph.influence[b] - graph.influence[a]);
  for (const i of shown) {
    const key = (graph.layer[i] + 1) * columns + graph.position[i];
    cells.has(key) ? cells.get(key).push(i) : cells.set(key, [i]);
  }
  const need = new Float64Array(columns).fill(FEWEST);
  for (const [key, members] of cells)
    need[key % columns] = Math.max(need[key % columns], Math.sqrt(members.length));
  const inner = width - MARGIN.left - MARGIN.right;
  const scale = inner / need.reduce((sum, value) => sum + value, 0);
  const left = new Float64Array(columns + 1).fill(MARGIN.left);
  need.forEach((value, c) => (left[c + 1] = left[c] + value * scale));
  const foot = MARGIN.bottom + (graph.turns.length ? HEIGHT : 0);
  const band = (height - MARGIN.top - foot) / layers;
  const middle = Float64Array.from({ length: layers }, (_, l) => height - foot - (l + 0.5) * band);
  const x = new Float32Array(graph.size),
    y = new Float32Array(graph.size);
  for (const [key, members] of cells) {
    const c = key % columns;
    place(members, left[c], left[c + 1], middle[Math.floor(key / columns)], band, x, y);
  }
  return { x, y, shown, left, middle, band, width, height, foot };
}

// The nodes of one cell in as many rows as they need, each row centred.
function place(members, from, till, middle, band, x, y) {
  const wide = Math.max(till - from - 8, 6),
    high = band * 0.8;
  const n = members.length;
  const perRow = Math.max(
    1,
    Math.min(n, Math.max(Math.floor(wide / SPACING), Math.ceil(Math.sqrt((n * wide) / high)))),
  );
  const rows = Math.ceil(n / perRow);
  const dx = Math.min(SPACING, wide / perRow),
    dy = Math.min(SPACING, high / rows);
  members.forEach((i, k) => {
    const row = Math.floor(k / perRow);
    const inRow = Math.min(perRow, n - row * perRow);
    x[i] = (from + till) / 2 + ((k % perRow) - (inRow - 1) / 2) * dx;
    y[i] = middle + ((rows - 1) / 2 - row) * dy;
  });
}

// The node at a point, within `reach` pixels, or -1.
export function nodeAt({ shown, x, y }, px, py, reach) {
  let best = -1,
    least = reach * reach;
  for (const i of shown) {
    const distance = (x[i] - px) ** 2 + (y[i] - py) ** 2;
    if (distance < least) ((least = distance), (best = i));
  }
  return best;
}

// The nearest node in a direction (dx, dy), from node i or from the top if there is none.
export function nextNode({ shown, x, y }, i, dx, dy) {
  if (i < 0) return shown.reduce((best, j) => (best < 0 || y[j] < y[best] ? j : best), -1);
  let best = i,
    least = Infinity;
  for (const j of shown) {
    const along = (x[j] - x[i]) * dx + (y[j] - y[i]) * dy;
    const across = Math.abs((x[j] - x[i]) * dy) + Math.abs((y[j] - y[i]) * dx);
    if (j !== i && along > 0.5 && along + 2.5 * across < least) ((least = along + 2.5 * across), (best = j));
  }
  return best;
}
