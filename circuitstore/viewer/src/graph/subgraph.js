// The pinned nodes and groups of them as boxes that can be moved, and the edges between these.
//
// The edge between two groups is the sum of the edges between their members.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { number, short, token } from "../text.js";
import { Copy } from "../parts/copy.js";
import { intervention } from "./calls.js";
import { FEATURE } from "./model.js";
import * as state from "./state.js";

const WIDTH = 150,
  HEIGHT = 38;

export function Subgraph({ graph, chosen, shown, select }) {
  const [marked, setMarked] = useState([]);
  const [moved, setMoved] = useState({});
  const [name, setName] = useState("");
  if (!chosen.pins.length) return null;
  const boxes = boxesOf(graph, chosen);
  const edited = (marked.length ? marked : chosen.pins).filter(
    (i) => graph.kind[i] === FEATURE && !graph.aggregated,
  );
  const mark = (box) =>
    setMarked(
      box.members.every((i) => marked.includes(i))
        ? marked.filter((i) => !box.members.includes(i))
        : [...new Set([...marked, ...box.members])],
    );
  const join = (event) => {
    event.preventDefault();
    if (!name.trim() || !marked.length) return;
    state.group(graph, marked, name.trim());
    setMarked([]);
    setName("");
  };
  return html`<section class="subgraph" aria-label="Pinned nodes">
    <h2>Pinned <span class="faint">${chosen.pins.length}</span></h2>
    <div class="row">
      <form class="row" onSubmit=${join}>
        <input
          type="text"
          aria-label="Name of the group"
          placeholder="name of a group"
          value=${name}
          onInput=${(event) => setName(event.currentTarget.value)}
        />
        <button disabled=${!marked.length || !name.trim()}>Group ${marked.length || ""}</button>
      </form>
      <button onClick=${state.unpinAll}>Unpin all</button>
      ${edited.length > 0
        && html`<${Copy}
          button="Copy as Python"
          title="An intervention that sets these features to 0"
          label="Python"
          made=${() => intervention(graph, edited)}
        />`}
    </div>
    <ul class="pins">
      ${boxes.map(
        (box) =>
          html`<li key=${box.key}>
            <label
              ><input
                type="checkbox"
                checked=${box.members.every((i) => marked.includes(i))}
                onChange=${() => mark(box)}
              />
              <bdi>${short(box.name, 60)}</bdi></label
            >
            ${box.group
              ? html`<button class="small" onClick=${() => state.ungroup(graph, box.group)}>ungroup</button>`
              : html`<button class="small" onClick=${() => state.pin(graph, box.members[0])}>unpin</button>`}
          </li>`,
      )}
    </ul>
    <${Drawing} ...${{ graph, boxes, shown, select, moved, setMoved }} />
  </section>`;
}

function boxesOf(graph, { pins, groups }) {
  const grouped = new Set(groups.flatMap(({ members }) => members));
  return [
    ...groups.map(({ name, members }) => ({
      key: `group ${name}`,
      group: name,
      name: `${name} (${members.length})`,
      members,
    })),
    ...pins
      .filter((i) => !grouped.has(i))
      .map((i) => ({
        key: `node ${i}`,
        name: `${graph.words(i)} at ${token(graph.tokens[graph.position[i]])}`,
        members: [i],
      })),
  ];
}

// Weight between each two boxes: { from, to, weight }.
function between(graph, boxes, edges) {
  const box = new Map(boxes.flatMap(({ members }, k) => members.map((i) => [i, k])));
  const sums = new Map();
  for (const { members } of boxes) {
    for (const i of members) {
      for (const e of graph.inputs.of(i)) {
        const from = box.get(graph.source[e]),
          till = box.get(i);
        if (!edges[e] || from === undefined || from === till) continue;
        const key = from * boxes.length + till;
        sums.set(key, (sums.get(key) ?? 0) + graph.weight[e]);
      }
    }
  }
  return Array.from(sums, ([key, weight]) => ({
    from: Math.floor(key / boxes.length),
    to: key % boxes.length,
    weight,
  }));
}

function Drawing({ graph, boxes, shown, select, moved, setMoved }) {
  const places = arranged(graph, boxes).map((place, k) => moved[boxes[k].key] ?? place);
  const width = Math.max(...places.map(([x]) => x)) + WIDTH + 8,
    height = Math.max(...places.map(([, y]) => y)) + HEIGHT + 8;
  const edges = between(graph, boxes, shown.edges),
    most = Math.max(...edges.map(({ weight }) => Math.abs(weight)), 1e-9);
  const drag =
    (key, [x, y]) =>
    (event) => {
      const box = event.currentTarget,
        from = [event.clientX, event.clientY];
      box.setPointerCapture(event.pointerId);
      box.onpointermove = ({ clientX, clientY }) =>
        setMoved((before) => ({
          ...before,
          [key]: [Math.max(0, x + clientX - from[0]), Math.max(0, y + clientY - from[1])],
        }));
      box.onpointerup = () => (box.onpointermove = box.onpointerup = null);
    };
  const names = edges.map(
    ({ from, to, weight }) => `${boxes[from].name} to ${boxes[to].name}: ${number(weight)}`,
  );
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Boxes of pinned nodes">
    <svg
      class="boxes"
      width=${width}
      height=${height}
      role="img"
      aria-label=${short(`Edges between pinned nodes. ${names.join("; ")}`, 2000)}
    >
      ${edges.map(({ from, to, weight }) => {
        const [x0, y0] = places[from],
          [x1, y1] = places[to],
          share = Math.abs(weight) / most;
        return html`<g class=${weight < 0 ? "down" : "up"}
          ><line
            x1=${x0 + WIDTH / 2}
            y1=${y0}
            x2=${x1 + WIDTH / 2}
            y2=${y1 + HEIGHT}
            stroke-width=${0.8 + 3.5 * share}
            opacity=${0.35 + 0.6 * share}
          />
          <text x=${(x0 + x1 + WIDTH) / 2 + 5} y=${(y0 + y1 + HEIGHT) / 2}>${number(weight, 2)}</text></g
        >`;
      })}
      ${boxes.map(
        (box, k) =>
          html`<g
            key=${box.key}
            class="box"
            transform=${`translate(${places[k][0]},${places[k][1]})`}
            onPointerDown=${drag(box.key, places[k])}
            onDblClick=${() => select(box.members[0])}
          >
            <rect width=${WIDTH} height=${HEIGHT} rx="5" class=${box.group ? "group" : ""} />
            <text x="8" y="16">${short(box.group ?? graph.name(box.members[0]), 22)}</text>
            <text x="8" y="31" class="faint"
              >${box.group ? `${box.members.length} nodes` : short(below(graph, box.members[0]), 22)}</text
            >
          </g>`,
      )}
    </svg>
  </div>`;
}

const below = (graph, i) => graph.label(i) || token(graph.tokens[graph.position[i]]);

// Boxes in rows by layer, the highest on top, from left to right by position.
function arranged(graph, boxes) {
  const mean = ({ members }, values) => members.reduce((sum, i) => sum + values[i], 0) / members.length;
  const layer = boxes.map((box) => Math.round(mean(box, graph.layer)));
  const rows = [...new Set(layer)].sort((a, b) => b - a);
  const places = [];
  rows.forEach((row, r) => {
    const here = boxes.map((_, k) => k).filter((k) => layer[k] === row);
    here.sort((a, b) => mean(boxes[a], graph.position) - mean(boxes[b], graph.position));
    here.forEach((k, c) => (places[k] = [8 + c * (WIDTH + 22), 8 + r * (HEIGHT + 34)]));
  });
  return places;
}
