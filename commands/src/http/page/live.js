// What is known, and when it is read again. Events say that something has changed; the reports say what. At most one
// read of the whole is under way, at least a second lies between two, and a tab that nobody sees asks nothing.

import { Refused, Unreachable, read } from "./api.js";
import { HeldBack, follow } from "./events.js";

const DASHBOARD = "/api/admin/recovery/dashboard-data";
const BETWEEN_MS = 1000;
/** Heartbeats and files change without an event. */
const AT_LEAST_EVERY_MS = 5000;
const PAUSES_MS = [1000, 2000, 4000, 8000, 15_000, 30_000];
/** Where events are held back on the way, they are asked for so often. */
const HELD_BACK_MS = 60_000;

/** All that is shown is made of this. */
export const model = {
  /** The last answer, and when it came. */
  data: null,
  at: null,
  /** The recovery as events tell it, newer than the answer. */
  recovery: null,
  /** What the view has read for itself: `{of, report, problem}`. */
  own: null,
  /** Why the last answer was none, though somebody answered. */
  problem: null,
  /** Nobody answers: since when, why, and when it is tried again. */
  lost: null,
  /** No events come, though reports do: they are asked for again and again. */
  heldBack: false,
  tries: 0,
};

let changed = () => {};
let signedOut = () => {};
let ownReader = () => null;

let session = null;
let timer = null;
let isReading = false;
let readAt = 0;
let wakeUp = () => {};

/** Begins. `show` is called when the model has changed, `door` when the token does not count. */
export function begin({ show, door, own }) {
  [changed, signedOut, ownReader] = [show, door, own];
  document.addEventListener("visibilitychange", () => (document.hidden ? pause() : resume()));
  addEventListener("online", tryNow);
}

/** Asks, from now on. */
export function resume() {
  if (session || document.hidden) return;
  session = new AbortController();
  listen(session.signal);
}

/** Asks nothing any more. */
export function pause() {
  session?.abort();
  session = null;
  clearTimeout(timer);
  timer = null;
}

/** Forgets everything. */
export function end() {
  pause();
  Object.assign(model, {
    data: null,
    at: null,
    recovery: null,
    own: null,
    problem: null,
    lost: null,
    tries: 0,
  });
}

/** Reads as soon as it may be. */
export function refresh() {
  if (!session || model.lost) return;
  plan(Math.max(0, readAt + BETWEEN_MS - Date.now()));
}

/** Does not wait for the pause to end. */
export function tryNow() {
  wakeUp();
}

/** Whether what is shown may have changed since. */
export function isOld() {
  return Boolean(model.lost || model.problem);
}

async function listen(signal) {
  while (!signal.aborted) {
    try {
      await follow(signal, opened, heard);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused && error.status === 401) return signedOut();
      if (error instanceof HeldBack) {
        model.heldBack = true;
        // From now on the clock says when to read, until events come.
        plan(0);
        changed();
        await pauseFor(signal, HELD_BACK_MS);
        continue;
      }
      lose(error);
    }
    await pauseFor(signal, Math.max(0, (model.lost?.nextAt ?? 0) - Date.now()));
  }
}

function opened() {
  model.heldBack = false;
  // Only an answer shows that what is shown is of now.
  plan(0);
}

function heard(kind, data) {
  if (kind === "recovery") {
    model.recovery = data;
    changed();
  }
  if (kind !== "begin") refresh();
}

function lose(error) {
  clearTimeout(timer);
  timer = null;
  const pause = PAUSES_MS[Math.min(model.tries, PAUSES_MS.length - 1)];
  model.tries += 1;
  const since = model.lost?.since ?? new Date();
  model.lost = { since, why: error.message, nextAt: Date.now() + pause };
  changed();
}

function pauseFor(signal, ms) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(waits);
      resolve();
    };
    const waits = setTimeout(done, ms);
    wakeUp = done;
    signal.addEventListener("abort", done, { once: true });
  });
}

/** The next read; an earlier one that is planned stays. */
function plan(ms) {
  const due = Date.now() + ms;
  if (timer !== null && plan.due <= due) return;
  clearTimeout(timer);
  plan.due = due;
  timer = setTimeout(round, ms);
}

async function round() {
  timer = null;
  if (isReading) return plan(BETWEEN_MS);
  const of = session;
  isReading = true;
  readAt = Date.now();
  try {
    const data = await read(DASHBOARD);
    if (of !== session) return;
    Object.assign(model, { data, at: new Date(), problem: null, lost: null, tries: 0, recovery: null });
    changed();
    await readOwn();
  } catch (error) {
    if (of === session) failed(error);
  } finally {
    isReading = false;
    if (of === session && of && !model.lost) plan(AT_LEAST_EVERY_MS);
  }
}

function failed(error) {
  if (error instanceof Refused && error.status === 401) return signedOut();
  if (error instanceof Refused) {
    model.problem = error.problem;
    model.lost = null;
    return changed();
  }
  if (!(error instanceof Unreachable)) throw error;
  // The stream is begun anew: whether anybody is there is decided in one place.
  lose(error);
  session?.abort();
  session = new AbortController();
  const { signal } = session;
  const pause = Math.max(0, (model.lost?.nextAt ?? 0) - Date.now());
  pauseFor(signal, pause).then(() => !signal.aborted && listen(signal));
}

/** Reads what the view shows besides. */
async function readOwn() {
  const of = location.hash;
  const reading = ownReader();
  if (!reading) {
    model.own = null;
    return;
  }
  const own = { of, report: null, problem: null };
  try {
    own.report = await reading;
  } catch (error) {
    if (!(error instanceof Refused) || error.status === 401) throw error;
    own.problem = error.problem;
  }
  // The reader may have gone elsewhere meanwhile.
  if (of !== location.hash) return;
  model.own = own;
  changed();
}

/** The view is another one: what it shows is read at once. */
export function turned() {
  if (model.own?.of !== location.hash) model.own = null;
  if (!session || model.lost) return;
  readOwn().catch(failed);
}
