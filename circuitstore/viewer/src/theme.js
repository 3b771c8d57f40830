// Dark or light: what the system asks for, until somebody chooses.
import { effect, signal } from "@preact/signals";

const KEY = "circuitstore.theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const kept = remembered(KEY);

export const dark = signal(kept ? kept === "dark" : system.matches);
let asked = Boolean(kept);
system.addEventListener("change", () => asked || (dark.value = system.matches));
effect(() => (document.documentElement.dataset.theme = dark.value ? "dark" : "light"));

export function toggle() {
  asked = true;
  dark.value = !dark.value;
  remember(KEY, dark.value ? "dark" : "light");
}

// A browser may refuse to remember anything, for a file for instance. Then nothing is remembered.
export function remembered(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export function remember(key, text) {
  try {
    if (text) localStorage.setItem(key, text);
    else localStorage.removeItem(key);
    return true;
  } catch {
    return false;
  }
}
