// Whose turn of a conversation the tokens of a graph are: brackets below them, in pixels of the picture.
import { visible } from "../text.js";

export const HEIGHT = 22; // of the brackets and their roles

// One run for each turn: its role and its columns, `from` (the first) up to `till` (behind the last).
export function runs(turns) {
  const found = [];
  turns.forEach((role, c) => {
    if (!role) return;
    if (c && turns[c - 1] === role) found.at(-1).till = c + 1;
    else found.push({ role, from: c, till: c + 1 });
  });
  return found;
}

// The part of each turn that is in sight: its role, where its bracket begins, ends and stands, and the room
// for the role, which goes half the way to the next bracket.
export function brackets(graph, { left, width, height }, view, margin) {
  const x = (c) => left[c] * view.k + view.x;
  const found = runs(graph.turns)
    .map(({ role, from, till }) => ({
      role: visible(role),
      from: Math.max(x(from) + 3, margin),
      till: Math.min(x(till) - 3, width - 2),
      y: height - HEIGHT + 1,
    }))
    .filter(({ from, till }) => till > from);
  return found.map((each, k) => {
    const before = k ? found[k - 1].till : 2 * margin - each.from,
      after = k + 1 < found.length ? found[k + 1].from : 2 * width - each.till;
    return { ...each, room: each.till - each.from + Math.min(each.from - before, after - each.till) };
  });
}
