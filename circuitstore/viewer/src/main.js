// The explorer: which page the address asks for, and what stands above every page.
import { render } from "preact";
import { html } from "htm/preact";
import "@preact/signals";
import { address, to } from "./address.js";
import { has } from "./records.js";
import { short } from "./text.js";
import { dark, toggle } from "./theme.js";
import { BehaviourPage } from "./pages/behaviour.js";
import { FeaturePage } from "./pages/feature.js";
import { GraphPage } from "./pages/graph.js";
import { ProvenancePage } from "./pages/provenance.js";
import { ReviewPage } from "./pages/review.js";
import { StorePage } from "./pages/store.js";

const PAGES = {
  graph: ([behaviour, prompt]) => html`<${GraphPage} ...${{ behaviour, prompt }} />`,
  text: ([name]) => html`<${GraphPage} text=${name} />`,
  circuit: ([behaviour]) => html`<${GraphPage} behaviour=${behaviour} />`,
  feature: ([behaviour, layer, feature]) => html`<${FeaturePage} ...${{ behaviour, layer, feature }} />`,
  features: ([behaviour]) => html`<${ReviewPage} behaviour=${behaviour} />`,
  behaviour: ([behaviour]) => html`<${BehaviourPage} behaviour=${behaviour} />`,
  provenance: ([behaviour, phase]) => html`<${ProvenancePage} ...${{ behaviour, phase }} />`,
};

function App() {
  const [kind, ...names] = address.value.parts;
  const page = PAGES[kind]?.(names) ?? html`<${StorePage} />`;
  const behaviour = kind !== "text" && names[0];
  return html`<header>
      <nav aria-label="Where this is">
        ${has("store") ? html`<a href=${to([])}>circuitstore</a>` : html`<b>circuitstore</b>`}
        ${
          behaviour &&
          html`<span aria-hidden="true">/</span
            >${has(`behaviour/${behaviour}`)
              ? html`<a href=${to(["behaviour", behaviour])}><bdi>${short(behaviour, 40)}</bdi></a>`
                : html`<bdi>${short(behaviour, 40)}</bdi>`}
            <span aria-hidden="true">/</span><bdi>${short([kind, ...names.slice(1)].join(" "), 60)}</bdi>`
        }
      </nav>
      <button class="small" aria-pressed=${dark.value} onClick=${toggle}>Dark</button>
    </header>
    ${page}`;
}

render(html`<${App} />`, document.getElementById("app"));
