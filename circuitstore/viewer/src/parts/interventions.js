// What editing a feature alone does to the margin, beside matched random features that were zeroed.
import { html } from "htm/preact";
import { number, short, token } from "../text.js";

const WIDTH = 240,
  HEIGHT = 20;

export function Interventions({ list, behaviour, small = false }) {
  if (!list.length) return html`<p class="note">It was edited alone in no prompt.</p>`;
  const all = list
    .flatMap(({ base, edited, control }) => [base, ...edited, ...control])
    .filter(Number.isFinite);
  const low = Math.min(...all),
    high = Math.max(...all),
    x = (value) => 6 + ((WIDTH - 12) * (value - low)) / (high - low || 1);
  const { kinds } = list[0];
  return html`${!small
    && html`<${Legend} ...${{ low, high }} />`}
    <div class="scroll" tabindex="0" role="group" aria-label="Interventions, to scroll">
      <table aria-label="Interventions on this feature">
        <thead>
          <tr>
            <th scope="col">prompt</th>
            <th scope="col">margin</th>
            ${
              !small &&
              html`<th scope="col">as it is</th>
                ${kinds.map((kind) => html`<th scope="col">${short(kind, 40)}</th>`)}
                <th scope="col">controls</th>`
            }
          </tr>
        </thead>
        <tbody>
          ${list.map(({ prompt, position, base, edited, control }) => {
            const row = behaviour.prompts[prompt],
              drawn = [...control].filter(Number.isFinite);
            const mean = drawn.reduce((sum, value) => sum + value, 0) / drawn.length;
            const zeroed = `${number(edited[0], 2)} with the feature zeroed`;
            const random = `${number(mean, 2)} with random ones zeroed`;
            const words = `${number(base, 2)} as it is, ${zeroed}, ${random}`;
            return html`<tr key=${`${prompt}/${position}`}>
              <td>
                <bdi title=${row.text}>${short(row.text, small ? 26 : 60)}</bdi
                >${!small && html` <span class="faint">at ${token(row.tokens[position])}</span>`}
              </td>
              <td>
                <svg width=${WIDTH} height=${HEIGHT} role="img" aria-label=${words}>
                  <title>${words}</title>
                  ${low < 0 && high > 0
                    && html`<line class="axis" x1=${x(0)} x2=${x(0)} y1="0" y2=${HEIGHT} />`}
                  <line class="axis" x1="6" x2=${WIDTH - 6} y1=${HEIGHT / 2} y2=${HEIGHT / 2} />
                  ${drawn.map((value) =>
                    html`<line class="control" x1=${x(value)} x2=${x(value)} y1="4" y2=${HEIGHT - 4} />`)}
                  <rect class="base" x=${x(base) - 3.5} y=${HEIGHT / 2 - 3.5} width="7" height="7" />
                  ${Number.isFinite(edited[0])
                    && html`<circle class="edited" cx=${x(edited[0])} cy=${HEIGHT / 2} r="4.5" />`}
                </svg>
              </td>
              ${
                !small &&
                html`<td class="number">${number(base, 2)}</td>
                  ${kinds.map((_, k) => html`<td class="number">${number(edited[k], 2)}</td>`)}
                  <td class="number">${number(mean, 2)}</td>`
              }
            </tr>`;
          })}
        </tbody>
      </table>
    </div>`;
}

const Legend = ({ low, high }) => html`<p class="note">
  Margin in nats: <span class="mark square ink"></span> as it is,
  ${" "}<span class="mark circle feature"></span> feature zeroed,
  ${" "}<span class="mark bars"></span> matched random features zeroed. Attention is free to change. The axis
  runs from ${number(low, 1)} to ${number(high, 1)}.
</p>`;
