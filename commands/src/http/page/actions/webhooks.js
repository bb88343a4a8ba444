// Actions on deliveries.

import { confirm } from "../dialog.js";
import { plural } from "../format.js";
import { because, post, refusals, says } from "./pieces.js";

/** Some deliveries, or all that are parked. */
export function retryWebhooks(ids) {
  confirm({
    title: ids
      ? ids.length === 1
        ? "Send the delivery again"
        : `Send ${ids.length} deliveries again`
      : "Send all parked deliveries again",
    doing: "Send again",
    about: says("With the same id as before: a receiver that has it already can tell."),
    line: () => ({ words: ["retry", "webhook", ...(ids ? [] : ["--all-parked"])], free: ids ?? [] }),
    request: (given) =>
      post("/api/admin/webhooks/retry", {
        ...(ids ? { delivery_ids: ids } : { all_parked: true }),
        ...because(given),
      }),
    rehearses: true,
    told: (r) => [
      says(
        `${plural(r.retried.length, "delivery", "deliveries")} ${r.dry_run ? "would be" : "will be"} sent again.`,
      ),
      refusals(r.refused),
    ],
  });
}
