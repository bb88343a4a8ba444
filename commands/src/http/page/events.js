// Server-Sent Events over fetch: EventSource cannot send the token. One stream, resumed where it broke off.

import { Refused, Unreachable, read, send } from "./api.js";

/** The daemon says at least every 15 s that it lives; after so long without a word the stream is given up. */
const SILENCE_MS = 40_000;
/** The head of the answer and its first bytes come at once, unless something on the way holds them back. */
const FIRST_MS = 3000;

/** A proxy, most likely, keeps the events to itself: everything else is answered. */
export class HeldBack extends Error {
  constructor() {
    super("events are held back on the way");
  }
}

let lastId = null;

/**
 * Follows the stream until it ends, calling `opened()` and `event(kind, data)`.
 * Throws `Unreachable` when it breaks off, `Refused` when it is not given, `HeldBack` when nothing comes of it,
 * AbortError when `signal` says so.
 */
export async function follow(signal, opened, event) {
  const headers = { Accept: "text/event-stream", ...(lastId === null ? {} : { "Last-Event-ID": lastId }) };
  const own = new AbortController();
  const either = AbortSignal.any([signal, own.signal]);
  const asked = send("GET", "/api/admin/events", { headers, signal: either });
  const response = await within(FIRST_MS, asked, () => new HeldBack()).catch((error) => {
    own.abort();
    asked.catch(() => {});
    throw error;
  });
  if (!response.ok) throw new Refused(response.status, await response.json().catch(() => ({})));
  const parser = new Parser((message) => {
    if (message.id !== null) lastId = message.id;
    event(message.kind, message.data);
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const silent = () => new Unreachable("the daemon is silent");
  try {
    for (let isFirst = true; ; isFirst = false) {
      const next = isFirst ? within(FIRST_MS, reader.read(), () => new HeldBack()) : within(SILENCE_MS, reader.read(), silent);
      const { done, value } = await next;
      if (done) throw new Unreachable("the daemon has ended the connection");
      if (isFirst) opened();
      parser.take(value);
    }
  } catch (error) {
    if (signal.aborted) throw error;
    reader.cancel().catch(() => {});
    own.abort();
    const isTold = error instanceof Unreachable || error instanceof HeldBack;
    throw isTold ? error : new Unreachable("the connection broke off");
  }
}

/** Whether the token opens the stream: the one answer that waits for no disk but the token's. Throws as `follow`. */
export async function knock() {
  const visit = new AbortController();
  const asked = send("GET", "/api/admin/events", { signal: visit.signal });
  const response = await within(FIRST_MS, asked, () => new HeldBack()).catch((error) => {
    visit.abort();
    asked.catch(() => {});
    if (error instanceof HeldBack) return null;
    throw error;
  });
  // Another answer says as much, where the disk lets it.
  if (!response) return void (await read("/api/admin/health"));
  const problem = response.ok ? null : await response.json().catch(() => ({}));
  visit.abort();
  if (problem) throw new Refused(response.status, problem);
}

/** Another daemon's numbers are not this one's. */
export function forget() {
  lastId = null;
}

function within(ms, promise, error) {
  let timer;
  const silence = new Promise((_, reject) => {
    timer = setTimeout(() => reject(error()), ms);
  });
  return Promise.race([promise, silence]).finally(() => clearTimeout(timer));
}

/** The lines of an event stream, as they come in parts. */
class Parser {
  constructor(emit) {
    this.emit = emit;
    this.rest = "";
    this.begin();
  }

  begin() {
    this.message = { id: null, kind: "message", data: [] };
  }

  take(text) {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop();
    lines.forEach((line) => this.line(line.replace(/\r$/, "")));
  }

  line(line) {
    if (line === "") return this.end();
    const colon = line.indexOf(":");
    if (colon === 0) return; // A sign of life.
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "id") this.message.id = value;
    else if (name === "event") this.message.kind = value;
    else if (name === "data") this.message.data.push(value);
  }

  end() {
    const { id, kind, data } = this.message;
    this.begin();
    if (data.length === 0) return;
    let parsed = null;
    try {
      parsed = JSON.parse(data.join("\n"));
    } catch {
      return; // It says that something has happened, at most; the next read shows it.
    }
    this.emit({ id, kind, data: parsed });
  }
}
