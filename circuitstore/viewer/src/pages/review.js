// Features of a behaviour one after the other, with their labels: accept, edit or reject them by keyboard.
import { html } from "htm/preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { address, change, to } from "../address.js";
import { forget, has, useRecord } from "../records.js";
import { count, short } from "../text.js";
import { Waiting } from "../parts/common.js";
import { FeatureSummary } from "./feature.js";
import { Drafts, decide, UNLABELLED } from "../parts/decisions.js";

const ROWS = 60;

export function ReviewPage({ behaviour }) {
  const [version, setVersion] = useState(0);
  const features = useRecord(`features/${behaviour}`, version);
  const access = useRecord("access");
  if (!features.value) return html`<${Waiting} ...${features} />`;
  const again = () => (forget(`features/${behaviour}`), setVersion(version + 1));
  return html`<${Loaded}
    table=${features.value}
    ...${{ behaviour, again }}
    author=${access.value?.author ?? ""}
  />`;
}

function Loaded({ table, behaviour, again, author }) {
  const { params } = address.value;
  const drafts = useMemo(() => new Drafts(behaviour), [behaviour]);
  const [note, setNote] = useState("");
  const [conflict, setConflict] = useState(null);
  const [local, setLocal] = useState({}); // decisions that were saved since the table was read
  const list = useMemo(() => listed(table, params), [table, params.q, params.open]);
  const at = Math.max(
    0,
    Math.min(
      list.length - 1,
      list.findIndex((k) => `${table.layer[k]}/${table.feature[k]}` === params.at),
    ),
  );
  const k = list[at];
  const row =
    k === undefined ? null : { ...rowOf(table, k), ...local[`${table.layer[k]}/${table.feature[k]}`] };
  const go = (step) => {
    const next = list[Math.max(0, Math.min(list.length - 1, at + step))];
    if (next !== undefined) change({ at: `${table.layer[next]}/${table.feature[next]}` });
    setConflict(null);
  };
  const save = async (label, remark = row.reviewer_note, known = row) => {
    drafts.keep(row, label, remark);
    setNote("saving …");
    const answer = await decide(behaviour, row, label, remark, known);
    if (answer.saved || answer.theirs)
      setLocal((before) => ({ ...before, [`${row.layer}/${row.feature}`]: answer.now }));
    setNote(
      answer.saved
        ? `L${row.layer} #${row.feature} saved: ${short(label, 80)}`
        : answer.theirs
          ? ""
          : `not saved, kept in this browser: ${answer.error}`,
    );
    setConflict(answer.theirs ? { label, remark, theirs: answer.now } : null);
    if (answer.saved) (drafts.drop(row), go(1));
  };
  return html`<main class="page review">
    <h1>Features of <bdi>${short(behaviour, 80)}</bdi></h1>
    <p class="note">
      ${
        author
          ? html`Decisions are saved as <b><bdi>${short(author, 80)}</bdi></b
              >.`
          : "Read only: `circuitstore view --review --author NAME` lets you label."
      }
      ${" "}<kbd>j</kbd> next,
      <kbd>k</kbd> back${author && html`, <kbd>a</kbd> accept, <kbd>e</kbd> edit, <kbd>r</kbd> reject`}
    </p>
    <div class="row">
      <input
        type="search"
        aria-label="Find features"
        placeholder="label, L3, #883"
        value=${params.q ?? ""}
        onInput=${(event) => change({ q: event.currentTarget.value, at: "" })}
      />
      <label
        ><input
          type="checkbox"
          checked=${params.open === "1"}
          onChange=${(event) => change({ open: event.currentTarget.checked ? "1" : "", at: "" })}
        />
        without a reviewer's label</label
      >
      <span class="faint">${count(list.length, "feature")}, by activation</span>
    </div>
    <div class="reviewing">
      <${List} ...${{ table, list, at, local, behaviour }} />
      ${row
        ? html`<${Deciding}
            key=${`${row.layer}/${row.feature}`}
            ...${{ row, behaviour, author, save, go, note, conflict, setConflict, drafts, again }}
          />`
        : html`<p class="note">Nothing is found.</p>`}
    </div>
  </main>`;
}

const rowOf = (table, k) =>
  Object.fromEntries(
    ["layer", "feature", "label", "reviewer_label", "reviewer", "reviewer_note"].map((name) => [
      name,
      table[name][k],
    ]),
  );

function listed(table, { q = "", open }) {
  const words = q.toLowerCase().split(/\s+/).filter(Boolean),
    result = [];
  for (let k = 0; k < table.layer.length; k++) {
    const text =
      `l${table.layer[k]} #${table.feature[k]} ${table.reviewer_label[k]} ${table.label[k]}`.toLowerCase();
    if ((open !== "1" || !table.reviewer_label[k]) && words.every((word) => text.includes(word)))
      result.push(k);
  }
  const weight = (k) => table.mean_activation[k] * table.active_prompts[k];
  return result.sort((a, b) => weight(b) - weight(a));
}

function List({ table, list, at, local, behaviour }) {
  const from = Math.max(0, Math.min(at - 10, list.length - ROWS));
  return html`<ol class="list" start=${from + 1} aria-label="Features">
    ${list.slice(from, from + ROWS).map((k, i) => {
      const name = `${table.layer[k]}/${table.feature[k]}`,
        row = { ...rowOf(table, k), ...local[name] };
      return html`<li key=${name} class=${from + i === at ? "current" : ""}>
        <a
          aria-current=${from + i === at ? "true" : undefined}
          href=${to(["features", behaviour], { ...address.value.params, at: name })}
        >
          L${row.layer} #${row.feature}
          <bdi class=${row.reviewer_label ? "" : "faint"}>${short(row.reviewer_label || row.label, 60)}</bdi
          >${row.reviewer_label && " ✓"}</a
        >
      </li>`;
    })}
  </ol>`;
}

function Deciding({ row, behaviour, author, save, go, note, conflict, setConflict, drafts, again }) {
  const draft = drafts.of(row);
  const [label, setLabel] = useState(draft?.label ?? row.reviewer_label ?? "");
  const [remark, setRemark] = useState(draft?.note ?? row.reviewer_note ?? "");
  const field = useRef(null);
  const key = `feature/${behaviour}/${row.layer}/${row.feature}`;
  const known = useRecord(has(key) && key),
    about = useRecord(`behaviour/${behaviour}`);
  const edit = () => (field.current?.focus(), field.current?.select());
  useEffect(() => {
    const keys = (event) => {
      if (
        /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) ||
        event.ctrlKey ||
        event.metaKey ||
        event.altKey
      )
        return;
      const act = {
        j: () => go(1),
        k: () => go(-1),
        ArrowDown: () => go(1),
        ArrowUp: () => go(-1),
        ...(author && { a: () => row.label && save(row.label), e: edit, r: () => save(UNLABELLED) }),
      }[event.key];
      if (act) (event.preventDefault(), act());
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  });
  const typed = (next, nextNote) => (setLabel(next), setRemark(nextNote), drafts.keep(row, next, nextNote));
  const submit = (event) => (event.preventDefault(), label.trim() && save(label.trim(), remark.trim()));
  return html`<section class="deciding" aria-label="Feature">
    <h2>
      L${row.layer} #${row.feature}${" "}
      ${has(key) && html`<a href=${to(["feature", behaviour, row.layer, row.feature])}>page</a>`}
    </h2>
    <p>automatic: <bdi>${short(row.label, 300)}</bdi></p>
    ${
      row.reviewer_label &&
      html`<p>
        now: <b><bdi>${short(row.reviewer_label, 500)}</bdi></b>
        <span class="faint">by <bdi>${short(row.reviewer, 80)}</bdi></span>
      </p>`
    }
    ${
      author &&
      html`<form onSubmit=${submit} class="decide">
        <label
          >Label
          <input
            ref=${field}
            type="text"
            maxlength="10000"
            value=${label}
            onInput=${(event) => typed(event.currentTarget.value, remark)}
            onKeyDown=${(event) => event.key === "Escape" && event.currentTarget.blur()}
        /></label>
        <label
          >Note
          <input
            type="text"
            maxlength="10000"
            value=${remark}
            onInput=${(event) => typed(label, event.currentTarget.value)}
            onKeyDown=${(event) => event.key === "Escape" && event.currentTarget.blur()}
        /></label>
        <p class="row">
          <button type="submit" disabled=${!label.trim()}>Save</button
          ><button type="button" disabled=${!row.label} onClick=${() => save(row.label)}>Accept</button>
          <button type="button" onClick=${() => save(UNLABELLED)}>Reject</button
          ><button type="button" class="small" onClick=${again}>Read labels again</button>
        </p>
      </form>`
    }
    <p role="status" class="note saved">
      ${note || (draft && !conflict ? "A draft that is not saved yet." : "")}
    </p>
    ${
      conflict &&
      html`<div class="problem" role="alert">
        <p>
          <bdi>${short(conflict.theirs.reviewer, 80)}</bdi> has meanwhile said
          “<bdi>${short(conflict.theirs.reviewer_label, 300)}</bdi>”. You said
          “<bdi>${short(conflict.label, 300)}</bdi>”.
        </p>
        <p class="row">
          <button onClick=${() => (drafts.drop(row), setConflict(null), go(1))}>Keep theirs</button
          ><button onClick=${() => save(conflict.label, conflict.remark, conflict.theirs)}>Save mine</button>
        </p>
      </div>`
    }
    ${known.value && about.value
      ? html`<${FeatureSummary} feature=${{ ...known.value, ...row }} behaviour=${about.value} />`
        : known.error && html`<p class="note">${known.error}</p>`}
    ${!has(key)
      && html`<p class="note">
        This file holds no more of this feature. Pages of graphs in which it is do.
      </p>`}
  </section>`;
}
