// What is chosen of a graph, as it stands in the address: selection, pins, groups, filters.
import { address, change, numbers } from "../address.js";

export const DEFAULTS = { share: 0.8, edges: 0.98 };

const fraction = (text, otherwise) => {
  const value = Number.parseFloat(text);
  return value >= 0 && value <= 1 ? value : otherwise;
};

// groups: "name:1.2.3;other:4.5" with the names encoded.
const groupsOf = (text) =>
  (text ?? "")
    .split(";")
    .filter(Boolean)
    .map((part) => {
      const [name, members = ""] = part.split(":");
      return { name: decodeURIComponent(name), members: members.split(".").map(Number) };
    });

const written = (groups) =>
  groups.map(({ name, members }) => `${encodeURIComponent(name)}:${members.join(".")}`).join(";");

export function chosen(graph) {
  const { params } = address.value;
  const [share, edges] = graph.thresholds;
  const here = (original) => graph.byOriginal.get(original) ?? -1;
  const pins = numbers(params.pin)
    .map(here)
    .filter((i) => i >= 0);
  const groups = groupsOf(params.groups)
    .map(({ name, members }) => ({ name, members: members.map(here).filter((i) => i >= 0) }))
    .filter(({ members }) => members.length);
  return {
    selected: params.sel ? here(Number(params.sel)) : -1,
    pins,
    groups,
    share: fraction(params.share, share ?? DEFAULTS.share),
    edgeShare: fraction(params.edges, edges ?? DEFAULTS.edges),
    sign: ["up", "down"].includes(params.sign) ? params.sign : "both",
    least: fraction(params.min, 0),
    layers: [
      Number(params.from ?? 0) || 0,
      Math.min(Number(params.to ?? graph.n_layers - 1), graph.n_layers - 1),
    ],
    query: params.q ?? "",
    beside: params.vs ?? "",
  };
}

const originals = (graph, nodes) => nodes.map((i) => graph.original[i]).join(",");

export const select = (graph, i) => change({ sel: i >= 0 ? graph.original[i] : "" });

export function pin(graph, i) {
  const { pins, groups } = chosen(graph);
  const grouped = groups.map(({ name, members }) => ({ name, members: members.filter((m) => m !== i) }));
  const next = pins.includes(i) ? pins.filter((other) => other !== i) : [...pins, i];
  change({ pin: originals(graph, next), ...(pins.includes(i) ? keep(graph, grouped) : {}) }, { step: true });
}

const keep = (graph, groups) => ({
  groups: written(
    groups
      .filter(({ members }) => members.length)
      .map(({ name, members }) => ({ name, members: members.map((i) => graph.original[i]) })),
  ),
});

// Put pinned nodes into a group of this name; a node is in one group at most.
export function group(graph, nodes, name) {
  const others = chosen(graph).groups.map(({ name: other, members }) => ({
    name: other,
    members: members.filter((i) => !nodes.includes(i)),
  }));
  const same = others.find((other) => other.name === name);
  if (same) same.members.push(...nodes);
  else others.push({ name, members: nodes });
  change(keep(graph, others), { step: true });
}

export function ungroup(graph, name) {
  change(
    keep(
      graph,
      chosen(graph).groups.filter((each) => each.name !== name),
    ),
    { step: true },
  );
}

export const unpinAll = () => change({ pin: "", groups: "" }, { step: true });

// Which edges are shown, after pruning, by layer, sign and share of what enters their target: (edge,) mask.
export function filtered(graph, edges, { sign, least, layers }) {
  const inside = (i) => graph.kind[i] > 1 || (graph.layer[i] >= layers[0] && graph.layer[i] <= layers[1]);
  const nodeInside = Uint8Array.from(graph.kind, (_, i) => (inside(i) ? 1 : 0));
  return edges.map((kept, e) => {
    if (!kept || !nodeInside[graph.source[e]] || !nodeInside[graph.target[e]]) return 0;
    const weight = graph.weight[e];
    if ((sign === "up" && weight < 0) || (sign === "down" && weight > 0)) return 0;
    return Math.abs(weight) >= least * graph.total[graph.target[e]] ? 1 : 0;
  });
}

// Features whose label, layer or number answers a query; all words must occur.
export function found(graph, nodes, query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  const result = [];
  for (let i = 0; i < graph.size; i++) {
    const text = `${graph.name(i)} ${graph.label(i)} ${graph.tokens[graph.position[i]]}`.toLowerCase();
    if (nodes[i] && words.every((word) => text.includes(word))) result.push(i);
  }
  return result.sort((a, b) => graph.influence[b] - graph.influence[a]);
}
