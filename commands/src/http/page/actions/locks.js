// Actions on repository locks.

import { confirm } from "../dialog.js";
import { h } from "../dom.js";
import { plural } from "../format.js";
import { evidence, name, sentence } from "../parts.js";
import { because, part, post, says } from "./pieces.js";

/** Of a lock as reports have it. */
export function releaseLock(lock, force = false) {
  const id = lock.lock_id;
  const words = ["release", ...(id ? ["--id", id] : []), ...(force ? ["--force"] : [])];
  confirm({
    title: [force ? "Release by force the lock of " : "Release the lock of ", name(lock.repository)],
    doing: force ? "Release by force" : "Release the lock",
    about: force
      ? says(
          "Its holder may still work on the repository: two would then work on it at a time. Only when you know that nobody does.",
        )
      : says(
          "The repository is given back in its holder's stead, when the holder is proven to be gone. The next in line gets it.",
        ),
    line: () => ({ words, free: [lock.repository] }),
    request: ({ reason }) => ({
      method: "DELETE",
      path: `/api/admin/locks/${part(lock.repository)}`,
      query: { id, force: force || null, reason },
    }),
    rehearses: true,
    typed: force ? lock.repository : null,
    harder: force ? null : { opens: "Release by force …", reopen: () => releaseLock(lock, true) },
    told: (r) => [
      says(
        r.dry_run ? "It would be given back" : "It is given back",
        r.effective === "now" ? "." : ", in effect when its holder's process lets go of it.",
      ),
      r.breaks?.length > 0 &&
        h(
          "ul",
          { class: "evidence bad" },
          r.breaks.map((b) => h("li", null, sentence(b))),
        ),
      evidence(r.evidence),
    ],
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
      evidence(
        r.stale.map(
          (s) => `${s.repository}: ${s.holder ?? "unknown holder"}${s.released ? ", released" : ""}`,
        ),
      ),
    ],
  });
}
