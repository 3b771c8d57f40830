// What the page shows: records by key, from the page itself or from the server that it came from.
//
// The form of a record is that of circuitstore/viewer/bundle.py.
import { useEffect, useState } from "preact/hooks";

const page = JSON.parse(document.getElementById("records").textContent);
const token = new URLSearchParams(location.search).get("token") ?? "";
const kept = new Map(); // key → promise of a record

export const { served, start } = page;
export const held = Object.keys(page.records);
const files = page.files ?? {};
export const has = (key) => served || key in page.records;

const TYPES = {
  i1: Int8Array,
  u1: Uint8Array,
  i2: Int16Array,
  u2: Uint16Array,
  i4: Int32Array,
  u4: Uint32Array,
  f4: Float32Array,
  f8: Float64Array,
};

export async function unpack(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(stream).arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const first = 4 + length;
  return JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)), (_, value) =>
    value && value.$ in TYPES ? new TYPES[value.$](buffer, first + value.at, value.n) : value,
  );
}

const decoded = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

export async function ask(path, options = {}) {
  const headers = { ...options.headers, Authorization: `Bearer ${token}` };
  const answer = await fetch(path, { ...options, headers, cache: "no-store" });
  if (answer.ok || answer.status === 409) return answer;
  throw new Error((await answer.text()) || `the server answered ${answer.status}`);
}

async function load(key) {
  if (key in page.records) return unpack(decoded(page.records[key]));
  if (!served) throw new Error(`This file does not hold ${key}.`);
  const path = key.split("/").map(encodeURIComponent).join("/");
  return unpack(await (await ask(`api/record/${path}`)).arrayBuffer());
}

export function record(key) {
  if (!kept.has(key)) {
    const promise = load(key);
    kept.set(key, promise);
    promise.catch(() => kept.delete(key));
  }
  return kept.get(key);
}

export const forget = (key) => kept.delete(key);

// Where a record is shown: in this page, or in a file beside it; "" if nowhere. Its address is its key.
export function link(key) {
  const hash = `#/${key.split("/").map(encodeURIComponent).join("/")}`;
  if (has(key)) return hash;
  return files[key] ? encodeURIComponent(files[key]) + hash : "";
}

// { value, error } of a record; both are missing while it is on its way. No key, no record.
export function useRecord(key, version = 0) {
  const [state, set] = useState({});
  useEffect(() => {
    let current = true;
    if (!key) return set({});
    set((before) => (before.key === key ? before : {}));
    record(key).then(
      (value) => current && set({ key, value }),
      (error) => current && set({ key, error: error.message }),
    );
    return () => (current = false);
  }, [key, version]);
  return key && state.key === key ? state : {};
}
