// Actions on a recovery and on startups.

import { confirm } from "../dialog.js";
import { h } from "../dom.js";
import { evidence, name, sentence } from "../parts.js";
import { tag } from "../words.js";
import { because, post, refusals, says } from "./pieces.js";

export function skipPhase(phase) {
  confirm({
    title: ["Skip the phase ", name(phase)],
    doing: "Skip the phase",
    about: says(
      "The recovery passes it over, now or when it comes to it. What it would have restored is not restored, and what waits for it begins. It can be tried again later.",
    ),
    line: () => ({ words: ["skip"], free: [phase] }),
    request: (given) => post("/api/admin/recovery/skip-phase", { phase, ...because(given) }),
    rehearses: true,
    told: (r) =>
      says(
        r.accepted
          ? r.dry_run
            ? "It would be passed over; it is "
            : "It is passed over; it was "
          : "It has already ended: it ",
        tag(r.was),
        ".",
      ),
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
    told: (r) => [
      says(name(r.component), ": ", tag(r.status), r.message && [" – ", sentence(r.message)]),
      r.waited?.length > 0 &&
        says(
          "Behind it: ",
          r.waited.map((w, n) => [n > 0 && ", ", name(w.phase)]),
        ),
    ],
  });
}

/** Says that a loss was seen. */
export function acknowledge(id) {
  confirm({
    title: ["Acknowledge the loss ", name(id)],
    doing: "Acknowledge it",
    about: says(
      "It is told no more. Who acknowledged it, when and why stays on the list and in the audit trail.",
    ),
    reason: "seen",
    line: () => ({ words: ["findings", "ack"], free: [id] }),
    request: (given) => post("/api/admin/findings/ack", { ids: [id], ...because(given) }),
    told: (r) => [
      h(
        "ul",
        { class: "evidence" },
        r.acknowledged.map((f) => h("li", null, name(f.object), ": ", sentence(f.sentence))),
      ),
      refusals(r.refused),
    ],
  });
}

export function leaveSafeMode() {
  confirm({
    title: "Leave safe mode",
    doing: "Leave safe mode",
    about: says(
      "You say that the cause of the crash loop is gone. The daemon recovers then and takes jobs again.",
    ),
    line: () => ({ words: ["startup", "clear"] }),
    request: (given) => post("/api/admin/startup/clear", because(given)),
    rehearses: true,
    told: (r) => [
      says(
        r.was_safe_mode
          ? r.dry_run
            ? "Safe mode would be left: the daemon would recover and start jobs again."
            : "Safe mode is left: the daemon recovers and starts jobs again."
          : "It is not in safe mode.",
      ),
      evidence(r.because),
    ],
  });
}
