// An attribution graph in typed arrays: its nodes, its edges by target and by source.
import { short, token, visible } from "../text.js";

export const FEATURE = 0,
  ERROR = 1,
  EMBEDDING = 2,
  LOGIT = 3;
export const KINDS = ["feature", "error", "embedding", "logit"];

export class Graph {
  constructor(record) {
    Object.assign(this, record);
    Object.assign(this, record.nodes);
    this.size = this.kind.length;
    this.turns = record.turns.some(Boolean) ? record.turns : []; // whose turn a token is, "" the template's
    const { source, target, weight } = record.edges;
    Object.assign(this, { source, target, weight, edgeCount: weight.length });
    this.inputs = grouped(target, this.size);
    this.outputs = grouped(source, this.size);
    this.byOriginal = new Map(Array.from(this.original, (original, i) => [original, i]));
    this.logitWeight = new Float64Array(this.size);
    const firstLogit = this.size - record.logits.weight.length;
    record.logits.weight.forEach((weight, i) => (this.logitWeight[firstLogit + i] = weight));
    this.firstLogit = firstLogit;
    this.order = Array.from({ length: this.size }, (_, i) => i);
    this.order.sort((a, b) => this.layer[b] - this.layer[a]); // targets before their sources
  }

  // Edges into a node, or out of it, the strongest first; those of `among` (edge) only.
  strongest(i, edges, among, most = Infinity) {
    const found = [];
    for (const e of edges.of(i)) if (!among || among[e]) found.push(e);
    found.sort((a, b) => Math.abs(this.weight[b]) - Math.abs(this.weight[a]));
    return found.slice(0, most);
  }

  label(i) {
    if (this.kind[i] !== FEATURE) return "";
    return this.labels[`${this.layer[i]}/${this.feature[i]}`] ?? "";
  }

  name(i) {
    const at = token(this.tokens[this.position[i]]);
    switch (this.kind[i]) {
      case FEATURE:
        return `L${this.layer[i]} #${this.feature[i]}`;
      case ERROR:
        return `error L${this.layer[i]}`;
      case EMBEDDING:
        return `token ${at}`;
    }
    const against = this.answers && this.logits.against?.[0] >= 0 ? ` − ${token(this.answers[1])}` : "";
    return `output ${token(this.logits.text[i - this.firstLogit])}${against}`;
  }

  // The token at which a node stands, and of a conversation whose turn it is.
  place(i) {
    const at = token(this.tokens[this.position[i]]);
    if (!this.turns.length) return at;
    const role = this.turns[this.position[i]];
    return role ? `${at}, said by ${visible(role)}` : `${at}, of the chat template`;
  }

  words(i) {
    const label = this.label(i);
    return label ? `${this.name(i)} ${short(label, 60)}` : this.name(i);
  }

  // What a node is in any graph of the same model, with the role of its position or its place from the end.
  identity(i) {
    const place = this.roles[this.position[i]] ?? this.position[i] - this.tokens.length;
    return `${this.kind[i]}/${this.layer[i]}/${this.feature[i]}/${place}`;
  }
}

// The edges of each node: `of(i)` are their indices.
function grouped(ends, size) {
  const first = new Uint32Array(size + 1);
  for (const end of ends) first[end + 1]++;
  for (let i = 0; i < size; i++) first[i + 1] += first[i];
  const next = first.slice(),
    edges = new Uint32Array(ends.length);
  for (let e = 0; e < ends.length; e++) edges[next[ends[e]]++] = e;
  return { of: (i) => edges.subarray(first[i], first[i + 1]) };
}
