// The recovery with its phases, what cannot be used, what was found.

import { mayChange } from "../api.js";
import { retryPhase, skipPhase } from "../actions/recovery.js";
import { h } from "../dom.js";
import { duration, plural } from "../format.js";
import { model } from "../live.js";
import { graph, progress } from "../graph.js";
import { next } from "../offers.js";
import { button, link, meter, more, name, nothing, section, sentence, table, when } from "../parts.js";
import { to } from "../route.js";
import { tag, toneOf } from "../words.js";

const MOST_FINDINGS = 50;
const OVER = ["succeeded", "degraded", "failed", "skipped"];

export const overview = {
  id: "overview",
  title: "Overview",
  badge: (data) => {
    const n = data.status.findings.filter((f) => f.severity !== "info").length;
    return {
      count: n,
      noun: "findings",
      tone: data.status.findings.some((f) => toneOf(f.severity) === "bad") ? "bad" : "warn",
    };
  },
  show() {
    const run = model.recovery ?? model.data.phases;
    const isRunning = run.outcome === "running";
    const parts = [
      recovery(run, model.data?.status.recovery, isRunning),
      unusable(model.data),
      findings(model.data),
    ];
    const isQuiet = !isRunning && (model.data?.status.findings ?? []).some((f) => f.severity !== "info");
    // What is wrong comes first, unless a recovery is about to find out.
    return isQuiet ? [parts[1], parts[2], parts[0]] : parts;
  },
};

function recovery(run, last, isRunning) {
  const { phases } = run;
  if (phases.length === 0) return section("recovery", "Recovery", {}, nothing("There was none yet."));
  const done = phases.filter((p) => OVER.includes(p.status)).length;
  const begun = run.started_at ?? last?.started_at;
  const took = run.duration_ms ?? last?.duration_ms;
  const note = [
    run.outcome ? tag(run.outcome) : "never run",
    ` ${done} of ${plural(phases.length, "phase")}`,
    begun && [", begun ", when(begun)],
    took !== undefined && !isRunning && `, took ${duration(took)}`,
  ];
  const width = document.getElementById("main").clientWidth - 34;
  return section(
    "recovery",
    "Recovery",
    // Events tell of it also when no report comes.
    { note, live: model.recovery && !model.lost },
    h("div", { class: "drawing" }, graph(phases, width)),
    phaseTable(phases, isRunning),
  );
}

function phaseTable(phases, isRunning) {
  return table(
    "Phases of the recovery",
    [
      {
        title: "Phase",
        cell: (p) => [name(p.phase, "strong"), p.critical && h("span", { class: "aside" }, " critical")],
      },
      { title: "Status", cell: (p) => tag(p.status) },
      {
        title: "Done",
        cell: (p) => [progress(p), p.status === "running" && meter(p.done, p.total, `${p.phase}: done`)],
      },
      { title: "Took", kind: "number", cell: (p) => (p.attempts > 0 ? duration(p.duration_ms) : "–") },
      {
        title: "What came of it",
        kind: "wide",
        cell: (p) => [
          sentence(p.message) ?? "–",
          p.findings_total > 0 && h("span", { class: "aside" }, ` ${plural(p.findings_total, "finding")}`),
        ],
      },
      { title: "", kind: "acts", cell: (p) => phaseActs(p, isRunning) },
    ],
    phases,
    { key: (p) => p.phase },
  );
}

function phaseActs(phase, isRunning) {
  if (!mayChange()) return " ";
  if (isRunning && !OVER.includes(phase.status))
    return button("Skip", () => skipPhase(phase.phase), { about: phase.phase });
  if (!isRunning && ["failed", "degraded", "skipped", "blocked"].includes(phase.status))
    return button("Retry", () => retryPhase(phase.phase), { about: phase.phase });
  return " ";
}

function unusable(data) {
  const resources = data?.status.degraded_resources ?? [];
  if (resources.length === 0) return null;
  const columns = [
    { title: "What", cell: (r) => object(r.object) },
    { title: "Why", kind: "wide", cell: (r) => sentence(r.why) },
  ];
  return section(
    "unusable",
    "Cannot be used",
    { note: `${plural(resources.length, "resource")}; everything else works` },
    table("What cannot be used", columns, resources, { key: (r) => r.object, most: 20 }),
  );
}

function findings(data) {
  if (!data) return null;
  const found = data.status.findings;
  if (found.length === 0) return section("findings", "Findings", {}, nothing("None. All is well."));
  return section(
    "findings",
    "Findings",
    { note: "the worst first" },
    h("ul", { class: "findings" }, found.slice(0, MOST_FINDINGS).map(finding)),
    more(found.length - MOST_FINDINGS, h("code", null, "recoveryctl findings")),
  );
}

function finding(found, n) {
  return h(
    "li",
    { key: `finding-${found.code}-${found.object}-${n}`, class: toneOf(found.severity) },
    h(
      "p",
      { class: "finding-head" },
      tag(found.severity),
      object(found.object),
      h("code", { class: "code" }, found.code),
    ),
    h("p", null, sentence(found.sentence)),
    found.next && h("p", null, h("span", { class: "label" }, "Next"), next(found.next)),
  );
}

/** What a finding is about, as a link where there is a view of it. */
function object(text) {
  const [kind, ...rest] = text.split(":");
  const id = rest.join(":");
  if (id && kind === "job") return h("span", { class: "object" }, "job ", link(to("jobs", id), id));
  if (id && kind === "lock") return h("span", { class: "object" }, "lock ", link(to("locks", id), id));
  return h("span", { class: "object" }, name(text));
}
