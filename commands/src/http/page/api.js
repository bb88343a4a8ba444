// Asking the daemon. The token is kept for this tab only and goes into a header, never into an address.

const KEPT_AS = "recoveryctl-token";
/** A read that takes longer is given up; a change may take its time. */
const READ_TIME_MS = 20_000;
/** So many answers are remembered, so that those which have not changed are not sent again. */
const REMEMBERED = 24;

/** Where the daemon is: a proxy may offer it below a path of its own. */
const BASE = new URL("..", import.meta.url);

const remembered = new Map();
let role = null;

/** The daemon refused: what it said, as application/problem+json. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `status ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

/** Nobody answered. */
export class Unreachable extends Error {}

export const token = {
  get: () => sessionStorage.getItem(KEPT_AS),
  keep: (value) => sessionStorage.setItem(KEPT_AS, value),
  forget() {
    sessionStorage.removeItem(KEPT_AS);
    remembered.clear();
    role = null;
  },
};

/** Whether changes are refused anyway: the token is a viewer's. Unknown before the first answer. */
export function mayChange() {
  return role === "admin";
}

/** An address, with what is given in its query. */
export function address(path, query = {}) {
  const given = Object.entries(query).filter(
    ([, value]) => value !== null && value !== undefined && value !== "",
  );
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text ? `${path}?${text}` : path;
}

/** Sends a request with the token to a path from the root of the daemon; the response, whatever its status. Throws `Unreachable`, or `Refused` after too long. */
export async function send(method, target, { headers = {}, body, signal } = {}) {
  try {
    const response = await fetch(new URL(target.slice(1), BASE), {
      method,
      headers: { Authorization: `Bearer ${token.get() ?? ""}`, ...headers },
      body,
      signal,
      // Answers hold names and evidence: nothing of them goes to the browser's disk.
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
    role = response.headers.get("recoveryctl-role") ?? role;
    return response;
  } catch (error) {
    if (signal?.aborted && error.name === "AbortError") throw error;
    // Somebody is there, but waits for a disk, perhaps: that is not a lost connection.
    if (error.name === "TimeoutError")
      throw new Refused(504, {
        title: "no answer in time",
        detail: `there was no answer within ${READ_TIME_MS / 1000} s`,
      });
    throw new Unreachable("the daemon cannot be reached");
  }
}

/** Reads a report. */
export async function read(path, query) {
  const target = address(path, query);
  const known = remembered.get(target);
  const headers = known ? { "If-None-Match": known.tag } : {};
  const response = await send("GET", target, { headers, signal: AbortSignal.timeout(READ_TIME_MS) });
  if (response.status === 304 && known) return known.report;
  const report = await reportOf(response);
  remember(target, response.headers.get("etag"), report);
  return report;
}

function remember(target, tag, report) {
  remembered.delete(target);
  if (tag) remembered.set(target, { tag, report });
  if (remembered.size > REMEMBERED) remembered.delete(remembered.keys().next().value);
}

async function reportOf(response) {
  let document;
  try {
    document = await response.json();
  } catch {
    if (response.ok) throw new Unreachable("the answer broke off");
    document = {};
  }
  if (!response.ok) throw new Refused(response.status, document);
  return document;
}

/**
 * Changes something. A request of `{method, path, query, body}` that is sent again with the same key is not done
 * twice.
 */
export async function change(request, { key, rehearse = false } = {}) {
  const target = address(request.path, { ...request.query, dry_run: rehearse ? true : null });
  const headers = key ? { "Idempotency-Key": key } : {};
  let body;
  if (request.body) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(request.body);
  }
  return reportOf(await send(request.method, target, { headers, body }));
}

/** A key that nobody else has. `crypto.randomUUID` is only there over https and on this machine. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
