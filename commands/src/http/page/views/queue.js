// The waiting line, and how the queue came back the last time.

import { cancelJob } from "../actions/jobs.js";
import { mayChange, read } from "../api.js";
import { bytes, count, duration, plural } from "../format.js";
import {
  button,
  facts,
  fold,
  link,
  name,
  nothing,
  own,
  pager,
  section,
  sentence,
  table,
  when,
} from "../parts.js";
import { to } from "../route.js";
import { tag, wordOf } from "../words.js";

const PAGE = 50;

export const queue = {
  id: "queue",
  title: "Queue",
  badge: (data) => ({ count: data.queue.depth, noun: "queued" }),
  read: async ({ query }) => {
    // One after the other: a view asks for one thing at a time.
    const line = await read("/api/admin/queue/snapshot", { limit: PAGE, cursor: query.cursor });
    const wal = await read("/api/admin/recovery/queue/wal-status");
    const metrics = await read("/api/admin/recovery/queue/metrics");
    return { line, wal, metrics };
  },
  show(model, route) {
    if (!model.data) return nothing("The queue is not known before the recovery has read it.");
    const { queue } = model.data;
    const note = [tag(queue.state), ` ${plural(queue.depth, "job")} wait`];
    return [
      section(
        "line",
        "Waiting line",
        { note },
        own(({ line }) => waitingLine(line, route, queue)),
      ),
      section("back", "How it came back", {}, cameBack(queue.recovered)),
      section(
        "log",
        "Write-ahead log and figures",
        {},
        own(({ wal, metrics }) => [log(wal), figures(metrics)]),
      ),
    ];
  },
};

function waitingLine(line, { query }, { depth }) {
  const waiting = line.jobs.filter((job) => job.status === "queued");
  if (waiting.length === 0) return nothing(depth === 0 ? "Nothing waits." : "No more behind these.");
  const isLast = waiting.length < line.jobs.length;
  return [
    table(
      "Queued jobs in their order",
      [
        { title: "Place", kind: "number", cell: (j) => count(j.position) },
        { title: "Job", cell: (j) => link(to("jobs", j.job_id), j.job_id) },
        { title: "Priority", kind: "number", cell: (j) => (j.priority === 0 ? "–" : String(j.priority)) },
        { title: "Repository", cell: (j) => j.repository && link(to("locks", j.repository), j.repository) },
        { title: "Waits for", kind: "wide", cell: waitsFor },
        { title: "Submitted", cell: (j) => when(j.submitted_at) },
        {
          title: "",
          kind: "acts",
          cell: (j) => mayChange() && button("Cancel", () => cancelJob(j.job_id), { about: j.job_id }),
        },
      ],
      waiting,
      { key: (j) => j.job_id },
    ),
    !isLast &&
      pager(line, { isAway: Boolean(query.cursor), href: to("queue") }, (cursor) =>
        to("queue", null, { cursor }),
      ),
  ];
}

/** What a queued job waits for, in words. */
export function waitsFor(job) {
  const [kind, ...id] = (job.waiting_for ?? "").split(":");
  if (kind === "job") return ["job ", link(to("jobs", id.join(":")), id.join(":"))];
  if (job.waiting_for) return sentence(job.waiting_for);
  return job.not_before ? ["not before ", when(job.not_before)] : "a free worker";
}

function cameBack(recovered) {
  return facts(
    ["From", wordOf(recovered.method)],
    ["When", when(recovered.at)],
    ["Took", duration(recovered.duration_ms)],
    ["Records replayed", count(recovered.records_replayed)],
    ["Records damaged", count(recovered.records_damaged)],
    ["Torn bytes", count(recovered.torn_bytes)],
    ["Snapshot at record", count(recovered.snapshot_seq)],
  );
}

function log(wal) {
  const segments = fold(
    "segments",
    plural(wal.segments.length, "segment"),
    table(
      "Segments of the write-ahead log",
      [
        { title: "File", cell: (s) => name(s.file) },
        { title: "From", kind: "number", cell: (s) => count(s.first_seq) },
        { title: "To", kind: "number", cell: (s) => count(s.last_seq) },
        { title: "Records", kind: "number", cell: (s) => count(s.records) },
        { title: "Damaged", kind: "number", cell: (s) => count(s.damaged_records) },
        { title: "Size", kind: "number", cell: (s) => bytes(s.bytes) },
      ],
      wal.segments,
      { key: (s) => s.file, most: 50 },
    ),
  );
  return [
    facts(
      ["Last record", count(wal.last_seq)],
      ["Since the checkpoint", count(wal.records_since_checkpoint)],
      ["Size", bytes(wal.bytes)],
      ["Damaged records", count(wal.damaged_records)],
      ["Torn bytes", count(wal.torn_bytes)],
    ),
    segments,
  ];
}

function figures(metrics) {
  const spread = (p) =>
    p.p50 === null ? "–" : `${duration(p.p50)} / ${duration(p.p90)} / ${duration(p.p99)}`;
  return fold(
    "figures",
    "Figures",
    facts(
      ["Entered", count(metrics.enqueued_total)],
      ["Started", count(metrics.started_total)],
      ["Queued again", count(metrics.requeued_total)],
      ["Checkpoints", count(metrics.checkpoints_total)],
      ["Waited (median / 90 % / 99 %)", spread(metrics.wait_ms)],
      ["Ran (median / 90 % / 99 %)", spread(metrics.run_ms)],
    ),
  );
}
