// Commands that reports name, with a button where the page can do them.

import { resumeJobs } from "./actions/jobs.js";
import { retryCleanup, scanOrphans } from "./actions/leftovers.js";
import { acknowledge, leaveSafeMode, retryPhase, skipPhase } from "./actions/recovery.js";
import { mayChange } from "./api.js";
import { button, command } from "./parts.js";

/** A command that a report names, with a button that does it where the page can. */
export function next(text) {
  const offer = mayChange() ? offered(text) : null;
  return [command(text), offer && [" ", button(offer.title, offer.act, { about: text })]];
}

/** The button for a command that a report names, when it is one of these; else the command is only shown. */
function offered(line) {
  const words = line.split(" ");
  // With the reason that stands in the dialog.
  if (/^recoveryctl findings ack [0-9a-z]+ --reason seen$/.test(line))
    return { title: "Acknowledge", act: () => acknowledge(words[3]) };
  if (
    words.shift() !== "recoveryctl" ||
    !words.every((word) => /^[A-Za-z0-9_.@/-]+$/.test(word) && !word.startsWith("-"))
  )
    return null;
  const [, second, third] = words;
  const is = (...wanted) =>
    words.length === wanted.length && wanted.every((word, n) => word === null || word === words[n]);
  if (is("resume", null)) return { title: "Resume", act: () => resumeJobs([second]) };
  if (is("skip", null)) return { title: "Skip", act: () => skipPhase(second) };
  if (is("retry", "phase", null)) return { title: "Retry", act: () => retryPhase(third) };
  if (is("startup", "clear")) return { title: "Leave safe mode", act: leaveSafeMode };
  if (is("scan")) return { title: "Scan", act: scanOrphans };
  return is("retry", "cleanup", null)
    ? { title: "Retry", act: () => retryCleanup({ cleanup_id: third }) }
    : null;
}
