// Decisions on labels: sent to the server, and kept in this browser until the server has them.
import { ask, forget } from "../records.js";
import { remember, remembered } from "../theme.js";

export const UNLABELLED = "unlabelled"; // what a rejected label becomes

export class Drafts {
  constructor(behaviour) {
    this.key = `circuitstore.drafts.${location.host}.${behaviour}`;
    try {
      this.all = JSON.parse(remembered(this.key) ?? "{}");
    } catch {
      this.all = {};
    }
  }

  of = ({ layer, feature }) => this.all[`${layer}/${feature}`];

  keep({ layer, feature }, label, note) {
    this.all[`${layer}/${feature}`] = { label, note };
    remember(this.key, JSON.stringify(this.all));
  }

  drop({ layer, feature }) {
    delete this.all[`${layer}/${feature}`];
    remember(this.key, Object.keys(this.all).length ? JSON.stringify(this.all) : "");
  }
}

// { saved, now } or { theirs, now } if somebody else has said something else than `known`, or { error }.
export async function decide(behaviour, { layer, feature }, label, note, known) {
  const before = { label: known.reviewer_label, author: known.reviewer, note: known.reviewer_note };
  try {
    const answer = await ask("api/review", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ behaviour, layer, feature, label, note, before }),
    });
    const now = await answer.json();
    forget(`features/${behaviour}`);
    forget(`feature/${behaviour}/${layer}/${feature}`);
    const row = { reviewer_label: now.label, reviewer: now.author, reviewer_note: now.note };
    return answer.status === 409 ? { theirs: true, now: row } : { saved: true, now: row };
  } catch (error) {
    return { error: error.message };
  }
}
