// The page of a graph: its picture between what chooses and what explains; two pictures for two graphs.
import { html } from "htm/preact";
import { useSignal } from "@preact/signals";
import { useMemo, useRef, useState } from "preact/hooks";
import { change } from "../address.js";
import { useRecord } from "../records.js";
import { count, number, percent, short, token } from "../text.js";
import { Graph } from "../graph/model.js";
import { prune, scores } from "../graph/prune.js";
import { Picture } from "../graph/canvas.js";
import { Controls } from "../graph/controls.js";
import { NodePanel } from "../graph/node.js";
import { Subgraph } from "../graph/subgraph.js";
import { SaveButtons } from "../graph/save.js";
import * as state from "../graph/state.js";
import { Waiting } from "../parts/common.js";

export function GraphPage({ behaviour, prompt, text }) {
  const key = text ? `text/${text}` : prompt ? `graph/${behaviour}/${prompt}` : `circuit/${behaviour}`;
  const first = useRecord(key);
  if (!first.value) return html`<${Waiting} ...${first} />`;
  return html`<${Loaded} key=${key} record=${first.value} behaviour=${behaviour} prompt=${prompt} />`;
}

function Loaded({ record, behaviour, prompt }) {
  const graph = useMemo(() => new Graph(record), [record]);
  const chosen = state.chosen(graph);
  const shown = useShown(graph, chosen);
  const matches = useMemo(
    () => state.found(graph, shown.nodes, chosen.query),
    [graph, shown.nodes, chosen.query],
  );
  const besideKey = chosen.beside && `graph/${behaviour}/${chosen.beside}`;
  const beside = useRecord(besideKey);
  const other = useMemo(() => beside.value && new Graph(beside.value), [beside.value]);
  const tip = useSignal(null); // its changes draw the tip alone anew, and not the page
  const picture = useRef(null);
  const select = (i) => state.select(graph, i);
  const pin = (i) => state.pin(graph, i);
  const onHover = (i, at) => (tip.value = i >= 0 ? { i, at } : null);
  const otherShown = useShown(other, chosen);
  const shared = useMemo(
    () => other && matched(graph, shown, other, otherShown),
    [graph, shown, other, otherShown],
  );
  return html`<main class="graph-page">
    <${Controls} ...${{ graph, chosen, shown, matches, behaviour, prompt, select, shared }} />
    <section class="pictures" aria-label="Graph">
      <${Heading} ...${{ graph, shown }} />
      <div class=${`${other ? "two" : "one"} ${chosen.pins.length ? "pinned" : ""}`}>
        <div class="holder">
          <${Picture}
            onReady=${(ready) => (picture.current = ready)}
            ...${{ graph, nodes: shown.nodes, edges: shown.edges, matches, pins: chosen.pins }}
            selected=${chosen.selected}
            current=${() => state.chosen(graph).selected}
            shared=${shared?.[0]}
            onSelect=${select}
            onPin=${pin}
            onHover=${onHover}
            label=${`Attribution graph of ${short(graph.text)}`}
            description="picture-keys"
          />
          <${Tip} ...${{ graph, tip }} />
        </div>
        ${besideKey && !other && html`<${Waiting} ...${beside} />`}
        ${other
          && html`<${Beside} ...${{ graph, other, otherShown, chosen, shared: shared[1], behaviour }} />`}
      </div>
      <p id="picture-keys" class="keys">
        Click a node for its inputs and outputs; shift-click pins it. Drag moves, the wheel zooms. Keys:
        arrows,
        <kbd>i</kbd> strongest input, <kbd>o</kbd> strongest output, <kbd>p</kbd> pin, <kbd>+</kbd>
        <kbd>-</kbd>, <kbd>Esc</kbd>.
      </p>
      <${Subgraph} ...${{ graph, chosen, shown, select }} />
      <${SaveButtons} ...${{ graph, picture, shown, chosen }} />
      <${NodeTable} ...${{ graph, shown, select }} />
    </section>
    <${NodePanel} ...${{ graph, chosen, shown, behaviour, select, pin }} />
    <p class="announce" role="status">${chosen.selected >= 0 ? described(graph, chosen.selected) : ""}</p>
  </main>`;
}

// What pruning and filters leave, and its scores.
function useShown(graph, { share, edgeShare, sign, least, layers }) {
  const pruned = useMemo(() => {
    if (!graph) return null;
    const masks = prune(graph, share, edgeShare);
    const sum = (mask) => mask.reduce((total, kept) => total + kept, 0);
    return {
      ...masks,
      scores: scores(graph, masks),
      counts: { nodes: sum(masks.nodes), edges: sum(masks.edges) },
    };
  }, [graph, share, edgeShare]);
  return useMemo(() => {
    if (!pruned) return null;
    return {
      ...pruned,
      edges: state.filtered(graph, pruned.edges, { sign, least, layers }),
      pruned: pruned.edges,
    };
  }, [pruned, sign, least, ...layers]);
}

// The shown nodes that both graphs have, as two lists.
function matched(graph, shown, other, otherShown) {
  const theirs = new Map();
  for (let i = 0; i < other.size; i++) if (otherShown.nodes[i]) theirs.set(other.identity(i), i);
  const pairs = [[], []];
  for (let i = 0; i < graph.size; i++) {
    const j = shown.nodes[i] ? theirs.get(graph.identity(i)) : undefined;
    if (j !== undefined) (pairs[0].push(i), pairs[1].push(j));
  }
  return pairs;
}

function Heading({ graph, shown }) {
  const { scores, counts } = shown;
  return html`<div class="heading">
    <h1>
      <bdi>${short(graph.text, 160)}</bdi
      >${graph.answers
        && html` <span class="answer"
          >→ ${token(graph.answers[0])} <span class="faint">not</span> ${token(graph.answers[1])}</span
        >`}
    </h1>
    <dl class="facts">
      <div
        title="Influence that runs from tokens through shown features alone; what is hidden counts as error"
      >
        <dt>replacement</dt>
        <dd>
          <span data-score="replacement">${number(scores.replacement)}</span
          ><${Whole} value=${graph.scores.replacement_score} />
        </dd>
      </div>
      <div
        title="How much of what enters shown nodes comes from shown ones; what is hidden counts as error"
      >
        <dt>completeness</dt>
        <dd>
          <span data-score="completeness">${number(scores.completeness)}</span
          ><${Whole} value=${graph.scores.completeness_score} />
        </dd>
      </div>
      <div>
        <dt>shown</dt>
        <dd>${count(counts.nodes, "node")}, ${count(counts.edges, "edge")}</dd>
      </div>
    </dl>
  </div>`;
}

const Whole = ({ value }) =>
  value !== undefined && html` <span class="faint">whole graph ${number(value)}</span>`;

const described = (graph, i) => {
  const label = graph.label(i),
    kind = graph.kind[i];
  const activation = kind === 0 ? `, activation ${number(graph.activation[i])}` : "";
  const name = `${graph.name(i)}${label ? `, ${short(label)}` : ""}`;
  return `${name}, at ${graph.place(i)}${activation}, influence ${number(graph.influence[i])}`;
};

function Tip({ graph, tip }) {
  if (!tip.value) return null;
  const {
    i,
    at: [x, y, width],
  } = tip.value;
  const place = x > width / 2 ? { right: `${width - x + 14}px` } : { left: `${x + 14}px` };
  return html`<div class="tip" style=${{ top: `${Math.max(0, y - 12)}px`, ...place }}>
    <b>${graph.name(i)}</b> at ${graph.place(i)}
    ${graph.label(i) && html`<br /><bdi>${short(graph.label(i), 120)}</bdi>`} <br />influence
    ${number(graph.influence[i])}${graph.kind[i] === 0 && html`, activation ${number(graph.activation[i])}`}
  </div>`;
}

function Beside({ graph, other, otherShown, chosen, shared, behaviour }) {
  const theirs = (i) => (i >= 0 ? (shared.find((j) => other.identity(j) === graph.identity(i)) ?? -1) : -1);
  const selected = theirs(chosen.selected),
    current = () => theirs(state.chosen(graph).selected);
  const select = (j) => {
    const mine =
      j >= 0
        ? Array.from({ length: graph.size }, (_, i) => i).find((i) => graph.identity(i) === other.identity(j))
        : -1;
    state.select(graph, mine ?? -1);
  };
  return html`<div class="holder">
    <p class="beside">
      <bdi>${short(other.text, 120)}</bdi> <span class="faint">${shared.length} shared, ringed</span>
      <button onClick=${() => change({ vs: "" }, { step: true })}>Close</button>
    </p>
    <${Picture}
      ...${{ graph: other, nodes: otherShown.nodes, edges: otherShown.edges }}
      ...${{ selected, current, shared, onSelect: select }}
      label=${`Attribution graph of ${short(other.text)}`}
      description="picture-keys"
    />
  </div>`;
}

function NodeTable({ graph, shown, select }) {
  const [open, setOpen] = useState(false);
  const list = open
    ? Array.from(graph.kind.keys())
        .filter((i) => shown.nodes[i])
        .sort((a, b) => graph.influence[b] - graph.influence[a])
        .slice(0, 200)
    : [];
  return html`<details class="table" onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary>Nodes as a table</summary>
    <table>
      <thead>
        <tr>
          <th>node</th>
          <th>token</th>
          <th>label</th>
          <th>influence</th>
        </tr>
      </thead>
      <tbody>
        ${list.map(
          (i) =>
            html`<tr key=${i}>
              <td><button class="link" onClick=${() => select(i)}>${graph.name(i)}</button></td>
              <td>${graph.place(i)}</td>
              <td><bdi>${short(graph.label(i), 120)}</bdi></td>
              <td class="number">${percent(graph.influence[i])}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </details>`;
}
