// What is asked of a graph's text elsewhere: calls of circuitstore in Python, and commands of a shell.
import { EMBEDDING, ERROR, FEATURE, LOGIT } from "./model.js";

const call = (name, graph, ...words) => {
  const model = graph.model ? [`model=${JSON.stringify(graph.model)}`] : [];
  return `cs.${name}(${[JSON.stringify(graph.asked), ...words, ...model].join(", ")})`;
};

// Features that are switched off in the model.
export function intervention(graph, features) {
  const rows = features.map(
    (i) =>
      `    (${graph.layer[i]}, ${graph.position[i]}, ${graph.feature[i]}): 0.0,  # was ` +
      graph.activation[i].toPrecision(4),
  );
  return call("intervene", graph, `{\n${rows.join("\n")}\n}`);
}

// The name of an edge, SOURCE>TARGET, for `circuitstore attention --edge`; "" for one that it does not take.
export function edgeName(graph, e) {
  const source = place(graph, graph.source[e]),
    target = graph.target[e];
  if (graph.aggregated || graph.kind[target] === ERROR || graph.feature[target] < 0) return "";
  if (graph.kind[target] !== LOGIT) return `${source}>${place(graph, target)}`;
  const against = graph.logits.against[target - graph.firstLogit];
  return `${source}>logit/${graph.feature[target]}${against >= 0 ? `/${against}` : ""}`;
}

function place(graph, i) {
  if (graph.kind[i] === EMBEDDING) return `embedding/${graph.position[i]}`;
  const at = `${graph.layer[i]}/${graph.position[i]}`;
  return graph.kind[i] === FEATURE ? `feature/${at}/${graph.feature[i]}` : `error/${at}`;
}

// Through which heads an edge goes.
export const heads = (graph, e) => call("heads", graph, JSON.stringify([edgeName(graph, e)]));

// The same in a shell; "" where what was asked about is no text.
export function headsCommand(graph, e) {
  if (typeof graph.asked !== "string") return "";
  const profile = graph.model ? ` --profile ${quoted(graph.model)}` : "";
  return `circuitstore attention --edge ${quoted(edgeName(graph, e))}${profile} -- ${quoted(graph.asked)}`;
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

// Why a head looks from the target of an edge to its source.
export function attention(graph, e, { layer, head }) {
  const query = graph.position[graph.target[e]],
    key = graph.position[graph.source[e]];
  return call("attention", graph, `layer=${layer}, head=${head}, query=${query}, key=${key}`);
}
