// One job: what it is, what became of it, why that is believed, and what it prints.

import { mayChange, read } from "../api.js";
import { h } from "../dom.js";
import { bytes, clock, count, duration, plural, shellWord } from "../format.js";
import { command, evidence, facts, fold, link, more, name, own, section, sentence, table, when } from "../parts.js";
import { to } from "../route.js";
import { tag, wordOf } from "../words.js";
import { acts, note } from "./jobs.js";
import { follow } from "./output.js";

const MOST = 50;

export const job = {
  id: "jobs",
  read: async ({ id }) => {
    const job = await read(`/api/jobs/${encodeURIComponent(id)}`);
    const why = job.status === "running" || job.status === "crashed" ? await read("/api/admin/why", { object: `job:${id}` }).catch(() => null) : null;
    return { job, why };
  },
  show(model, { id }) {
    const back = h("p", { class: "back" }, h("a", { href: "#jobs" }, "All jobs"));
    return [back, own(({ job, why }) => [whole(job), output(job), why && section("why", "Why this is believed", { note: sentence(why.because) }, evidence(why.evidence?.map((e) => `${e.kind}: ${e.detail}`)), processes(why.processes)), attempts(job), history(job), more_(job)]), h("span", { hidden: true }, id)];
  },
};

function whole(job) {
  return section(
    "job",
    ["Job ", name(job.job_id)],
    { note: [tag(job.status), ` attempt ${job.attempt} of at most ${job.max_attempts}`], tools: mayChange() && acts(job) },
    h("p", null, command(job.command.map(shellWord).join(" "))),
    facts(
      ["Note", note(job)],
      job.title && ["Title", name(job.title)],
      job.repository && ["Repository", link(to("locks", job.repository), job.repository)],
      ["Submitted", [clock(job.submitted_at), ", ", when(job.submitted_at)]],
      ["Started", job.started_at && [clock(job.started_at), ", ", when(job.started_at)]],
      ["Ended", job.finished_at && [clock(job.finished_at), ", ", when(job.finished_at)]],
      job.exit_code !== null && ["Exit status", String(job.exit_code)],
      job.signal !== null && ["Signal", String(job.signal)],
      ["After a crash", wordOf(job.on_crash)],
      job.timeout_ms !== null && ["Time limit", duration(job.timeout_ms)],
      job.checkpoint && ["Checkpoint", [bytes(job.checkpoint.bytes), ", ", when(job.checkpoint.modified_at)]],
      job.reconstructed && ["Put together from", job.reconstructed.join(", ")],
      ["Workspace", name(job.workspace, "path")],
    ),
  );
}

function output(job) {
  const box = h("div", { class: "output-box", "data-own": true, key: `output-${job.job_id}` });
  // It looks after itself: the one that is in the page stays, and learns how the job is now.
  follow(box, job);
  return section("output", "Output", { note: job.status === "running" ? "followed as it grows" : null }, box);
}

function processes(all) {
  if (!all?.length) return null;
  const columns = [
    { title: "Role", cell: (p) => p.role },
    { title: "Process", kind: "number", cell: (p) => String(p.pid) },
    { title: "State", cell: (p) => tag(p.state) },
    { title: "Command line", kind: "wide", cell: (p) => p.command_line && h("code", { dir: "ltr" }, p.command_line.map(shellWord).join(" ").slice(0, 400)) },
  ];
  return table("Processes", columns, all, { most: MOST });
}

function attempts(job) {
  return section(
    "attempts",
    "Attempts",
    { note: plural(job.attempts.length, "attempt") },
    table(
      "Attempts",
      [
        { title: "Try", kind: "number", cell: (a) => String(a.attempt) },
        { title: "Status", cell: (a) => tag(a.status) },
        { title: "Started", cell: (a) => when(a.started_at) },
        { title: "Ran", kind: "number", cell: (a) => duration(a.duration_ms) },
        { title: "CPU", kind: "number", cell: (a) => duration(a.cpu_ms) },
        { title: "Memory", kind: "number", cell: (a) => bytes(a.memory_peak_bytes) },
        { title: "Output", kind: "number", cell: (a) => bytes(a.output_bytes) },
        { title: "Reason", kind: "wide", cell: (a) => sentence(a.reason) },
      ],
      [...job.attempts].reverse(),
      { key: (a) => a.attempt, most: MOST },
    ),
  );
}

function history(job) {
  const all = [...job.history].reverse();
  const line = (t) => h("li", null, h("time", { datetime: t.at }, clock(t.at)), " ", tag(t.status), t.attempt > 1 && ` try ${t.attempt}`);
  return section("history", "History", { note: "the newest first" }, h("ol", { class: "history" }, all.slice(0, MOST).map(line)), more(all.length - MOST));
}

function more_(job) {
  const callbacks = job.callbacks.map((c) => h("li", null, name(c.url ?? c)));
  return [
    callbacks.length > 0 && section("callbacks", "Callbacks", {}, h("ul", { class: "evidence" }, callbacks.slice(0, MOST)), h("p", null, h("a", { href: to("webhooks", null, { job_id: job.job_id }) }, "Their deliveries"))),
    job.lock?.evidence && section("lock", "Its lock", {}, fold("lock-evidence", [name(job.lock.holder), ", ", count(job.lock.waiting?.length ?? 0), " wait"], evidence(job.lock.evidence))),
  ];
}
