// A button that copies a text, and shows it for pages that may not write to the clipboard.
import { html } from "htm/preact";
import { useState } from "preact/hooks";

export function Copy({ button, title, label, made }) {
  const [text, setText] = useState("");
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    const call = made();
    setText(call);
    setCopied(await navigator.clipboard?.writeText(call).then(() => true, () => false));
  };
  return html`<button title=${title} onClick=${copy}>${button}</button>
    <span role="status">${copied && "copied"}</span>
    ${text && html`<textarea readonly aria-label=${label} rows="4" cols="60" value=${text}></textarea>`}`;
}
