// What a status looks like: its word, a shape, a tone. Colour says nothing that word and shape do not say too.

import { h } from "./dom.js";

const SHAPES = { good: "✓", busy: "▶", wait: "○", warn: "▲", bad: "✕", off: "–", info: "•" };

const TONES = {
  // states
  healthy: "good",
  attention: "warn",
  degraded: "warn",
  unwatched: "warn",
  recovering: "busy",
  damaged: "bad",
  safe_mode: "bad",
  data_loss: "bad",
  // phases, recoveries, startups
  pending: "wait",
  running: "busy",
  succeeded: "good",
  failed: "bad",
  skipped: "off",
  blocked: "warn",
  completed: "good",
  aborted: "bad",
  cancelled: "off",
  // jobs
  queued: "wait",
  timed_out: "bad",
  crashed: "bad",
  // liveness, freshness, locks
  alive: "good",
  dead: "bad",
  unknown: "warn",
  fresh: "good",
  stale: "warn",
  live: "good",
  free: "off",
  kept: "good",
  released: "off",
  unavailable: "bad",
  // cleanups
  waiting: "wait",
  parked: "bad",
  done: "good",
  // deliveries and their endpoints
  in_flight: "busy",
  delivered: "good",
  retry: "warn",
  refused: "bad",
  discarded: "off",
  closed: "good",
  open: "bad",
  half_open: "warn",
  // orphans
  safe: "good",
  protected: "off",
  removed: "good",
  // severities
  info: "info",
  warning: "warn",
  error: "bad",
  critical: "bad",
};

/** The tone of a status. */
export function toneOf(status) {
  return TONES[status] ?? "info";
}

/** The shape of a status. */
export function shapeOf(status) {
  return SHAPES[toneOf(status)];
}

/** A status as words. */
export function wordOf(status) {
  return String(status).replaceAll("_", " ");
}

/** A status: shape and word. */
export function tag(status, word = wordOf(status)) {
  if (!status) return null;
  const shape = h("span", { class: "shape", "aria-hidden": "true" }, shapeOf(status));
  return h("span", { class: `tag ${toneOf(status)}` }, shape, h("bdi", null, word));
}
