// What a result was made from: keys, settings, code and files, phase by phase, down to the weights.
import { html } from "htm/preact";
import { to } from "../address.js";
import { useRecord } from "../records.js";
import { count, hash, short } from "../text.js";
import { Waiting } from "../parts/common.js";

export function ProvenancePage({ behaviour, phase }) {
  const { value, error } = useRecord(`provenance/${behaviour}/${phase}`);
  if (!value) return html`<${Waiting} error=${error} />`;
  return html`<main class="page provenance">
    <h1>${short(value.name)}</h1>
    <p><a href=${to(["behaviour", behaviour])}>${short(behaviour)}</a></p>
    ${Object.entries(value.chain).map(
      ([name, each], i) =>
        html`<section key=${name} id=${name}>
          <h2>${short(name)}</h2>
          <dl class="tree">
            <div>
              <dt>artifact (its inputs)</dt>
              <dd><code>${each.artifact}</code></dd>
            </div>
            <div>
              <dt>content</dt>
              <dd><code>${each.content}</code></dd>
            </div>
          </dl>
          ${Object.entries(each.components).map(
            ([part, held]) =>
              html`<details open=${i === 0 && part === "upstream"}>
                <summary>${part} <span class="faint">${describe(held)}</span></summary>
                <${Tree} value=${held} />
              </details>`,
          )}
        </section>`,
    )}
  </main>`;
}

const describe = (value) =>
  value && typeof value === "object"
    ? count(Object.keys(value).length, "entry").replace("entrys", "entries")
    : hash(String(value));

function Tree({ value }) {
  if (value === null || typeof value !== "object") return html`<code>${short(value, 300)}</code>`;
  return html`<dl class="tree">
    ${Object.entries(value).map(
      ([name, each]) =>
        html`<div>
          <dt>${short(name, 120)}</dt>
          <dd><${Tree} value=${each} /></dd>
        </div>`,
    )}
  </dl>`;
}
