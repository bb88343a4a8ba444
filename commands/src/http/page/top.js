// The head of the page: how the whole stands, what to do, the views; and whether all that is still true.

import { next } from "./offers.js";
import { name, sentence } from "./parts.js";
import { h, patch } from "./dom.js";
import { clock, count, plural } from "./format.js";
import { isOld, model, tryNow } from "./live.js";
import { mayChange } from "./api.js";
import { shapeOf, tag, toneOf, wordOf } from "./words.js";
import { VIEWS } from "./views/index.js";

const at = (id) => document.getElementById(id);

/** Shows the head for a view. */
export function showTop(view) {
  patch(at("where"), [where()]);
  patch(at("link"), connection());
  patch(at("standing"), standing());
  patch(at("views"), [
    h(
      "ul",
      null,
      VIEWS.map((one) => viewLink(one, view)),
    ),
  ]);
  showLost();
  announce();
  document.body.classList.toggle("old", isOld());
  document.body.classList.toggle("viewer", model.data !== null && !mayChange());
  document.title = `${model.lost ? "✕ connection lost" : stateTitle()} · recoveryctl`;
}

function stateTitle() {
  const state = model.data?.status.state;
  return state ? `${shapeOf(state)} ${wordOf(state)}` : "…";
}

function where() {
  const status = model.data?.status;
  if (!status) return h("span", null, location.host);
  return h("span", null, h("span", { class: "host" }, location.host), " ", name(status.state_dir, "path"));
}

function link() {
  if (model.problem) return tag("degraded", "no report");
  if (!model.heldBack) return tag("alive", "live");
  const why = "Something on the way, a proxy most likely, holds the events back: reports are asked for every 5 s.";
  return h("span", { title: why }, tag("waiting", "no events, asks every 5 s"));
}

function connection() {
  if (model.lost) return [tag("failed", "not connected")];
  if (!model.data && !model.problem) return [tag("pending", "connecting")];
  const role = mayChange()
    ? null
    : h("span", { class: "role", title: "this token may look, and change nothing" }, "view only");
  return [
    role,
    link(),
    model.at && h("span", { class: "aside" }, `as of ${clock(model.at)}`),
  ];
}

function standing() {
  const status = model.data?.status;
  const heading = h("h1", { class: "unseen" }, "State");
  // The report waits for the disk that the recovery waits for; the phases are told all the same.
  if (model.recovery?.outcome === "running" && !model.lost && (model.problem || !status)) {
    const says = "The recovery is under way. Its phases are shown as they go; there is no whole report yet.";
    return [heading, state("recovering", true), h("div", { class: "what" }, h("p", { class: "says" }, says))];
  }
  if (!status) return [heading, h("p", { class: "nothing" }, "Asking the daemon …")];
  return [
    heading,
    state(status.state),
    h(
      "div",
      { class: "what" },
      h("p", { class: "says" }, sentence(status.status)),
      toDo(status),
      counts(status),
    ),
  ];
}

function state(word, isLive = false) {
  return h(
    "p",
    { class: `state ${toneOf(word)}${isLive ? " is-live" : ""}` },
    h("span", { class: "shape", "aria-hidden": "true" }, shapeOf(word)),
    h("strong", null, wordOf(word)),
  );
}

function toDo(status) {
  if (!status.action) return h("p", { class: "to-do" }, h("span", { class: "aside" }, "Nothing to do."));
  return h("p", { class: "to-do" }, h("span", { class: "label" }, "Do"), next(status.action));
}

function counts({ counts: by }) {
  const shown = Object.entries(by).filter(
    ([status, n]) => n > 0 || status === "queued" || status === "running",
  );
  return h(
    "ul",
    { class: "counts", "aria-label": "Jobs" },
    shown.map(([status, n]) =>
      h(
        "li",
        { key: status },
        h("a", { href: `#jobs?status=${status}` }, h("b", null, count(n)), " ", tag(status)),
      ),
    ),
  );
}

function viewLink(view, current) {
  const n = model.data ? view.badge?.(model.data) : null;
  const tone = n?.tone ?? "";
  return h(
    "li",
    { key: view.id },
    h(
      "a",
      {
        href: `#${view.id}`,
        "aria-current": view.id === current ? "page" : null,
        "aria-keyshortcuts": view.key,
      },
      view.title,
      n?.count
        ? h("span", { class: `badge ${tone}` }, count(n.count), h("span", { class: "unseen" }, ` ${n.noun}`))
        : null,
    ),
  );
}

function showLost() {
  const { lost, problem } = model;
  if (lost) {
    const seen = model.at ? ` What is shown is of ${clock(model.at)} and may no longer be true.` : "";
    patch(at("lost"), [
      h(
        "div",
        { class: "banner bad" },
        h(
          "p",
          null,
          h("strong", null, "Connection lost"),
          ` since ${clock(lost.since)}: ${lost.why}.${seen}`,
        ),
        h(
          "p",
          null,
          h("span", { "data-own": true, id: "pause" }),
          " ",
          h("button", { type: "button", act: tryNow }, "Try now"),
        ),
      ),
    ]);
    tick();
  } else if (problem) {
    const seen = model.at ? ` What is shown is of ${clock(model.at)}.` : "";
    patch(at("lost"), [
      h(
        "div",
        { class: "banner warn" },
        h(
          "p",
          null,
          h("strong", null, "The daemon answers, but gives no report"),
          ": ",
          sentence(problem.detail),
          seen,
        ),
      ),
    ]);
  } else {
    patch(at("lost"), []);
  }
}

/** How long until it is tried again; not announced each second. */
function tick() {
  const pause = at("pause");
  if (!pause || !model.lost) return;
  const seconds = Math.ceil((model.lost.nextAt - Date.now()) / 1000);
  pause.textContent = seconds > 0 ? `The next try is in ${seconds} s.` : "Trying …";
  clearTimeout(tick.timer);
  tick.timer = setTimeout(tick, 1000);
}

/** Tells those who do not see the page when the state has changed. */
function announce() {
  const status = model.data?.status;
  if (!status) return;
  const running = (model.recovery ?? model.data.phases).phases
    .filter((p) => p.status === "running")
    .map((p) => p.phase);
  const recovering =
    running.length > 0 ? `; ${plural(running.length, "phase")} under way: ${running.join(", ")}` : "";
  const text = `${wordOf(status.state)}: ${status.status}${recovering}`;
  if (announce.last === text) return;
  announce.last = text;
  at("said").textContent = text;
}
