// Pruning and scores, as circuitstore/circuits/pruning.py has them, of the part of a graph that is here.
//
// Source: Circuit Tracing: Attribution Graphs (Anthropic, 2025), appendix "Graph pruning".
import { EMBEDDING, ERROR, FEATURE, LOGIT } from "./model.js";

// { nodes, edges } as masks, and how many of each.
export function prune(graph, nodeShare, edgeShare) {
  const nodes = keptNodes(graph, nodeShare);
  const among = new Uint8Array(graph.edgeCount);
  const rowSum = new Float64Array(graph.size);
  for (let e = 0; e < graph.edgeCount; e++) {
    if (nodes[graph.source[e]] && nodes[graph.target[e]]) {
      among[e] = 1;
      rowSum[graph.target[e]] += Math.abs(graph.weight[e]);
    }
  }
  const given = flow(graph, nodes, among, rowSum);
  const share = new Float64Array(graph.edgeCount);
  for (let e = 0; e < graph.edgeCount; e++) {
    const t = graph.target[e];
    if (among[e] && rowSum[t] > 0) share[e] = (Math.abs(graph.weight[e]) / rowSum[t]) * given[t];
  }
  const least = threshold(
    share.filter((value) => value > 0),
    edgeShare,
  );
  const edges = share.map((value) => value > 0 && value >= least);
  const masks = { nodes, edges: Uint8Array.from(edges) };
  dropLoose(graph, masks);
  return masks;
}

// The largest value such that it and those above it hold this share of the sum.
function threshold(values, share) {
  const total = values.reduce((sum, value) => sum + value, 0);
  const descending = Float64Array.from(values).sort().reverse();
  let running = 0;
  for (const value of descending) if ((running += value) / total >= share) return value;
  return descending.length ? descending[descending.length - 1] : 0;
}

// A node is kept while those of more influence hold less than the share. With 1, all are.
function keptNodes(graph, share) {
  const before = (i) => graph.cumulative[i] - graph.influence[i] / (graph.influence_total || 1);
  const ends = (i) => graph.kind[i] === EMBEDDING || graph.kind[i] === LOGIT;
  return Uint8Array.from(graph.kind, (_, i) => (share >= 1 || ends(i) || before(i) < share ? 1 : 0));
}

// Influence and weight of each kept node along these edges, whose rows are divided by `total`.
function flow(graph, nodes, among, total) {
  const given = Float64Array.from(graph.logitWeight, (weight, i) => (nodes[i] ? weight : 0));
  for (const i of graph.order) {
    if (!nodes[i] || !given[i] || !total[i]) continue;
    const part = given[i] / total[i];
    for (const e of graph.inputs.of(i)) {
      if (among[e]) given[graph.source[e]] += part * Math.abs(graph.weight[e]);
    }
  }
  return given;
}

// Take away features and errors without an edge out, and features without one in, until none is left.
function dropLoose(graph, { nodes, edges }) {
  const ins = new Uint32Array(graph.size),
    outs = new Uint32Array(graph.size);
  for (let e = 0; e < graph.edgeCount; e++) if (edges[e]) (ins[graph.target[e]]++, outs[graph.source[e]]++);
  const loose = (i) =>
    nodes[i] && graph.kind[i] <= ERROR && (!outs[i] || (graph.kind[i] === FEATURE && !ins[i]));
  const waiting = graph.order.filter(loose);
  const cut = (e, counts, end) => {
    if (!edges[e]) return;
    edges[e] = 0;
    counts[end]--;
    waiting.push(end);
  };
  while (waiting.length) {
    const i = waiting.pop();
    if (!loose(i)) continue;
    nodes[i] = 0;
    for (const e of graph.inputs.of(i)) cut(e, outs, graph.source[e]);
    for (const e of graph.outputs.of(i)) cut(e, ins, graph.target[e]);
  }
}

// Replacement and completeness score when what is not shown counts as error, both from 0 to 1.
export function scores(graph, { nodes, edges }) {
  const given = flow(graph, nodes, edges, graph.total);
  let fromTokens = 0,
    fromErrors = 0,
    hidden = 0,
    explained = 0,
    all = 0;
  for (let i = 0; i < graph.size; i++) {
    if (!nodes[i] || !given[i]) continue;
    if (graph.kind[i] === EMBEDDING) fromTokens += given[i];
    if (graph.kind[i] === ERROR) fromErrors += given[i];
    all += given[i];
    if (!graph.total[i]) {
      explained += given[i];
      continue;
    }
    let known = 0,
      shown = 0;
    for (const e of graph.inputs.of(i)) {
      if (!edges[e]) continue;
      const size = Math.abs(graph.weight[e]);
      shown += size;
      if (graph.kind[graph.source[e]] !== ERROR) known += size;
    }
    explained += (given[i] * known) / graph.total[i];
    hidden += given[i] * Math.max(0, 1 - shown / graph.total[i]);
  }
  const ends = fromTokens + fromErrors + hidden;
  return {
    replacement: ends ? fromTokens / ends : 0,
    completeness: all ? (explained + hidden) / (all + hidden) : 0,
  };
}
