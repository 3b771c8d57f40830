// The page of a store: phases × behaviours, each with its state and the reason for it.
import { html } from "htm/preact";
import { to } from "../address.js";
import { served, useRecord } from "../records.js";
import { count, hash, short, token } from "../text.js";
import { Table, Waiting } from "../parts/common.js";

const when = (seconds) => new Date(1000 * seconds).toISOString().slice(0, 16).replace("T", " ");

export function StorePage() {
  const { value, error } = useRecord("store");
  if (!value) return html`<${Waiting} error=${error} />`;
  const { behaviours, phases, rows, profile } = value;
  const of = (behaviour) => rows.filter((row) => row.behaviour === behaviour);
  return html`<main class="page">
    <h1>Store <span class="faint">profile ${profile}</span></h1>
    <p class="note">
      ${count(rows.length, "result")} of ${count(behaviours.length, "behaviour")}. Times are UTC.
    </p>
    <${Table}
      label="Results by phase and behaviour"
      head=${["behaviour", ...phases]}
      rows=${behaviours.map((behaviour) =>
        html`<${Row} key=${behaviour} ...${{ behaviour, phases }} rows=${of(behaviour)} />`)}
    />
    <${Texts} list=${value.texts} />
    <${Reasons} behaviours=${behaviours} />
  </main>`;
}

function Texts({ list }) {
  if (!list.length) return null;
  return html`<section>
    <h2>Single texts</h2>
    <ul>
      ${list.map(({ name, text, target, against, time }) =>
        html`<li key=${name}>
          <a href=${to(["text", name])}><bdi>${short(text, 120)}</bdi></a>
          ${target && ` → ${token(target)}`}
          ${against && html` <span class="faint">not ${token(against)}</span>`}
          ${" "}<span class="faint">${when(time)}</span>
        </li>`)}
    </ul>
  </section>`;
}

function Row({ behaviour, phases, rows }) {
  const status = useRecord(served && `status/${behaviour}`);
  const states = new Map((status.value?.phases ?? []).map((row) => [row.phase, row]));
  return html`<tr>
    <th scope="row">
      <a href=${to(["behaviour", behaviour])}><bdi>${short(behaviour, 60)}</bdi></a>
    </th>
    ${phases.map((phase) => {
      const row = rows.find((each) => each.phase === phase),
        state = states.get(phase);
      const word = state?.state ?? (row ? "built" : "missing");
      return html`<td class=${`state ${word}`} title=${(state?.why ?? []).join("\n") || undefined}>
        ${row ? html`<a href=${to(["provenance", behaviour, phase])}>${word}</a>` : word}
        ${row && html`<br /><span class="faint">${hash(row.content)}<br />${when(row.time)}</span>`}
      </td>`;
    })}
  </tr>`;
}

function Reasons({ behaviours }) {
  if (!served) return null;
  return html`<section>
    <h2>Why</h2>
    ${behaviours.map((behaviour) => html`<${Reason} key=${behaviour} behaviour=${behaviour} />`)}
  </section>`;
}

function Reason({ behaviour }) {
  const { value, error } = useRecord(`status/${behaviour}`);
  if (!value) return html`<${Waiting} error=${error} />`;
  const stale = value.phases.filter(({ state }) => state !== "fresh");
  return html`<h3><bdi>${short(behaviour, 60)}</bdi></h3>
    ${
      value.unknown
        ? html`<p class="note">State not known: ${short(value.unknown, 500)}</p>`
        : !stale.length
          ? html`<p class="note">Everything is fresh.</p>`
          : html`<ul>
              ${stale.map(({ phase, state, why, todo }) =>
                html`<li>
                  ${short(phase)}: ${state},
                  ${" "}${todo ? `${count(todo, "cell")} to compute` : "cells not known yet"}
                  ${why.map((text) => html`<br /><span class="faint">${short(text, 500)}</span>`)}
                </li>`)}
            </ul>`
    }`;
}
