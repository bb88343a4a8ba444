// Startups: the one before this one, crash loops, and the history.

import { leaveSafeMode } from "../actions.js";
import { mayChange, read } from "../api.js";
import { h } from "../dom.js";
import { clock, count, duration, plural } from "../format.js";
import { button, evidence, facts, name, nothing, own, pager, section, sentence, table } from "../parts.js";
import { to } from "../route.js";
import { tag } from "../words.js";

const PAGE = 30;

export const startup = {
  id: "startup",
  title: "Startups",
  badge: ({ startup: detection }) => ({ count: detection.consecutive_aborts, noun: "aborted in a row", tone: "bad" }),
  read: async ({ query }) => {
    const history = await read("/api/admin/startup/history", { limit: PAGE, cursor: query.cursor });
    return { history, log: await read("/api/admin/startup/cleanup-log", { limit: PAGE }) };
  },
  show(model, { query }) {
    return [
      model.data && detection(model.data.startup),
      section("startups", "History", { note: "the newest first" }, own(({ history }) => startups(history, query))),
      section("cleaned", "Cleaned up after crashes", {}, own(({ log }) => cleaned(log))),
    ];
  },
};

function detection(found) {
  const tools = found.safe_mode && mayChange() && button("Leave safe mode", leaveSafeMode);
  return section(
    "detection",
    "This startup",
    { note: found.current && tag(found.current.outcome), tools },
    found.safe_mode && h("p", { class: "note bad" }, h("strong", null, "Safe mode"), ": nothing is recovered and no job is started."),
    evidence(found.because),
    found.damage && h("p", { class: "note warn" }, sentence(found.damage)),
    facts(
      ["The one before", found.previous ? [tag(found.previous.outcome), found.previous.phase && [" in the phase ", name(found.previous.phase)]] : "there was none"],
      ["Aborted in a row", count(found.consecutive_aborts)],
      ["Begun", found.current && clock(found.current.started_at)],
      ["Took", found.current && duration(found.current.duration_ms)],
    ),
  );
}

function startups(history, query) {
  if (history.startups.length === 0) return nothing("None is known.");
  return [
    table(
      "Startups",
      [
        { title: "Started", cell: (s) => clock(s.started_at) },
        { title: "By", cell: (s) => name(s.by) },
        { title: "Outcome", cell: (s) => [tag(s.outcome), s.safe_mode && h("span", { class: "aside" }, " safe mode")] },
        { title: "Phase", cell: (s) => (s.phase ? ["in ", name(s.phase)] : plural(s.phases_done.length, "phase")) },
        { title: "Took", kind: "number", cell: (s) => duration(s.duration_ms) },
        { title: "Findings", kind: "number", cell: (s) => count(s.findings_total) },
      ],
      history.startups,
      { key: (s) => s.startup_id },
    ),
    pager(history, { isAway: Boolean(query.cursor), href: to("startup") }, (cursor) => to("startup", null, { cursor })),
  ];
}

function cleaned(log) {
  if (log.entries.length === 0) return nothing("Nothing was left half made.");
  return table(
    "What was cleaned up",
    [
      { title: "When", cell: (e) => clock(e.at) },
      { title: "Act", cell: (e) => name(e.action) },
      { title: "What", cell: (e) => name(e.object, "path") },
      { title: "Result", cell: (e) => tag(e.result) },
      { title: "Detail", kind: "wide", cell: (e) => sentence(e.detail) },
    ],
    log.entries,
    { total: log.total },
  );
}
