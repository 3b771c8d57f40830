// The address of the page keeps what is shown: "#/graph/plural/ID?sel=12&pin=3,4" after the file's own.
import { signal } from "@preact/signals";
import { start } from "./records.js";

const parse = (hash) => {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map(decode);
  return { parts, params: Object.fromEntries(new URLSearchParams(query)) };
};

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const address = signal(parse(location.hash || start));
addEventListener("hashchange", () => (address.value = parse(location.hash || start)));

export function to(parts, params = {}) {
  const given = Object.entries(params).filter(([, value]) => value !== "" && value != null);
  const query = new URLSearchParams(given).toString().replaceAll("%2C", ",");
  return `#/${parts.map(encodeURIComponent).join("/")}${query ? `?${query}` : ""}`;
}

// Change some parameters; without `step` no step back is added to the browser's history.
export function change(params, { step = false } = {}) {
  const { parts, params: before } = address.value;
  go(to(parts, { ...before, ...params }), step ? "pushState" : "replaceState");
}

// Inside a frame without an address of its own, a notebook's cell for one, the page only remembers.
function go(hash, how) {
  try {
    history[how](null, "", hash);
  } catch {
    // what is shown changes all the same
  }
  address.value = parse(hash);
}

addEventListener("click", (event) => {
  const href = event.target.closest?.("a")?.getAttribute("href");
  const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey; // in another window
  if (!href?.startsWith("#/") || event.defaultPrevented || elsewhere) return;
  event.preventDefault();
  go(href, "pushState");
  scrollTo(0, 0);
});
addEventListener("popstate", () => (address.value = parse(location.hash || start)));

export const numbers = (text) => (text ?? "").split(",").filter(Boolean).map(Number).filter(Number.isInteger);
