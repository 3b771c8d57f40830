// Through which heads an edge goes: how to ask, and the answer where the store has one.
import { html } from "htm/preact";
import { Copy } from "../parts/copy.js";
import { number, token } from "../text.js";
import * as calls from "./calls.js";

const MOST = 8; // heads of an edge, and pairs of a score

export function Heads({ graph, e }) {
  const name = calls.edgeName(graph, e);
  const known = graph.heads.find(({ edge }) => edge === name);
  const command = calls.headsCommand(graph, e);
  return html`<div class="heads">
    ${known
      ? html`<${Known} ...${{ graph, e, known }} />`
      : html`<p class="note">The store does not say through which heads this edge goes. Ask:</p>`}
    <p class="row">
      <${Copy}
        button="Heads as Python"
        title="A call that splits this edge over heads"
        label="Python of heads"
        made=${() => calls.heads(graph, e)}
      />
      ${command
        && html`<${Copy}
          button="Heads as command"
          title="A command that splits this edge over heads"
          label="Command of heads"
          made=${() => command}
        />`}
    </p>
  </div>`;
}

function Known({ graph, e, known }) {
  const first = known.loading[0];
  return html`<table aria-label="Heads of the edge">
      <thead>
        <tr>
          <th scope="col">last head</th>
          <th scope="col">loading</th>
        </tr>
      </thead>
      <tbody>
        ${known.loading.slice(0, MOST).map(({ layer, head, value }) =>
          html`<tr key=${`${layer}/${head}`}>
            <td>L${layer} head ${head}</td>
            <td class="number">${number(value)}</td>
          </tr>`)}
        <tr>
          <td>none</td>
          <td class="number">${number(known.direct)}</td>
        </tr>
      </tbody>
    </table>
    <p class="note">
      All ${known.count} heads and the paths through none sum to the edge, ${number(known.weight)}.
    </p>
    ${graph.looks
      .filter(({ layer, head }) =>
        known.loading.slice(0, MOST).some((row) => row.layer === layer && row.head === head))
      .map((look) => html`<${Look} ...${{ graph, look }} />`)}
    ${first
      && html`<p class="row">
        <${Copy}
          button=${`Why L${first.layer} head ${first.head} looks there`}
          title="A call that explains the score of this head"
          label="Python of attention"
          made=${() => calls.attention(graph, e, first)}
        />
      </p>`}`;
}

const Look = ({ graph, look: { layer, head, query, key, score, weight, pairs } }) => html`<p>
    L${layer} head ${head} looks from ${token(graph.tokens[query])} to ${token(graph.tokens[key])}: score
    ${" "}${number(score)} nats, attention ${number(weight)}.
  </p>
  <ul class="pairs">
    ${pairs.slice(0, MOST).map(([share, from, to]) =>
      html`<li>
        <span class="number">${number(share)}</span> ${source(graph, from)} with ${source(graph, to)}
      </li>`)}
  </ul>`;

// A source of a query or of a key, in words.
function source(graph, [kind, layer, position, feature]) {
  if (kind === "bias") return kind;
  const name = { feature: `L${layer} #${feature}`, error: `error L${layer}` }[kind] ?? "token";
  return `${name} at ${token(graph.tokens[position])}`;
}
