// What can be changed, each as the command that it is.

import { confirm } from "./dialog.js";
import { h } from "./dom.js";
import { bytes, plural } from "./format.js";
import { evidence, name, sentence } from "./parts.js";
import { tag } from "./words.js";

const post = (path, body) => ({ method: "POST", path, body });
const part = encodeURIComponent;
const says = (...text) => h("p", null, text);
const because = ({ reason }) => (reason ? { reason } : {});

/** A list of what was refused. */
function refusals(refused = []) {
  return refused.length > 0 && h("ul", { class: "evidence bad" }, refused.map((one) => h("li", null, name(one.job_id ?? one.object ?? one.delivery_id), ": ", sentence(one.detail ?? one.error))));
}

export function skipPhase(phase) {
  confirm({
    title: ["Skip the phase ", name(phase)],
    doing: "Skip the phase",
    about: says("The recovery passes it over, now or when it comes to it. What it would have restored is not restored, and what waits for it begins. It can be tried again later."),
    line: () => ({ words: ["skip"], free: [phase] }),
    request: (given) => post("/api/admin/recovery/skip-phase", { phase, ...because(given) }),
    rehearses: true,
    told: (r) => says(r.accepted ? (r.dry_run ? "It would be passed over; it is " : "It is passed over; it was ") : "It is over already: it ", tag(r.was), "."),
  });
}

export function retryPhase(phase) {
  confirm({
    title: ["Try the phase ", name(phase), " again"],
    doing: "Try it again",
    about: says("It runs again, and then what waits for it. Others keep how they ended."),
    line: () => ({ words: ["retry", "phase"], free: [phase] }),
    request: (given) => post("/api/admin/startup/retry", { component: phase, ...because(given) }),
    rehearses: true,
    told: (r) => [says(name(r.component), ": ", tag(r.status), r.message && [" – ", sentence(r.message)]), r.waited?.length > 0 && says("Behind it: ", r.waited.map((w, n) => [n > 0 && ", ", name(w.phase)]))],
  });
}

export function leaveSafeMode() {
  confirm({
    title: "Leave safe mode",
    doing: "Leave safe mode",
    about: says("You say that the cause of the crash loop is gone. The next start recovers and takes jobs again."),
    line: () => ({ words: ["startup", "clear"] }),
    request: (given) => post("/api/admin/startup/clear", because(given)),
    rehearses: true,
    told: (r) => [says(r.was_safe_mode ? (r.dry_run ? "Safe mode would be left." : "Safe mode is left; restart the daemon.") : "It is not in safe mode."), evidence(r.because)],
  });
}

/** Of a lock as reports have it. */
export function releaseLock(lock, force = false) {
  const id = lock.lock_id;
  const words = ["release", ...(id ? ["--id", id] : []), ...(force ? ["--force"] : [])];
  confirm({
    title: [force ? "Release by force the lock of " : "Release the lock of ", name(lock.repository)],
    doing: force ? "Release by force" : "Release the lock",
    about: force
      ? says("Its holder may still work on the repository: two would then work on it at a time. Only when you know that nobody does.")
      : says("The repository is given back in its holder's stead, when the holder is proven to be gone. Whoever waits for it gets it."),
    line: () => ({ words, free: [lock.repository] }),
    request: ({ reason }) => ({ method: "DELETE", path: `/api/admin/locks/${part(lock.repository)}`, query: { id, force: force || null, reason } }),
    rehearses: true,
    typed: force ? lock.repository : null,
    harder: force ? null : { opens: "Release by force …", reopen: () => releaseLock(lock, true) },
    told: (r) => [says(r.dry_run ? "It would be given back." : "It is given back."), r.breaks?.length > 0 && h("ul", { class: "evidence bad" }, r.breaks.map((b) => h("li", null, sentence(b)))), evidence(r.evidence)],
  });
}

export function releaseStale() {
  confirm({
    title: "Release the locks of dead holders",
    doing: "Release them",
    about: says("Only locks whose holder is proven to be gone. Whatever cannot be judged stays."),
    line: () => ({ words: ["locks", "detect-stale", "--release"] }),
    request: (given) => post("/api/admin/locks/detect-stale", { release: true, ...because(given) }),
    rehearses: true,
    told: (r) => [
      says(`${plural(r.stale.length, "lock")} of dead holders, ${r.live} live, ${r.unknown.length} unknown.`),
      evidence(r.stale.map((s) => `${s.repository}: ${s.holder ?? "unknown holder"}${s.released ? ", released" : ""}`)),
    ],
  });
}

export function resumeJobs(ids) {
  confirm({
    title: ids.length === 1 ? ["Resume the job ", name(ids[0])] : `Resume ${ids.length} jobs`,
    doing: "Resume",
    about: says("The next attempt is queued. It goes on from the job's checkpoint when there is one."),
    options: [{ id: "fresh", label: "Begin anew, without the checkpoint" }],
    line: ({ fresh }) => ({ words: ["resume", ...(fresh ? ["--fresh"] : [])], free: ids }),
    request: ({ fresh, ...given }) => post("/api/admin/recovery/jobs/resume", { job_ids: ids, ...(fresh ? { fresh } : {}), ...because(given) }),
    rehearses: true,
    told: (r) => [
      h("ul", { class: "evidence" }, r.resumed.slice(0, 20).map((j) => h("li", null, name(j.job_id), `: attempt ${j.attempt}, ${j.from_checkpoint ? "from its checkpoint" : "from the start"}`)), r.resumed.length > 20 && h("li", null, `${r.resumed.length - 20} more`)),
      refusals(r.refused),
    ],
  });
}

export function cancelJob(id) {
  confirm({
    title: ["Cancel the job ", name(id)],
    doing: "Cancel the job",
    about: says("A job that waits does not start; one that runs is ended, first asked and then killed, with all that it has started. It can be resumed later."),
    line: () => ({ words: ["jobs", "cancel"], free: [id] }),
    request: (given) => post(`/api/jobs/${part(id)}/cancel`, because(given)),
    rehearses: true,
    told: (r) => [r.cancelled.length > 0 && says(r.cancelled.map((c) => name(c.job_id ?? c)), r.dry_run ? " would be cancelled." : " is cancelled."), refusals(r.refused)],
  });
}

export function retryCleanup(cleanup) {
  confirm({
    title: ["Try the cleanup ", name(cleanup.cleanup_id), " again"],
    doing: "Try it again",
    about: says("Its failed phases are tried again, as soon as the daemon comes to it."),
    line: () => ({ words: ["retry", "cleanup"], free: [cleanup.cleanup_id] }),
    request: (given) => post("/api/admin/cleanup/retry", { cleanup_id: cleanup.cleanup_id, ...because(given) }),
    told: () => says("It is tried again."),
  });
}

export function scanOrphans() {
  confirm({
    title: "Look for orphans",
    doing: "Scan",
    about: says("Nothing is removed: what nobody owns any more is listed with the evidence, as a new plan."),
    line: () => ({ words: ["scan"] }),
    request: (given) => post("/api/admin/orphans/scan", because(given)),
    told: (r) => says(`${plural(r.candidates_total, "candidate")}, ${r.protected_total} of them protected; ${bytes(r.bytes_total)} can be freed.`),
  });
}

/** Some candidates of a plan, or all that are safe. */
export function cleanOrphans(planId, candidates) {
  const ids = candidates.map((c) => c.id);
  confirm({
    title: candidates.length === 1 ? ["Remove ", name(candidates[0].object)] : `Remove ${candidates.length} orphans`,
    doing: "Remove",
    about: [says("Each check is made anew right before. Folders go to the trash, from where they can be restored for a while; what is of Docker, and processes, cannot be brought back.")],
    line: () => ({ words: ["orphans", "cleanup", "--plan", planId, ...ids.flatMap((id) => ["--id", id])] }),
    request: (given) => post("/api/admin/orphans/cleanup", { plan_id: planId, ids, ...because(given) }),
    rehearses: true,
    typed: candidates.length === 1 ? candidates[0].object.replace(/^[^:]*:/, "") : `remove ${candidates.length}`,
    told: (r) => [
      says(`${plural(r.removed.length, "orphan")} ${r.dry_run ? "would be" : r.removed.length === 1 ? "is" : "are"} removed, ${bytes(r.bytes_freed)}.`),
      h("ul", { class: "evidence" }, r.removed.slice(0, 20).map((one) => h("li", null, name(one.object), `, ${bytes(one.bytes_freed)}`)), r.removed.length > 20 && h("li", null, `${r.removed.length - 20} more`)),
      refusals(r.refused),
      refusals(r.failed),
    ],
  });
}

/** Some deliveries, or all that are parked. */
export function retryWebhooks(ids) {
  confirm({
    title: ids ? (ids.length === 1 ? "Send the delivery again" : `Send ${ids.length} deliveries again`) : "Send all parked deliveries again",
    doing: "Send again",
    about: says("With the same id as before: a receiver that has it already can tell."),
    line: () => ({ words: ["retry", "webhook", ...(ids ? [] : ["--all-parked"])], free: ids ?? [] }),
    request: (given) => post("/api/admin/webhooks/retry", { ...(ids ? { delivery_ids: ids } : { all_parked: true }), ...because(given) }),
    rehearses: true,
    told: (r) => [says(`${plural(r.retried.length, "delivery", "deliveries")} ${r.dry_run ? "would be" : "will be"} sent again.`), refusals(r.refused)],
  });
}
