// Actions on jobs.

import { confirm } from "../dialog.js";
import { h } from "../dom.js";
import { name } from "../parts.js";
import { because, part, post, refusals, says } from "./pieces.js";

export function resumeJobs(ids) {
  confirm({
    title: ids.length === 1 ? ["Resume the job ", name(ids[0])] : `Resume ${ids.length} jobs`,
    doing: "Resume",
    about: says("The next attempt is queued. It goes on from the job's checkpoint when there is one."),
    options: [{ id: "fresh", label: "Begin anew, without the checkpoint" }],
    line: ({ fresh }) => ({ words: ["resume", ...(fresh ? ["--fresh"] : [])], free: ids }),
    request: ({ fresh, ...given }) =>
      post("/api/admin/recovery/jobs/resume", {
        job_ids: ids,
        ...(fresh ? { fresh } : {}),
        ...because(given),
      }),
    rehearses: true,
    told: (r) => [
      h(
        "ul",
        { class: "evidence" },
        r.resumed
          .slice(0, 20)
          .map((j) =>
            h(
              "li",
              null,
              name(j.job_id),
              `: attempt ${j.attempt}, ${j.from_checkpoint ? "from its checkpoint" : "from the start"}`,
            ),
          ),
        r.resumed.length > 20 && h("li", null, `${r.resumed.length - 20} more`),
      ),
      refusals(r.refused),
    ],
  });
}

export function cancelJob(id) {
  confirm({
    title: ["Cancel the job ", name(id)],
    doing: "Cancel the job",
    about: says(
      "A job that waits does not start; one that runs is ended, first asked and then killed, with all that it has started. It can be resumed later.",
    ),
    line: () => ({ words: ["jobs", "cancel"], free: [id] }),
    request: (given) => post(`/api/jobs/${part(id)}/cancel`, because(given)),
    rehearses: true,
    told: (r) => [
      r.cancelled.length > 0 &&
        says(
          r.cancelled.map((c) => name(c.job_id ?? c)),
          r.dry_run ? " would be cancelled." : " is cancelled.",
        ),
      refusals(r.refused),
    ],
  });
}
