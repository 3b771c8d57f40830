// The page of a feature: where it is active, what it goes with, what it promotes, and what editing it does.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { link, useRecord } from "../records.js";
import { count, number, percent, short, token } from "../text.js";
import { Bar, Table, Tokens, Waiting } from "../parts/common.js";
import { Activations } from "../parts/activations.js";
import { Interventions } from "../parts/interventions.js";

const IN_PANEL = 4;

export function FeaturePage({ behaviour, layer, feature }) {
  const known = useRecord(`feature/${behaviour}/${layer}/${feature}`);
  const about = useRecord(`behaviour/${behaviour}`);
  if (!known.value || !about.value) return html`<${Waiting} error=${known.error ?? about.error} />`;
  return html`<${Page} key=${`${layer}/${feature}`} feature=${known.value} behaviour=${about.value} />`;
}

const label = (feature) => feature.reviewer_label || feature.label || "";

function Page({ feature, behaviour }) {
  const { graphs, twin } = feature;
  return html`<main class="page feature">
    <h1>Feature L${feature.layer} #${feature.feature}</h1>
    <${Label} feature=${feature} />
    <dl class="facts">
      ${
        feature.active_prompts != null &&
        html`<div>
            <dt>active in</dt>
            <dd>${feature.active_prompts} of ${count(behaviour.prompts.length, "prompt")}</dd>
          </div>
          <div title="over the prompts in which it is active">
            <dt>mean activation</dt>
            <dd>${number(feature.mean_activation)}</dd>
          </div>
          <div>
            <dt>largest</dt>
            <dd>${number(feature.max_activation)}</dd>
          </div>
          <div>
            <dt>confidence of label</dt>
            <dd>${number(feature.confidence, 2)}</dd>
          </div>`
      }
      ${
        twin &&
        (twin[0] !== feature.layer || twin[1] !== feature.feature) &&
        html`<div title="it reads and writes the same directions">
          <dt>same as</dt>
          <dd>L${twin[0]} #${twin[1]}</dd>
        </div>`
      }
    </dl>
    <div class="columns">
      <section>
        <h2>Top prompts</h2>
        <${Top} ...${{ feature, behaviour }} />
      </section>
      <section>
        <h2>Goes with</h2>
        <${Associations} list=${feature.associations ?? []} />
      </section>
      <section>
        <h2>Promotes</h2>
        <${Moved} list=${feature.promoted ?? []} />
      </section>
      <section>
        <h2>Suppresses</h2>
        <${Moved} list=${feature.suppressed ?? []} />
      </section>
    </div>
    <section>
      <h2>Interventions on it</h2>
      <${Interventions} list=${feature.interventions} behaviour=${behaviour} />
    </section>
    <section>
      <h2>Activations over prompts and positions</h2>
      <${Activations} ...${{ feature, behaviour }} />
    </section>
    ${
      graphs &&
      html`<section>
        <h2>Graphs it is in</h2>
        <${Graphs} ...${{ graphs, behaviour }} />
      </section>`
    }
  </main>`;
}

// The parts that fit beside a graph.
export function FeatureSummary({ feature, behaviour }) {
  return html`<div class="summary">
    ${feature.reviewer && html`<${Label} feature=${feature} />`}
    <h3>Top prompts</h3>
    <${Top} ...${{ feature, behaviour }} most=${IN_PANEL} />
    <h3>Promotes</h3>
    <p>${(feature.promoted ?? []).map(([text]) => html`<bdi class="chip">${token(text)}</bdi> `)}</p>
    <h3>Suppresses</h3>
    <p>${(feature.suppressed ?? []).map(([text]) => html`<bdi class="chip">${token(text)}</bdi> `)}</p>
    ${
      feature.interventions.length > 0 &&
      html`<h3>Zeroed, beside random features</h3>
        <${Interventions} list=${feature.interventions.slice(0, IN_PANEL)} behaviour=${behaviour} small />`
    }
  </div>`;
}

export function Label({ feature }) {
  return html`<p class="label">
    ${label(feature) ? html`<bdi>${short(label(feature), 500)}</bdi>`
      : html`<span class="faint">no label</span>`}
    ${feature.reviewer
      && html` <span class="faint"
        >by <bdi>${short(feature.reviewer, 60)}</bdi>; automatic: <bdi>${short(feature.label, 90)}</bdi></span
      >`}
    ${feature.reviewer_note && html`<br /><bdi class="faint">${short(feature.reviewer_note, 500)}</bdi>`}
  </p>`;
}

function Top({ feature, behaviour, most = 20 }) {
  const { prompt, position, value } = feature.activations ?? { prompt: [], position: [], value: [] };
  const largest = Math.max(feature.max_activation ?? 0, ...value, 1e-9);
  const rows = (feature.top ?? []).slice(0, most).map(([place, at, activation]) => {
    const values = new Map([[at, activation]]);
    for (let k = 0; k < prompt.length; k++) if (prompt[k] === place) values.set(position[k], value[k]);
    const { tokens, id } = behaviour.prompts[place];
    const shown = html`<${Tokens} tokens=${tokens} values=${values} most=${largest} />`;
    const key = `graph/${behaviour.behaviour}/${id}`;
    return html`<li key=${place}>
      <span class="number">${number(activation, 2)}</span>
      ${link(key) && behaviour.prompts[place].graph ? html`<a href=${link(key)}>${shown}</a>` : shown}
    </li>`;
  });
  return html`<ul class="top">
    ${rows}
  </ul>`;
}

function Associations({ list }) {
  if (!list.length) return html`<p class="note">Active in too few prompts to test.</p>`;
  return html`<${Table}
    label="What the feature goes with"
    head=${["category", "effect", "as a bar", "q", "size"]}
    rows=${list.map(
      ({ category, effect, q, size, level }) =>
        html`<tr class=${q <= 0.05 ? "" : "weak"}>
          <td title=${level}><bdi>${short(category, 80)}</bdi></td>
          <td class="number">${number(effect, 2)}</td>
          <td><${Bar} value=${effect} /></td>
          <td class="number">${number(q)}</td>
          <td class="number">${size}</td>
        </tr>`,
    )}
  />`;
}

const Moved = ({ list }) =>
  html`<${Table}
    label="Tokens"
    head=${["token", "logit"]}
    rows=${list.map(
      ([text, value]) =>
        html`<tr>
          <td><bdi>${token(text)}</bdi></td>
          <td class="number">${number(value, 2)}</td>
        </tr>`,
    )}
  />`;

function Graphs({ graphs, behaviour }) {
  const [all, setAll] = useState(false);
  const places = new Map(); // prompt → whether pruning keeps it there
  graphs.prompt.forEach((place, k) => places.set(place, places.get(place) || Boolean(graphs.kept[k])));
  const list = [...places].sort((a, b) => b[1] - a[1]);
  const kept = list.filter(([, keeps]) => keeps).length;
  return html`<p>
      ${count(list.length, "graph")}; pruning keeps it in ${kept} (${percent(kept / list.length)}).
      ${list.length > 12
        && html` <button class="small" onClick=${() => setAll(!all)}>${all ? "fewer" : "all"}</button>`}
    </p>
    <ul class="graphs">
      ${list.slice(0, all ? list.length : 12).map(([place, keeps]) => {
        const { id, text } = behaviour.prompts[place];
        const key = `graph/${behaviour.behaviour}/${id}`;
        const words = html`<bdi>${short(text, 80)}</bdi>`;
        return html`<li key=${id} class=${keeps ? "" : "weak"}>
          ${link(key) ? html`<a href=${link(key)}>${words}</a>` : words}${!keeps
            && html` <span class="faint">pruned</span>`}
        </li>`;
      })}
    </ul>`;
}
