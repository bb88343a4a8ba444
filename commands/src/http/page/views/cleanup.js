// Cleanups: what jobs left is removed in three phases, index, Docker, files.

import { retryCleanup } from "../actions.js";
import { mayChange, read } from "../api.js";
import { h } from "../dom.js";
import { bytes, clock, count, duration, plural } from "../format.js";
import { button, link, name, nothing, own, pager, section, sentence, table, when } from "../parts.js";
import { to } from "../route.js";
import { tag } from "../words.js";

const PAGE = 50;

export const cleanup = {
  id: "cleanup",
  title: "Cleanup",
  badge: ({ cleanup: state }) => state && (state.counts.parked > 0 ? { count: state.counts.parked, noun: "parked", tone: "bad" } : { count: state.total, noun: "not over" }),
  read: async ({ query }) => {
    const state = await read("/api/admin/cleanup/state", { limit: PAGE, cursor: query.cursor });
    return { state, completed: await read("/api/admin/cleanup/completed", { limit: PAGE, cursor: query.completed }) };
  },
  show(_, { query }) {
    return own(({ state, completed }) => [
      section("cleanups", "Under way and waiting", { note: counts(state.counts) }, underWay(state, query)),
      section("completed", "Completed", { note: plural(completed.total, "cleanup") }, over(completed, query)),
    ]);
  },
};

function counts(by) {
  return ["running", "pending", "waiting", "parked"].filter((status) => by[status] > 0).map((status) => [tag(status, `${count(by[status])} ${status}`), " "]);
}

function underWay(state, query) {
  if (state.cleanups.length === 0) return nothing("None.");
  return [
    state.cleanups.map(one),
    pager(state, { isAway: Boolean(query.cursor), href: to("cleanup") }, (cursor) => to("cleanup", null, { cursor })),
  ];
}

function one(cleanup) {
  return h(
    "article",
    { class: "card", key: `cleanup-${cleanup.cleanup_id}` },
    h(
      "div",
      { class: "part-head" },
      h("h3", null, "Job ", link(to("jobs", cleanup.job_id), cleanup.job_id), h("span", { class: "aside" }, ` attempt ${cleanup.attempt}`)),
      h("p", { class: "aside" }, tag(cleanup.status), " asked for ", when(cleanup.created_at), cleanup.resumed && [", resumed", cleanup.resumed_from && ` from ${cleanup.resumed_from.phase}`]),
      mayChange() && ["parked", "waiting"].includes(cleanup.status) && h("div", { class: "tools" }, button("Retry", () => retryCleanup(cleanup), { about: cleanup.cleanup_id })),
    ),
    h("ol", { class: "steps" }, cleanup.phases.map(step)),
  );
}

function step(phase) {
  const much = phase.items_total > 0 ? `${count(phase.items_done)}/${count(phase.items_total)}` : null;
  return h(
    "li",
    null,
    h("p", null, h("strong", null, phase.phase), " ", tag(phase.status), much && ` ${much}`, phase.attempts > 1 && h("span", { class: "aside" }, ` try ${phase.attempts}`)),
    phase.error && h("p", { class: "aside" }, sentence(phase.error)),
    phase.next_try_at && h("p", { class: "aside" }, "next try ", when(phase.next_try_at)),
    phase.step && h("p", { class: "aside" }, sentence(phase.step)),
  );
}

function over(completed, query) {
  if (completed.cleanups.length === 0) return nothing("None yet.");
  return [
    table(
      "Completed cleanups",
      [
        { title: "Job", cell: (c) => [link(to("jobs", c.job_id), c.job_id), h("span", { class: "aside" }, ` attempt ${c.attempt}`)] },
        { title: "Completed", cell: (c) => h("time", { datetime: c.completed_at }, clock(c.completed_at)) },
        { title: "Took", kind: "number", cell: (c) => duration(c.duration_ms) },
        { title: "Freed", kind: "number", cell: (c) => bytes(c.bytes_freed) },
        { title: "Docker", kind: "number", cell: (c) => count(c.containers_removed + c.networks_removed + c.volumes_removed) },
        { title: "Phases", kind: "wide", cell: (c) => c.phases.map((p) => [name(p.phase), " ", tag(p.status), " "]) },
      ],
      completed.cleanups,
      { key: (c) => c.cleanup_id },
    ),
    pager(completed, { isAway: Boolean(query.completed), href: to("cleanup") }, (cursor) => to("cleanup", null, { completed: cursor })),
  ];
}
