// The jobs: those that run, with how they live, and all of them in pages.

import { cancelJob, resumeJobs } from "../actions/jobs.js";
import { offeredTo } from "../actions/offered.js";
import { mayChange, read } from "../api.js";
import { h } from "../dom.js";
import { bytes, count, duration, plural } from "../format.js";
import { button, facts, link, name, nothing, own, pager, section, sentence, table, when } from "../parts.js";
import { to } from "../route.js";
import { tag, wordOf } from "../words.js";
import { waitsFor } from "./queue.js";

const PAGE = 50;
const MOST_RUNNING = 20;
const STATUSES = ["queued", "running", "succeeded", "failed", "timed_out", "crashed", "cancelled"];
const RESUMABLE = ["crashed", "failed", "timed_out", "cancelled"];

export const jobs = {
  id: "jobs",
  title: "Jobs",
  badge: ({ status: { counts } }) =>
    counts.crashed > 0
      ? { count: counts.crashed, noun: "crashed", tone: "bad" }
      : { count: counts.running, noun: "running" },
  read: ({ query }) =>
    read("/api/jobs", { limit: PAGE, status: query.status, repo: query.repo, cursor: query.cursor }),
  show(model, route) {
    const { status, repo } = route.query;
    return [
      model.data &&
        !status &&
        !repo &&
        section(
          "running",
          "Running",
          { note: plural(model.data.jobs.total, "job") },
          running(model.data.jobs),
        ),
      section(
        "jobs",
        "All jobs",
        { tools: narrow(route) },
        own((list) => listed(list, route)),
      ),
      model.data &&
        section(
          "reattachment",
          "What the last recovery made of running jobs",
          {},
          reattachment(model.data.jobs.reattachment),
        ),
    ];
  },
};

function running({ jobs: all, total }) {
  if (all.length === 0) return nothing("None runs.");
  return table(
    "Running jobs",
    [
      {
        title: "Job",
        cell: (j) => [
          link(to("jobs", j.job_id), j.job_id),
          j.attempt > 1 && h("span", { class: "aside" }, ` try ${j.attempt}`),
        ],
      },
      {
        title: "Liveness",
        cell: (j) => [
          j.status === "running" ? tag(j.liveness) : tag(j.status),
          j.reattached && h("span", { class: "aside" }, " re-attached"),
        ],
      },
      {
        title: "Heartbeat",
        cell: (j) =>
          j.freshness
            ? [tag(j.freshness), h("span", { class: "aside" }, ` ${duration(j.heartbeat_age_ms)}`)]
            : "–",
      },
      { title: "Since", cell: (j) => when(j.started_at) },
      { title: "Repository", cell: (j) => j.repository && link(to("locks", j.repository), j.repository) },
      { title: "Process", kind: "number", cell: (j) => j.pid && String(j.pid) },
      { title: "Memory", kind: "number", cell: (j) => bytes(j.memory_bytes) },
      { title: "", kind: "acts", cell: (j) => acts(j) },
    ],
    all,
    { key: (j) => j.job_id, most: MOST_RUNNING, total },
  );
}

function narrow({ query }) {
  const select = h(
    "select",
    { id: "narrow-status", "data-narrows": true, "data-own": true },
    h("option", { value: "" }, "every status"),
    STATUSES.map((s) => h("option", { value: s, selected: s === query.status }, wordOf(s))),
  );
  const repository = h("input", {
    id: "narrow-repo",
    type: "search",
    value: query.repo ?? null,
    "data-own": true,
    placeholder: "any",
    spellcheck: "false",
  });
  const go = () =>
    (location.hash = to("jobs", null, { status: select.value, repo: repository.value.trim() }));
  select.addEventListener("change", go);
  repository.addEventListener("change", go);
  // With another address they are other fields, which say what that one says.
  const key = `narrow-${query.status ?? ""}-${query.repo ?? ""}`;
  return h(
    "div",
    { class: "narrow", key },
    h("label", { for: "narrow-status" }, "Status"),
    select,
    h("label", { for: "narrow-repo" }, "Repository"),
    repository,
  );
}

function listed(list, { query }) {
  if (list.jobs.length === 0)
    return nothing(
      query.status || query.repo ? "No jobs match." : "No job was submitted yet.",
      query.status || query.repo ? null : "recoveryctl submit -- COMMAND",
    );
  const resumable = list.jobs.filter((j) => RESUMABLE.includes(j.status)).map((j) => j.job_id);
  const all = RESUMABLE.includes(query.status) && resumable.length > 1 && mayChange();
  return [
    h(
      "p",
      { class: "aside" },
      plural(list.total, "job"),
      list.total > list.jobs.length && `, ${count(list.jobs.length)} of them on this page`,
    ),
    all &&
      h(
        "p",
        null,
        button(`Resume the ${resumable.length} on this page`, () => resumeJobs(resumable)),
      ),
    table(
      "Jobs, in the order of their submission",
      [
        {
          title: "Job",
          cell: (j) => [
            link(to("jobs", j.job_id), j.job_id),
            j.title && h("span", { class: "aside" }, " ", name(j.title)),
          ],
        },
        {
          title: "Status",
          cell: (j) => [tag(j.status), j.attempt > 1 && h("span", { class: "aside" }, ` try ${j.attempt}`)],
        },
        { title: "Repository", cell: (j) => j.repository && link(to("locks", j.repository), j.repository) },
        { title: "Submitted", cell: (j) => when(j.submitted_at) },
        {
          title: "Ran",
          kind: "number",
          cell: (j) =>
            j.started_at && j.finished_at
              ? duration(Date.parse(j.finished_at) - Date.parse(j.started_at))
              : "–",
        },
        { title: "Note", kind: "wide", cell: note },
        { title: "", kind: "acts", cell: acts },
      ],
      list.jobs,
      { key: (j) => j.job_id },
    ),
    pager(
      list,
      { isAway: Boolean(query.cursor), href: to("jobs", null, { ...query, cursor: null }) },
      (cursor) => to("jobs", null, { ...query, cursor }),
    ),
  ];
}

/** What is to be said about a job in a few words. */
export function note(job) {
  if (job.status === "queued") return waitsFor(job);
  if (job.reason) return sentence(job.reason);
  if (job.signal) return `ended by signal ${job.signal}`;
  return job.exit_code ? `exit status ${job.exit_code}` : "–";
}

/** What can be done with a job. */
export function acts(job) {
  if (!mayChange()) return " ";
  if (["queued", "running"].includes(job.status))
    return [button("Cancel", () => cancelJob(job.job_id), { about: job.job_id }), offeredTo(job)];
  return [
    RESUMABLE.includes(job.status)
      ? button("Resume", () => resumeJobs([job.job_id]), { about: job.job_id })
      : " ",
    offeredTo(job),
  ];
}

function reattachment(last) {
  if (!last.recovery_id) return nothing("There was no recovery yet.");
  return facts(
    ["When", when(last.at)],
    ["Found running", count(last.found)],
    ["Re-attached", count(last.reattached)],
    ["Ended meanwhile", count(last.finished_while_away)],
    ["Crashed", count(last.crashed)],
    ["Unknown", count(last.unknown)],
    ["Took", duration(last.duration_ms)],
  );
}
