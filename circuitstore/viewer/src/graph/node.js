// What is known of the chosen node: its numbers, strongest inputs and outputs, and its feature.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { to } from "../address.js";
import { has, useRecord } from "../records.js";
import { count, number, percent, short, token } from "../text.js";
import { EMBEDDING, FEATURE, LOGIT } from "./model.js";
import { FeatureSummary } from "../pages/feature.js";
import { edgeName } from "./calls.js";
import { Heads } from "./edge.js";

const MOST = 12;

export function NodePanel({ graph, chosen, shown, behaviour, select, pin }) {
  const i = chosen.selected;
  if (i < 0) {
    return html`<section class="panel" aria-label="Node">
      <h2>No node is chosen</h2>
      <p class="faint">Click one, or press an arrow key on the picture.</p>
      <${Start} ...${{ graph, shown, select }} />
    </section>`;
  }
  const pinned = chosen.pins.includes(i),
    kind = graph.kind[i];
  return html`<section class="panel" aria-label="Node">
    <h2>${graph.name(i)} <span class="faint">at ${graph.place(i)}</span></h2>
    ${graph.label(i) && html`<p class="label"><bdi>${short(graph.label(i), 300)}</bdi></p>`}
    <p class="row">
      <button aria-pressed=${pinned} onClick=${() => pin(i)}>${pinned ? "Unpin" : "Pin"}</button>
      ${behaviour && kind === FEATURE && has(`feature/${behaviour}/${graph.layer[i]}/${graph.feature[i]}`)
        && html`<a href=${to(["feature", behaviour, graph.layer[i], graph.feature[i]])}>Feature page</a>`}
    </p>
    <dl class="facts">
      <div>
        <dt>influence</dt>
        <dd>${percent(graph.influence[i])}</dd>
      </div>
      ${
        kind === FEATURE &&
        html`<div>
          <dt>activation</dt>
          <dd>${number(graph.activation[i])}</dd>
        </div>`
      }
      ${
        graph.frequency &&
        html`<div>
          <dt>in graphs</dt>
          <dd>${percent(graph.frequency[i])}</dd>
        </div>`
      }
      ${
        graph.direct_attribution &&
        html`<div title="nats of margin, by its own edge">
            <dt>direct</dt>
            <dd>${number(graph.direct_attribution[i])}</dd>
          </div>
          <div title="nats of margin, by all paths through features">
            <dt>total</dt>
            <dd>${number(graph.total_attribution[i])}</dd>
          </div>`
      }
    </dl>
    ${!shown.nodes[i] && html`<p class="note">Pruned away at this setting.</p>`}
    ${kind !== EMBEDDING
      && html`<${Ends}
        title="Inputs"
        ...${{ graph, select }}
        edges=${graph.strongest(i, graph.inputs, shown.edges)}
        end=${graph.source}
      />`}
    <${Ends}
      title="Outputs"
      ...${{ graph, select }}
      edges=${graph.strongest(i, graph.outputs, shown.edges)}
      end=${graph.target}
    />
    ${behaviour && kind === FEATURE
      && html`<${Known} ...${{ behaviour }} layer=${graph.layer[i]} feature=${graph.feature[i]} />`}
  </section>`;
}

function Start({ graph, shown, select }) {
  const nodes = Array.from(graph.kind.keys()).filter((i) => shown.nodes[i] && graph.kind[i] !== LOGIT);
  const features = nodes.filter((i) => graph.kind[i] === FEATURE);
  const list = features.length ? features : nodes;
  list.sort((a, b) => graph.influence[b] - graph.influence[a]);
  return html`<h3>Most influence</h3>
    <ul class="ends">
      ${list.slice(0, MOST).map(
        (i) =>
          html`<li key=${i}>
            <button class="link" onClick=${() => select(i)}>
              <span class="number">${percent(graph.influence[i])}</span> <${Name} ...${{ graph, i }} />
            </button>
          </li>`,
      )}
    </ul>`;
}

const Name = ({ graph, i }) =>
  html`<span class="name"
    >${graph.name(i)}
    ${graph.kind[i] !== EMBEDDING
      && html`<span class="faint">${token(graph.tokens[graph.position[i]])}</span>`}
    ${graph.label(i) && html` <bdi>${short(graph.label(i), 80)}</bdi>`}</span
  >`;

function Ends({ title, graph, edges, end, select }) {
  const [open, setOpen] = useState(-1); // the edge whose heads are shown
  return html`<h3>${title} <span class="faint">${count(edges.length, "edge")}</span></h3>
    <ul class="ends" aria-label=${title}>
      ${edges.slice(0, MOST).map((e) => {
        const share = graph.weight[e] / (graph.total[graph.target[e]] || 1);
        return html`<li key=${e}>
          <button
            class="link"
            onClick=${() => select(end[e])}
            title=${`weight ${number(graph.weight[e])}, ${percent(Math.abs(share))} of what enters`}
          >
            <span class=${`number ${share < 0 ? "down" : "up"}`}>${number(graph.weight[e])}</span>
            <${Name} ...${{ graph, i: end[e] }} />
          </button>
          ${edgeName(graph, e)
            && html`<button
              class="small"
              aria-expanded=${open === e}
              title="Through which heads this edge goes"
              onClick=${() => setOpen(open === e ? -1 : e)}
            >
              heads
            </button>`}
          ${open === e && html`<${Heads} ...${{ graph, e }} />`}
        </li>`;
      })}
    </ul>`;
}

function Known({ behaviour, layer, feature }) {
  const key = `feature/${behaviour}/${layer}/${feature}`;
  const known = useRecord(has(key) && key),
    about = useRecord(`behaviour/${behaviour}`);
  if (!known.value || !about.value) return known.error ? html`<p class="note">${known.error}</p>` : null;
  return html`<${FeatureSummary} feature=${known.value} behaviour=${about.value} />`;
}
