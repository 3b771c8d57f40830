// The picture as it is now, as a file: PNG of the pixels, or SVG with words and shapes.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { token } from "../text.js";
import { KINDS } from "./model.js";
import { words } from "./axis.js";
import { RADIUS } from "./draw.js";
import { MARGIN } from "./layout.js";
import { brackets } from "./turns.js";

const MOST = 20000; // lines in an SVG; more would open nowhere

export function SaveButtons({ graph, picture, shown, chosen }) {
  const [note, setNote] = useState("");
  const name = (kind) => `${graph.title.replace(/[^\w.-]+/g, "-").slice(0, 80)}.${kind}`;
  const png = async () => {
    const { edgesRef, nodesRef, overRef, ink } = picture.current;
    const { width, height } = nodesRef.current;
    const canvas = Object.assign(document.createElement("canvas"), { width, height }),
      context = canvas.getContext("2d");
    context.fillStyle = ink.paper;
    context.fillRect(0, 0, width, height);
    for (const ref of [edgesRef, nodesRef, overRef]) context.drawImage(ref.current, 0, 0);
    canvas.toBlob((blob) => save(blob, name("png")));
  };
  const svg = () => {
    const { text, left } = asSvg(graph, shown, chosen, picture.current);
    setNote(left ? `The ${left} weakest edges are left out.` : "");
    save(new Blob([text], { type: "image/svg+xml" }), name("svg"));
  };
  return html`<p class="row">
    <button onClick=${svg}>Save as SVG</button><button onClick=${png}>Save as PNG</button>
    <span class="note" role="status">${note}</span>
  </p>`;
}

function save(blob, name) {
  const link = Object.assign(document.createElement("a"), {
    href: URL.createObjectURL(blob),
    download: name,
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// XML allows few control characters; those that it does not allow are spelled out by `token`.
const escaped = (text) => token(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

export function asSvg(graph, shown, chosen, { placed, view, ink, width, height }) {
  const at = (i) =>
    [placed.x[i] * view.k + view.x, placed.y[i] * view.k + view.y].map((value) => value.toFixed(1));
  let list = Array.from(shown.edges.keys()).filter((e) => shown.edges[e]);
  const size = (e) => Math.abs(graph.weight[e]) / (graph.total[graph.target[e]] || 1);
  list.sort((a, b) => size(a) - size(b));
  const left = Math.max(0, list.length - MOST);
  list = list.slice(left);
  const lines = list.map((e) => {
    const [x1, y1] = at(graph.source[e]),
      [x2, y2] = at(graph.target[e]),
      share = Math.min(1, size(e));
    const colour = graph.weight[e] < 0 ? ink.down : ink.up;
    const wide = (0.4 + 3 * share).toFixed(2), opaque = (0.15 + 0.8 * share).toFixed(2);
    const ends = `x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}"`;
    return `<line ${ends} stroke="${colour}" stroke-width="${wide}" opacity="${opaque}"/>`;
  });
  const nodes = placed.shown.map((i) => {
    const [x, y] = at(i),
      kind = KINDS[graph.kind[i]];
    const ring =
      i === chosen.selected ? ` stroke="${ink.chosen}" stroke-width="2.5"` : ` stroke="${ink.paper}"`;
    const hollow = `fill="${ink.paper}" stroke="${ink.error}"`;
    const inside = kind === "error" ? hollow : `fill="${ink[kind]}"${ring}`;
    const title = `<title>${escaped(graph.words(i))}</title>`;
    return `<g transform="translate(${x} ${y})" ${inside}>${title}${MARKS[kind]}</g>`;
  });
  const rings = chosen.pins
    .filter((i) => shown.nodes[i])
    .map((i) => {
      const [x, y] = at(i), look = `fill="none" stroke="${ink.ink}" stroke-width="2" stroke-dasharray="3 2"`;
      return `<circle cx="${x}" cy="${y}" r="${RADIUS + 3}" ${look}/>`;
    });
  const names = words(graph, placed, view).map(({ text, x, y, anchor, template }) => {
    const place = `x="${x.toFixed(1)}" y="${(y + 4).toFixed(1)}" text-anchor="${anchor}"`;
    return `<text ${place}${template ? ` fill="${ink.faint}"` : ""}>${escaped(text)}</text>`;
  });
  const turns = brackets(graph, placed, view, MARGIN.left).map(
    ({ from, till, y }) =>
      `<path d="M${from} ${y - 4}V${y}H${till}V${y - 4}" fill="none" stroke="${ink.ink}"/>`,
  );
  const font = `font-family="sans-serif" font-size="12" fill="${ink.ink}"`;
  const box = `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
  const text = `<svg xmlns="http://www.w3.org/2000/svg" ${box} ${font}>
<title>${escaped(graph.text)}</title><rect width="100%" height="100%" fill="${ink.paper}"/>
${lines.join("\n")}\n${[...nodes, ...rings, ...names, ...turns].join("\n")}\n</svg>\n`;
  return { text, left };
}

const R = RADIUS;
const MARKS = {
  feature: `<circle r="${R}"/>`,
  embedding: `<rect x="${-R}" y="${-R}" width="${2 * R}" height="${2 * R}"/>`,
  error: `<path d="M0 ${-1.3 * R}L${1.25 * R} 0L0 ${1.25 * R}L${-1.25 * R} 0Z"/>`,
  logit: `<path d="M0 ${-1.3 * R}L${1.2 * R} ${0.9 * R}L${-1.2 * R} ${0.9 * R}Z"/>`,
};
