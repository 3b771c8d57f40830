// Activations of a feature as a picture: a row a prompt, a column a position counted from the end.
import { html } from "htm/preact";
import { number, short, token } from "../text.js";

const SIDE = 14,
  MOST = 200;

export function Activations({ feature, behaviour }) {
  const { prompt, position, value } = feature.activations ?? {};
  if (!prompt?.length) return html`<p class="note">None is stored.</p>`;
  const rows = new Map(); // prompt → [[position, value], …]
  let earliest = -1,
    most = 0;
  for (let k = 0; k < prompt.length; k++) {
    rows.has(prompt[k])
      ? rows.get(prompt[k]).push([position[k], value[k]])
      : rows.set(prompt[k], [[position[k], value[k]]]);
    earliest = Math.min(earliest, position[k]);
    most = Math.max(most, value[k]);
  }
  const list = [...rows]
    .sort((a, b) => Math.max(...b[1].map(([, v]) => v)) - Math.max(...a[1].map(([, v]) => v)))
    .slice(0, MOST);
  const columns = -earliest,
    height = list.length * SIDE;
  const label = `${rows.size} prompts; the largest activation is ${number(most)}`;
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Activations, to scroll">
    <svg class="heat" role="img" aria-label=${label} width=${columns * 3 * SIDE + 420} height=${height + 24}>
      ${Array.from({ length: columns }, (_, c) =>
        html`<text x=${(c + 0.5) * 3 * SIDE} y="14" text-anchor="middle" class="faint">
          ${c - columns}
        </text>`)}
      ${list.map(([place, entries], r) => {
        const { tokens, text } = behaviour.prompts[place];
        return html`<g key=${place} transform=${`translate(0,${20 + r * SIDE})`}>
          ${entries.map(
            ([at, activation]) =>
              html`<rect
                class=${`heat${Math.max(1, Math.round((9 * activation) / most))}`}
                x=${(at + columns) * 3 * SIDE}
                width=${3 * SIDE - 1}
                height=${SIDE - 1}
              >
                <title>${token(tokens[tokens.length + at])} ${number(activation)}</title></rect
              >`,
          )}
          <text x=${columns * 3 * SIDE + 8} y=${SIDE - 4}>${short(text, 70)}</text></g
        >`;
      })}
    </svg>
  </div>`;
}
