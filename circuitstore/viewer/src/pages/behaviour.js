// The page of a behaviour: its baseline, what each phase found, its prompts and its figures.
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { address, change, to } from "../address.js";
import { has, link, useRecord } from "../records.js";
import { count, number, percent, short, token, visible } from "../text.js";
import { Table, Waiting } from "../parts/common.js";

export function BehaviourPage({ behaviour }) {
  const { value, error } = useRecord(`behaviour/${behaviour}`);
  if (!value) return html`<${Waiting} error=${error} />`;
  const graphs = value.prompts.some(({ id, graph }) => graph && link(`graph/${behaviour}/${id}`));
  return html`<main class="page">
    <h1><bdi>${short(behaviour)}</bdi> <span class="faint">${value.profile}</span></h1>
    <p class="row">
      ${"circuit" in value.phases && link(`circuit/${behaviour}`)
        && html`<a class="button" href=${link(`circuit/${behaviour}`)}>Aggregated graph</a>`}
      ${"interpretation" in value.phases && link(`features/${behaviour}`)
        && html`<a class="button" href=${link(`features/${behaviour}`)}>Features and their labels</a>`}
    </p>
    <${Baseline} ...${{ value }} />
    <section>
      <h2>Prompts</h2>
      ${graphs && html`<p class="note">A prompt leads to its graph.</p>`}<${Prompts}
        ...${{ value, behaviour }}
      />
    </section>
    <section>
      <h2>What each phase says</h2>
      <${Phases} ...${{ value, behaviour }} />
    </section>
    ${
      value.figures.length > 0 &&
      html`<section>
        <h2>Figures</h2>
        <${Figures} ...${{ value, behaviour }} />
      </section>`
    }
  </main>`;
}

function Baseline({ value }) {
  const baseline = value.phases.baseline;
  if (!baseline) return html`<p class="note">The baseline is not built.</p>`;
  return html`<section>
    <h2>Baseline</h2>
    <dl class="facts">
      <div>
        <dt>accuracy</dt>
        <dd>${percent(baseline.accuracy)}</dd>
      </div>
      <div>
        <dt>answer most probable</dt>
        <dd>${percent(baseline.top1_accuracy)}</dd>
      </div>
      <div title="logit of the correct answer less that of the incorrect one">
        <dt>mean margin</dt>
        <dd>${number(baseline.mean_logit_difference, 2)} nats</dd>
      </div>
      <div>
        <dt>gate</dt>
        <dd class=${baseline.gate ? "problem" : ""}>${baseline.gate || "passed"}</dd>
      </div>
      ${faithfulness(value)}
    </dl>
    <${Margins} ...${{ value }} />
  </section>`;
}

function faithfulness({ phases }) {
  const graphs = phases.attribution;
  if (!graphs) return null;
  return html`<div>
      <dt>replacement</dt>
      <dd>${number(graphs.replacement_score)}</dd>
    </div>
    <div>
      <dt>completeness</dt>
      <dd>${number(graphs.completeness_score)}</dd>
    </div>`;
}

const spread = (i) => 8 + ((i * 37) % (HIGH - 16)); // so that few circles hide each other
const WIDE = 640,
  HIGH = 64;

function Margins({ value }) {
  const finite = [...value.margin].filter(Number.isFinite);
  if (!finite.length) return null;
  const [least, most] = [Math.min(...finite), Math.max(...finite)].map((margin) => number(margin, 1));
  const low = Math.min(0, ...finite),
    high = Math.max(0, ...finite),
    x = (margin) => 10 + ((WIDE - 20) * (margin - low)) / (high - low || 1);
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Margins, to scroll">
      <svg
        class="margins"
        width=${WIDE}
        height=${HIGH + 20}
        role="img"
        aria-label=${`Margins of ${finite.length} prompts, from ${least} to ${most} nats`}
      >
        <line class="axis" x1=${x(0)} x2=${x(0)} y1="0" y2=${HIGH} />
        ${value.prompts.map(({ id, text, split }, i) => Number.isFinite(value.margin[i])
          && html`<circle key=${id} class=${split} cx=${x(value.margin[i])} cy=${spread(i)} r="4">
            <title>${short(text, 80)} ${number(value.margin[i], 2)}</title>
          </circle>`)}
        ${[...new Set([low, 0, high])].map((at) =>
          html`<text x=${x(at)} y=${HIGH + 14} text-anchor=${at === high ? "end" : "start"}>
            ${number(at, 1)}
          </text>`)}
      </svg>
    </div>
    <p class="note">
      <span class="mark circle train"></span> train <span class="mark circle test"></span> test; margin in
      nats, right of 0 the answer is right
    </p>`;
}

function Prompts({ value, behaviour }) {
  const query = (address.value.params.q ?? "").toLowerCase();
  const rows = value.prompts
    .map((row, i) => ({ ...row, margin: value.margin[i] }))
    .filter(({ text, id }) => `${text} ${id}`.toLowerCase().includes(query));
  return html`<input
      type="search"
      aria-label="Find prompts"
      placeholder="find prompts"
      value=${query}
      onInput=${(event) => change({ q: event.currentTarget.value })}
    />
    <${Table}
      label="Prompts"
      head=${["prompt", "answer", "not", "split", "margin", "most probable"]}
      rows=${rows.map(
        ({ id, text, correct, incorrect, split, margin, graph, top }) =>
          html`<tr key=${id}>
            <td>
              ${graph && link(`graph/${behaviour}/${id}`)
                ? html`<a href=${link(`graph/${behaviour}/${id}`)}><bdi>${short(text, 120)}</bdi></a>`
                  : html`<bdi>${short(text, 120)}</bdi>`}
            </td>
            <td><bdi>${token(correct)}</bdi></td>
            <td><bdi>${token(incorrect)}</bdi></td>
            <td>${short(split, 20)}</td>
            <td class=${`number ${margin < 0 ? "problem" : ""}`}>${number(margin, 2)}</td>
            <td class="faint">
              ${top
                .slice(0, 3)
                .map(([word, log]) => `${token(word)} ${percent(Math.exp(log))}`)
                .join("  ")}
            </td>
          </tr>`,
      )}
    />`;
}

function Phases({ value, behaviour }) {
  return html`<ul class="phases">
    ${Object.entries(value.phases).map(
      ([phase, summary]) =>
        html`<li key=${phase}>
          <details>
            <summary>${short(phase)}</summary>
            ${has(`provenance/${behaviour}/${phase}`)
              && html`<p><a href=${to(["provenance", behaviour, phase])}>what it was made from</a></p>`}
            <${Summary} value=${summary} />
          </details>
        </li>`,
    )}
  </ul>`;
}

const Summary = ({ value }) =>
  Object.keys(value).length === 0
    ? html`<p class="note">nothing of the whole</p>`
    : html`<dl class="tree">
        ${Object.entries(value).map(
          ([name, each]) =>
            html`<div>
              <dt>${short(name, 60)}</dt>
              <dd>
                ${each && typeof each === "object" ? html`<${Summary} value=${each} />`
                  : typeof each === "number" ? (Number.isInteger(each) ? each : number(each))
                    : short(each || "–", 200)}
              </dd>
            </div>`,
        )}
      </dl>`;

function Figures({ value, behaviour }) {
  const there = value.figures.filter(({ name }) => has(`figure/${behaviour}/${name}`));
  const chosen =
    address.value.params.figure ?? there[0]?.name;
  return html`<div class="row">
      <select
        aria-label="Figure"
        value=${chosen}
        onChange=${(event) => change({ figure: event.currentTarget.value })}
      >
        ${there.map(({ name, title, section }) =>
          html`<option key=${name} value=${name}>${section}: ${short(title, 90)}</option>`)}
      </select>
      <span class="faint">${count(value.figures.length, "figure")}</span>
    </div>
    ${chosen && html`<${Figure} key=${chosen} ...${{ behaviour }} name=${chosen} />`}`;
}

function Figure({ behaviour, name }) {
  const { value, error } = useRecord(`figure/${behaviour}/${name}`);
  const [source, setSource] = useState("");
  useEffect(() => {
    if (!value?.kind) return undefined;
    const url = URL.createObjectURL(new Blob([value.picture], { type: value.kind }));
    setSource(url);
    return () => URL.revokeObjectURL(url);
  }, [value]);
  if (!value) return html`<${Waiting} error=${error} />`;
  return html`<figure>
    ${source && html`<img src=${source} alt=${short(value.title, 300)} />`}
    <figcaption>
      <b><bdi>${short(value.title, 300)}</bdi></b> <bdi>${short(value.caption, 2000)}</bdi>
      <details>
        <summary>drawn from</summary>
        <pre>${value.provenance.split("\n").map(visible).join("\n")}</pre>
      </details>
    </figcaption>
  </figure>`;
}
