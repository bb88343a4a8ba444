// Actions on what jobs left: cleanups and orphans.

import { confirm } from "../dialog.js";
import { h } from "../dom.js";
import { bytes, plural } from "../format.js";
import { name } from "../parts.js";
import { because, post, refusals, says } from "./pieces.js";

export function retryCleanup(cleanup) {
  confirm({
    title: ["Try the cleanup ", name(cleanup.cleanup_id), " again"],
    doing: "Try it again",
    about: says("Its failed phases are tried again, as soon as the daemon comes to it."),
    line: () => ({ words: ["retry", "cleanup"], free: [cleanup.cleanup_id] }),
    request: (given) =>
      post("/api/admin/cleanup/retry", { cleanup_id: cleanup.cleanup_id, ...because(given) }),
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
    told: (r) =>
      says(
        `${plural(r.candidates_total, "candidate")}, ${r.protected_total} of them protected; ${bytes(r.bytes_total)} can be freed.`,
      ),
  });
}

/** Some candidates of a plan, or all that are safe. */
export function cleanOrphans(planId, candidates) {
  const ids = candidates.map((c) => c.id);
  confirm({
    title:
      candidates.length === 1
        ? ["Remove ", name(candidates[0].object)]
        : `Remove ${candidates.length} orphans`,
    doing: "Remove",
    about: [
      says(
        "Each check is made anew right before. Folders go to the trash and can be restored from there for a while; removing what is of Docker, and ending processes, cannot be undone.",
      ),
    ],
    line: () => ({ words: ["orphans", "cleanup", "--plan", planId, ...ids.flatMap((id) => ["--id", id])] }),
    request: (given) => post("/api/admin/orphans/cleanup", { plan_id: planId, ids, ...because(given) }),
    rehearses: true,
    undo: true,
    typed:
      candidates.length === 1 ? candidates[0].object.replace(/^[^:]*:/, "") : `remove ${candidates.length}`,
    told: (r) => [
      says(
        `${plural(r.removed.length, "orphan")} ${r.dry_run ? "would be" : r.removed.length === 1 ? "is" : "are"} removed, ${bytes(r.bytes_freed)}.`,
      ),
      h(
        "ul",
        { class: "evidence" },
        r.removed.slice(0, 20).map((one) => h("li", null, name(one.object), `, ${bytes(one.bytes_freed)}`)),
        r.removed.length > 20 && h("li", null, `${r.removed.length - 20} more`),
      ),
      refusals(r.refused),
      refusals(r.failed),
    ],
  });
}
