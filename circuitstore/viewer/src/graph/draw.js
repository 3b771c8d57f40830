// What is drawn of a graph beside its edges: nodes, tokens, layers, and lines of what is chosen.
import { ERROR, EMBEDDING, FEATURE } from "./model.js";

export const RADIUS = 4.5;
const HOVERED = 300; // lines of one node that are drawn while the pointer is on it

export const NAMES = [
  "ink",
  "faint",
  "paper",
  "up",
  "down",
  "feature",
  "error",
  "embedding",
  "logit",
  "chosen",
  "shared",
];

export function colours(element) {
  const style = getComputedStyle(element);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

export function rgb(colour) {
  const hex = colour.slice(1);
  return [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
}

// Lines for the worker: x0, y0, x1, y1, strength of every shown edge, in pixels of the screen.
export function lines(graph, edges, placed, view, ratio) {
  let n = 0;
  for (const kept of edges) n += kept;
  const result = new Float32Array(5 * n),
    { x, y } = placed;
  const many = Math.min(1, Math.sqrt(2500 / Math.max(n, 1)));
  let k = 0;
  for (let e = 0; e < edges.length; e++) {
    if (!edges[e]) continue;
    const s = graph.source[e],
      t = graph.target[e],
      weight = graph.weight[e];
    const share = Math.min(1, Math.abs(weight) / (graph.total[t] || 1));
    const strength = (0.06 + 0.94 * share ** 0.7) * many;
    result[k++] = (x[s] * view.k + view.x) * ratio;
    result[k++] = (y[s] * view.k + view.y) * ratio;
    result[k++] = (x[t] * view.k + view.x) * ratio;
    result[k++] = (y[t] * view.k + view.y) * ratio;
    result[k++] = weight < 0 ? -strength : strength;
  }
  return result;
}

export function shape(context, kind, x, y, r) {
  if (kind === FEATURE) return (context.moveTo(x + r, y), context.arc(x, y, r, 0, 2 * Math.PI));
  if (kind === EMBEDDING) return context.rect(x - r, y - r, 2 * r, 2 * r);
  const [bottom, side] = kind === ERROR ? [r * 1.25, r * 1.25] : [r * 0.9, r * 1.2];
  context.moveTo(x, y - r * 1.3);
  context.lineTo(x + side, kind === ERROR ? y : y + bottom);
  if (kind === ERROR) context.lineTo(x, y + bottom);
  context.lineTo(x - side, kind === ERROR ? y : y + bottom);
  context.closePath();
}

export function nodes(context, graph, placed, view, ink, dimmed) {
  const screen = (i) => [placed.x[i] * view.k + view.x, placed.y[i] * view.k + view.y];
  for (const [kind, name] of ["feature", "error", "embedding", "logit"].entries()) {
    for (const dim of [true, false]) {
      context.beginPath();
      for (const i of placed.shown) {
        if (graph.kind[i] !== kind || Boolean(dimmed?.[i]) !== dim) continue;
        shape(context, kind, ...screen(i), RADIUS);
      }
      context.globalAlpha = dim ? 0.25 : 1;
      context.fillStyle = kind === ERROR ? ink.paper : ink[name];
      context.fill();
      context.strokeStyle = kind === ERROR ? ink.error : ink.paper;
      context.lineWidth = kind === ERROR ? 1.4 : 1;
      context.stroke();
    }
  }
  context.globalAlpha = 1;
}

export function rings(context, placed, view, list, colour, radius = RADIUS + 3, dash = []) {
  context.beginPath();
  context.setLineDash(dash);
  for (const i of list) {
    const x = placed.x[i] * view.k + view.x,
      y = placed.y[i] * view.k + view.y;
    context.moveTo(x + radius, y);
    context.arc(x, y, radius, 0, 2 * Math.PI);
  }
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.stroke();
  context.setLineDash([]);
}

// The strongest edges of one node as lines whose width follows their share.
export function traces(context, graph, placed, view, edges, i, ink) {
  for (const list of [
    graph.strongest(i, graph.inputs, edges, HOVERED),
    graph.strongest(i, graph.outputs, edges, HOVERED),
  ]) {
    const most = list.length ? Math.abs(graph.weight[list[0]]) : 1;
    for (const e of list.reverse()) {
      const s = graph.source[e],
        t = graph.target[e],
        share = Math.abs(graph.weight[e]) / most;
      context.beginPath();
      context.moveTo(placed.x[s] * view.k + view.x, placed.y[s] * view.k + view.y);
      context.lineTo(placed.x[t] * view.k + view.x, placed.y[t] * view.k + view.y);
      context.strokeStyle = graph.weight[e] < 0 ? ink.down : ink.up;
      context.globalAlpha = 0.25 + 0.7 * share;
      context.lineWidth = 0.6 + 3 * share;
      context.stroke();
    }
  }
  context.globalAlpha = 1;
}
