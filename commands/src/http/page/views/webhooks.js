// Deliveries: what is undelivered, how each endpoint does, and every attempt.

import { retryWebhooks } from "../actions.js";
import { mayChange, read } from "../api.js";
import { h } from "../dom.js";
import { clock, count, duration, plural } from "../format.js";
import { button, link, name, nothing, own, pager, section, sentence, table, when } from "../parts.js";
import { to } from "../route.js";
import { tag } from "../words.js";

const PAGE = 50;

export const webhooks = {
  id: "webhooks",
  title: "Webhooks",
  badge: (data) => {
    const counts = data.webhooks ?? data.status.webhooks;
    if (!counts) return null;
    const open = counts.pending + counts.in_flight + counts.waiting;
    return counts.parked > 0 ? { count: counts.parked, noun: "parked", tone: "bad" } : { count: open, noun: "undelivered" };
  },
  read: async ({ query }) => {
    const pending = await read("/api/admin/webhooks/pending", { limit: PAGE, cursor: query.cursor, status: query.status });
    const { job_id, delivery_id, log: cursor } = query;
    return { pending, log: await read("/api/admin/webhooks/delivery-log", { limit: PAGE, job_id, delivery_id, cursor }) };
  },
  show(_, { query }) {
    return own(({ pending, log }) => [
      section("endpoints", "Endpoints", {}, endpoints(pending.by_endpoint)),
      section("pending", "Undelivered", { note: counts(pending.counts), tools: mayChange() && pending.counts.parked > 0 && button("Retry all parked", () => retryWebhooks(null)) }, deliveries(pending, query)),
      section("attempts", of(query), { note: query.job_id || query.delivery_id ? h("a", { href: "#webhooks" }, "of all") : "the oldest first" }, attempts(log, query)),
    ]);
  },
};

function of({ job_id, delivery_id }) {
  if (job_id) return ["Attempts for job ", name(job_id)];
  return delivery_id ? ["Attempts of delivery ", name(delivery_id, "path")] : "Attempts";
}

function counts(by) {
  return ["in_flight", "pending", "waiting", "parked"].filter((status) => by[status] > 0).map((status) => [tag(status, `${count(by[status])} ${status.replace("_", " ")}`), " "]);
}

function endpoints(all) {
  if (all.length === 0) return nothing("Nothing is undelivered.");
  return table(
    "Endpoints with undelivered deliveries",
    [
      { title: "Endpoint", cell: (e) => name(e.endpoint) },
      { title: "Circuit", cell: (e) => [tag(e.circuit, e.circuit === "closed" ? "sends" : e.circuit === "open" ? "pauses" : "tries one"), e.open_until && [" ", when(e.open_until)]] },
      { title: "Waiting", kind: "number", cell: (e) => count(e.pending + e.in_flight + e.waiting) },
      { title: "Parked", kind: "number", cell: (e) => count(e.parked) },
      { title: "Oldest", cell: (e) => when(e.oldest_at) },
      { title: "Last error", kind: "wide", cell: (e) => sentence(e.last_error) },
    ],
    all,
    { key: (e) => e.endpoint, most: PAGE },
  );
}

function deliveries(pending, query) {
  if (pending.deliveries.length === 0) return nothing("Everything has arrived.");
  return [
    table(
      "Undelivered",
      [
        { title: "Job", cell: (d) => d.job_id && link(to("jobs", d.job_id), d.job_id) },
        { title: "Status", cell: (d) => tag(d.status) },
        { title: "To", kind: "wide", cell: (d) => name(d.url, "path") },
        { title: "Tries", kind: "number", cell: (d) => (d.attempts > 0 ? h("a", { href: to("webhooks", null, { delivery_id: d.delivery_id }) }, count(d.attempts)) : "0") },
        { title: "Next try", cell: (d) => when(d.next_try_at) },
        { title: "Last error", kind: "wide", cell: (d) => sentence(d.last_error) },
        { title: "", kind: "acts", cell: (d) => mayChange() && button("Retry", () => retryWebhooks([d.delivery_id]), { about: d.delivery_id }) },
      ],
      pending.deliveries,
      { key: (d) => d.delivery_id },
    ),
    pager(pending, { isAway: Boolean(query.cursor), href: to("webhooks") }, (cursor) => to("webhooks", null, { cursor })),
  ];
}

function attempts(log, query) {
  if (log.entries.length === 0) return nothing("Nothing was ever sent.");
  return [
    h("p", { class: "aside" }, plural(log.total, "attempt")),
    table(
      "Attempts",
      [
        { title: "When", cell: (e) => clock(e.at) },
        { title: "Job", cell: (e) => e.job_id && link(to("jobs", e.job_id), e.job_id) },
        { title: "Outcome", cell: (e) => [tag(e.outcome), e.status_code && ` ${e.status_code}`] },
        { title: "Try", kind: "number", cell: (e) => count(e.attempt) },
        { title: "Took", kind: "number", cell: (e) => duration(e.duration_ms) },
        { title: "To", cell: (e) => name(e.url, "path") },
        { title: "Error", kind: "wide", cell: (e) => sentence(e.error) },
      ],
      log.entries,
    ),
    pager(log, { isAway: Boolean(query.log), href: to("webhooks", null, { ...query, log: null }) }, (cursor) => to("webhooks", null, { ...query, log: cursor })),
  ];
}
