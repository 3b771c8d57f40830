// What chooses what is shown of a graph: pruning, filters, search, and a graph to compare with.
import { html } from "htm/preact";
import { change } from "../address.js";
import { has, useRecord } from "../records.js";
import { percent, short, token } from "../text.js";
import { DEFAULTS } from "./state.js";

const FEW = 12;

export function Controls({ graph, chosen, shown, matches, behaviour, prompt, select, shared }) {
  const [share, edges] = graph.thresholds;
  return html`<section class="controls" aria-label="What is shown">
    <h2>Prune</h2>
    <${Slider}
      name="share"
      label="Influence of nodes"
      value=${chosen.share}
      usual=${share ?? DEFAULTS.share}
    />
    <${Slider}
      name="edges"
      label="Influence of edges"
      value=${chosen.edgeShare}
      usual=${edges ?? DEFAULTS.edges}
    />
    ${graph.pruned
      && html`<p class="note">
        This page holds the ${graph.size} of ${graph.count.nodes} nodes that pruning kept.
      </p>`}
    ${graph.scores.kept_weight < 0.999
      && html`<p class="note">
        The store holds ${percent(graph.scores.kept_weight)} of all edge weight; scores are of these edges.
      </p>`}
    <h2>Filter edges</h2>
    <fieldset class="signs">
      <legend>Sign</legend>
      ${[
        ["both", "both"],
        ["up", "positive"],
        ["down", "negative"],
      ].map(
        ([value, label]) =>
          html`<label>
            <input
              type="radio"
              name="sign"
              checked=${chosen.sign === value}
              onChange=${() => change({ sign: value === "both" ? "" : value })}
            />${label}</label
          >`,
      )}
    </fieldset>
    <${Slider} name="min" label="Least share of an input" value=${chosen.least} usual=${0} most=${0.5} />
    <div class="layers">
      <span id="layers">Layers</span>
      ${["from", "to"].map(
        (name, k) =>
          html`<label
            >${name}
            <input
              type="number"
              min="0"
              max=${graph.n_layers - 1}
              value=${chosen.layers[k]}
              onInput=${(event) => change({ [name]: event.currentTarget.value })}
          /></label>`,
      )}
    </div>
    <h2>Find</h2>
    <input
      type="search"
      aria-label="Find features by label, layer, number or token"
      placeholder="label, L3, token …"
      value=${chosen.query}
      onInput=${(event) => change({ q: event.currentTarget.value })}
      onKeyDown=${(event) => event.key === "Enter" && matches.length && select(matches[0])}
    />
    ${
      chosen.query &&
      html`<p class="note" role="status">${matches.length} found</p>
        <ul class="found">
          ${matches.slice(0, FEW).map(
            (i) =>
              html`<li key=${i}>
                <button class="link" onClick=${() => select(i)}>
                  ${graph.name(i)} <span class="faint">${token(graph.tokens[graph.position[i]])}</span>
                  <bdi>${short(graph.label(i), 60)}</bdi>
                </button>
              </li>`,
          )}
        </ul>`
    }
    ${prompt && html`<${Compare} ...${{ graph, chosen, behaviour, prompt, shared }} />`}
    <h2>Legend</h2>
    <${Legend} ...${{ graph }} />
  </section>`;
}

function Slider({ name, label, value, usual, most = 1 }) {
  return html`<label class="slider"
    ><span>${label}</span><output>${percent(value)}</output>
    <input
      type="range"
      name=${name}
      min="0"
      max=${most}
      step="0.005"
      value=${value}
      aria-valuetext=${percent(value)}
      onInput=${({ currentTarget: { value: next } }) =>
        change({ [name]: Number(next) === usual ? "" : next })}
  /></label>`;
}

function Compare({ graph, chosen, behaviour, prompt, shared }) {
  const { value } = useRecord(`behaviour/${behaviour}`);
  const others = (value?.prompts ?? []).filter(
    ({ id, graph }) => graph && id !== prompt && has(`graph/${behaviour}/${id}`),
  );
  if (!others.length) return null;
  const partner = others.find(({ id }) => id === graph.partner);
  return html`<h2>Beside it</h2>
    ${partner && chosen.beside !== partner.id
      && html`<button onClick=${() => change({ vs: partner.id }, { step: true })}>its minimal pair</button>`}
    <select
      aria-label="Another graph beside this one"
      value=${chosen.beside}
      onChange=${(event) => change({ vs: event.currentTarget.value }, { step: true })}
    >
      <option value="">none</option>
      ${others.map(({ id, text }) => html`<option key=${id} value=${id}>${short(text, 60)}</option>`)}
    </select>
    ${shared && html`<p class="note">${shared[0].length} nodes are in both.</p>`}`;
}

function Legend({ graph }) {
  const entries = [
    ["feature", "circle", "feature"],
    ["error", "diamond", "error"],
    ["embedding", "square", "token"],
    ["logit", "triangle", "output"],
  ];
  return html`<ul class="legend">
    ${entries.map(([name, shape, text]) =>
      html`<li><span class=${`mark ${shape} ${name}`}></span>${text}</li>`)}
    <li><span class="stroke up"></span>raises</li>
    <li><span class="stroke down"></span>lowers</li>
    </ul>
    ${graph.turns.length > 0
      && html`<p class="note">
        Brackets below tokens say whose turn of the conversation they are; grey tokens are those of the chat
        template.
      </p>`}`;
}
