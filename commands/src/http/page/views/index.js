// The views, in the order of their tabs. A view has `show(model, route)`, and `read(route)` for what it shows besides
// the dashboard's data; `badge(data)` is what its tab counts.

import { cleanup } from "./cleanup.js";
import { job } from "./job.js";
import { jobs } from "./jobs.js";
import { locks } from "./locks.js";
import { orphans } from "./orphans.js";
import { overview } from "./overview.js";
import { queue } from "./queue.js";
import { startup } from "./startup.js";
import { webhooks } from "./webhooks.js";

export const VIEWS = [overview, queue, jobs, locks, cleanup, orphans, webhooks, startup].map((view, n) => ({ ...view, key: String(n + 1) }));

/** The view of an address; the overview for one that is none. */
export function viewOf({ view, id }) {
  if (view === "jobs" && id !== null) return job;
  return VIEWS.find((one) => one.id === view) ?? VIEWS[0];
}
