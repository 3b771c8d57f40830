// Small parts that several pages have.
import { html } from "htm/preact";
import { token, visible } from "../text.js";

export function Waiting({ error }) {
  return error
    ? html`<p class="problem" role="alert">${visible(error)}</p>`
    : html`<p class="note waiting" role="status">Reading …</p>`;
}

// A prompt's tokens, each as dark as its activation; `values` by position, `most` the darkest.
export function Tokens({ tokens, values, most }) {
  return html`<span class="tokens"
    >${tokens.map((text, i) => {
      const value = values.get(i - tokens.length) ?? 0;
      const level = value > 0 ? Math.max(1, Math.round((9 * value) / most)) : 0;
      return html`<span
        class=${`token heat${level}`}
        title=${value ? `activation ${value.toFixed(3)}` : undefined}
        ><bdi>${token(text)}</bdi></span
      >`;
    })}</span
  >`;
}

export const Table = ({ head, rows, label }) =>
  html`<div class="scroll" tabindex="0" role="group" aria-label=${label}>
    <table aria-label=${label}>
      <thead>
        <tr>
          ${head.map((text) => html`<th scope="col">${text}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
  </div>`;

// A bar from 0 to the right or to the left, for a value from -1 to 1.
export const Bar = ({ value }) =>
  html`<svg class="bar" width="90" height="10" aria-hidden="true">
    <line x1="45" y1="0" x2="45" y2="10" class="axis" />
    <rect
      class=${value < 0 ? "down" : "up"}
      x=${value < 0 ? 45 + 44 * Math.max(value, -1) : 45}
      y="1"
      width=${44 * Math.min(Math.abs(value), 1)}
      height="8"
    />
  </svg>`;
