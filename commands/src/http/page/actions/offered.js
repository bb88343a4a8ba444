// What operations offer to do with jobs: read from the daemon's own table, so an operation that is added is here, too.

import { send } from "../api.js";
import { confirm } from "../dialog.js";
import { button, name } from "../parts.js";
import { because, part, post, refusals, says } from "./pieces.js";

let offers = [];

/** Reads the table, once. Without it there are fewer buttons. */
export async function learnOffers() {
  try {
    const response = await send("GET", "/assets/offers.json");
    if (response.ok) offers = await response.json();
  } catch {
    offers = [];
  }
}

/** The buttons for a job. */
export function offeredTo(job) {
  return offers
    .filter((offer) => offer.statuses.includes(job.status))
    .map((offer) => [" ", button(offer.verb, () => carryOut(offer, job.job_id), { about: job.job_id })]);
}

function carryOut(offer, id) {
  const isInPath = offer.path.includes(`{${offer.ids}}`);
  confirm({
    title: [`${offer.verb} the job `, name(id)],
    doing: offer.verb,
    about: says(offer.does),
    line: () => ({ words: offer.words, free: [id] }),
    request: (given) =>
      isInPath
        ? post(offer.path.replace(`{${offer.ids}}`, part(id)), because(given))
        : post(offer.path, { [offer.ids]: [id], ...because(given) }),
    rehearses: offer.can_rehearse,
    told: (r) => [refusals(r.refused) || says(r.dry_run ? "It can be done." : "It is done.")],
  });
}
