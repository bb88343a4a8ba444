// Orphans: the plan of the last scan, each candidate with the checks that protect or release it.

import { cleanOrphans, scanOrphans } from "../actions.js";
import { mayChange, read } from "../api.js";
import { h } from "../dom.js";
import { bytes, clock, count, duration, plural } from "../format.js";
import { button, facts, fold, name, nothing, own, pager, section, sentence, table } from "../parts.js";
import { to } from "../route.js";
import { tag, wordOf } from "../words.js";

const PAGE = 50;

export const orphans = {
  id: "orphans",
  title: "Orphans",
  badge: ({ orphans: totals }) => totals && { count: totals.total - totals.protected_total, noun: "can be removed", tone: "warn" },
  read: async ({ query }) => {
    const plan = await read("/api/admin/orphans/candidates", { limit: PAGE, cursor: query.cursor });
    return { plan, log: await read("/api/admin/orphans/cleanup-log", { limit: PAGE }) };
  },
  show(_, { query }) {
    return own(({ plan, log }) => [
      section("plan", "Plan of the last scan", { tools: mayChange() && tools(plan) }, planFacts(plan), candidates(plan, query)),
      plan.trash.length > 0 && section("trash", "In the trash", { note: "can be given back: recoveryctl orphans restore" }, trash(plan.trash)),
      section("removed", "Log", { note: "the newest first" }, entries(log)),
    ]);
  },
};

function tools(plan) {
  const safe = plan.candidates.filter((c) => c.safe);
  return [button("Scan", scanOrphans), safe.length > 1 && button(`Remove the ${safe.length} that are safe on this page`, () => cleanOrphans(plan.plan_id, safe), { kind: "danger" })];
}

function planFacts(plan) {
  if (!plan.plan_id) return nothing("Nobody has looked for orphans yet.");
  return facts(["Taken", clock(plan.taken_at)], ["Candidates", count(plan.total)], ["Protected by a check", count(plan.protected_total)], ["Can be freed", bytes(plan.bytes_total)], ["Plan", name(plan.plan_id, "path")]);
}

function candidates(plan, query) {
  if (!plan.plan_id) return null;
  if (plan.candidates.length === 0) return nothing("No orphans: everything has an owner.");
  return [
    plan.candidates.map((candidate) => one(plan, candidate)),
    pager(plan, { isAway: Boolean(query.cursor), href: to("orphans") }, (cursor) => to("orphans", null, { cursor })),
  ];
}

function one(plan, candidate) {
  const passed = candidate.checks.filter((check) => check.passed).length;
  return h(
    "article",
    { class: "card", key: `orphan-${candidate.id}` },
    h(
      "div",
      { class: "part-head" },
      h("h3", null, name(candidate.name ?? candidate.object)),
      h("p", { class: "aside" }, tag(candidate.safe ? "safe" : "protected", candidate.safe ? "safe to remove" : "protected"), ` ${wordOf(candidate.kind)}, ${bytes(candidate.bytes)}, ${duration(candidate.age_ms)} old`),
      mayChange() && candidate.safe && h("div", { class: "tools" }, button("Remove", () => cleanOrphans(plan.plan_id, [candidate]), { kind: "danger", about: candidate.object })),
    ),
    candidate.path && h("p", null, name(candidate.path, "path")),
    fold(`checks-${candidate.id}`, `${passed} of ${plural(candidate.checks.length, "check")} passed`, checks(candidate.checks)),
  );
}

function checks(all) {
  const word = (check) => (check.passed === null ? tag("unknown", "not known") : check.passed ? tag("safe", "passed") : tag("failed", "not passed"));
  return h("ul", { class: "checks" }, all.map((check) => h("li", null, word(check), " ", h("strong", null, name(check.check)), " ", sentence(check.evidence))));
}

function trash(all) {
  return table(
    "What can be given back",
    [
      { title: "What", cell: (t) => name(t.object) },
      { title: "From", kind: "wide", cell: (t) => name(t.from, "path") },
      { title: "Removed", cell: (t) => clock(t.removed_at) },
      { title: "Size", kind: "number", cell: (t) => bytes(t.bytes) },
    ],
    all,
    { key: (t) => t.id, most: PAGE },
  );
}

function entries(log) {
  if (log.entries.length === 0) return nothing("Nothing was removed yet.");
  return table(
    "Log of removals",
    [
      { title: "When", cell: (e) => clock(e.at) },
      { title: "What", cell: (e) => name(e.object) },
      { title: "Result", cell: (e) => tag(e.result) },
      { title: "Freed", kind: "number", cell: (e) => bytes(e.bytes_freed) },
      { title: "Detail", kind: "wide", cell: (e) => [sentence(e.detail), e.reason && [" – ", sentence(e.reason)]] },
      { title: "By", cell: (e) => sentence(e.by) },
    ],
    log.entries,
    { total: log.total },
  );
}
