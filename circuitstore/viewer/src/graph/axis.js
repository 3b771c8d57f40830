// The axes of a graph: names of layers at the left, names of tokens below, and whose turn these are.
//
// They stay in sight while it moves. `words` says what is written where, on the picture and in files.
import { token } from "../text.js";
import { MARGIN } from "./layout.js";
import { brackets } from "./turns.js";

const FONT = "12px system-ui, sans-serif";
const measure = document.createElement("canvas").getContext("2d");

// { text, x, y, anchor, template } of every name in sight; y is the middle of the line.
export function words(graph, placed, view) {
  measure.font = FONT;
  const { width, height } = placed;
  const turns = brackets(graph, placed, view, MARGIN.left).map(({ role, from, till, y, room }) => ({
    text: fit(role, room),
    x: (from + till) / 2,
    y: y + 10,
    anchor: "middle",
  }));
  return [...layers(placed, view), ...tokens(graph, placed, view), ...turns].filter(
    ({ x, y }) => x <= width && y <= height,
  );
}

function layers({ middle, band, height, foot }, view) {
  const every = Math.ceil(13 / (band * view.k)),
    last = middle.length - 1;
  return Array.from(middle, (at, l) => ({
    text: l === 0 ? "token" : l === last ? "output" : `L${l - 1}`,
    x: MARGIN.left - 14,
    y: at * view.k + view.y,
    anchor: "end",
  })).filter(({ y }, l) => y >= 6 && y <= height - foot && (l === 0 || l === last || l % every === 0));
}

function tokens(graph, { left, height, foot }, view) {
  const names = graph.tokens.map((name, c) => {
    const from = left[c] * view.k + view.x,
      room = left[c + 1] * view.k + view.x - from;
    return {
      text: fit(token(name), room - 4),
      x: from + room / 2,
      y: height - foot + 18 + 14 * (room < 50 ? c % 2 : 0), // narrow ones stand on two lines
      anchor: "middle",
      template: graph.turns.length > 0 && !graph.turns[c],
    };
  });
  return names.filter(({ x }) => x >= MARGIN.left);
}

export function axes(context, graph, placed, view, ink) {
  const { middle, band, width, height, foot } = placed;
  context.strokeStyle = ink.faint;
  context.lineWidth = 1;
  context.globalAlpha = 0.35;
  context.beginPath();
  for (let l = 1; l < middle.length; l++) {
    const y = (middle[l] + band / 2) * view.k + view.y;
    context.moveTo(MARGIN.left - 8, y);
    context.lineTo(width, y);
  }
  context.stroke();
  context.globalAlpha = 1;
  context.fillStyle = ink.paper;
  context.fillRect(0, 0, MARGIN.left - 8, height);
  context.fillRect(0, height - foot + 6, width, foot);
  context.font = FONT;
  context.textBaseline = "middle";
  for (const { text, x, y, anchor, template } of words(graph, placed, view)) {
    context.textAlign = anchor === "end" ? "right" : "center";
    context.fillStyle = template ? ink.faint : ink.ink;
    context.fillText(text, x, y);
  }
  context.strokeStyle = ink.ink;
  for (const { from, till, y } of brackets(graph, placed, view, MARGIN.left)) {
    context.beginPath();
    context.moveTo(from, y - 4);
    for (const [x, at] of [[from, y], [till, y], [till, y - 4]]) context.lineTo(x, at);
    context.stroke();
  }
}

function fit(text, width) {
  const room = Math.max(width < 50 ? 2 * width : width, 18);
  if (measure.measureText(text).width <= room) return text;
  let shown = text.slice(0, 40);
  while (shown.length > 1 && measure.measureText(`${shown}…`).width > room) shown = shown.slice(0, -1);
  return `${shown}…`;
}
