// Repository locks: who has which, how that is known, who waits.

import { releaseLock, releaseStale } from "../actions/locks.js";
import { mayChange, read } from "../api.js";
import { h } from "../dom.js";
import { clock, count, duration, plural } from "../format.js";
import {
  button,
  evidence,
  facts,
  fold,
  link,
  more,
  name,
  nothing,
  own,
  pager,
  section,
  sentence,
  table,
  when,
} from "../parts.js";
import { to } from "../route.js";
import { tag } from "../words.js";

const PAGE = 50;

export const locks = {
  id: "locks",
  title: "Locks",
  badge: ({ locks: { locks: all, total } }) => {
    const bad = all.filter((l) => l.unavailable || l.verdict !== "live").length;
    return bad > 0
      ? { count: bad, noun: "without a live holder", tone: "warn" }
      : { count: total, noun: "held" };
  },
  read: async ({ id, query }) => {
    if (id !== null) return read("/api/admin/locks/inspect", { repo: id });
    const active = await read("/api/admin/locks/active", { limit: PAGE, cursor: query.cursor });
    return { active, recovered: await read("/api/admin/locks/recovered", { limit: PAGE }) };
  },
  show(_, route) {
    if (route.id !== null)
      return [
        h("p", { class: "back" }, h("a", { href: "#locks" }, "All locks")),
        own(({ locks: all }) => all.map(whole)),
      ];
    return own(({ active, recovered }) => [
      section(
        "active",
        "Locks",
        {
          note: plural(active.total, "lock"),
          tools: mayChange() && active.total > 0 && button("Release what dead holders left", releaseStale),
        },
        held(active, route),
      ),
      section("recovered", "What the last recovery did with locks", {}, afterRecovery(recovered)),
    ]);
  },
};

function held(active, { query }) {
  if (active.locks.length === 0) return nothing("No repository is held.");
  return [
    table(
      "Repository locks",
      [
        { title: "Repository", cell: (l) => link(to("locks", l.repository), l.repository) },
        {
          title: "Holder",
          kind: "wide",
          cell: (l) =>
            l.job_id
              ? ["job ", link(to("jobs", l.job_id), l.job_id)]
              : (sentence(l.holder) ?? "cannot be told"),
        },
        { title: "Liveness", cell: standing },
        {
          title: "Since",
          cell: (l) => [
            when(l.acquired_at),
            l.recovered && h("span", { class: "aside" }, " kept by a recovery"),
          ],
        },
        { title: "Waiting", kind: "number", cell: (l) => count(l.waiting.length) },
        {
          title: "",
          kind: "acts",
          cell: (l) => mayChange() && button("Release", () => releaseLock(l), { about: l.repository }),
        },
      ],
      active.locks,
      { key: (l) => l.repository },
    ),
    pager(active, { isAway: Boolean(query.cursor), href: to("locks") }, (cursor) =>
      to("locks", null, { cursor }),
    ),
  ];
}

function standing(lock) {
  if (lock.unavailable) return tag("unavailable");
  return [
    tag(lock.liveness ?? "unknown"),
    lock.verdict &&
      lock.verdict !== "live" &&
      h("span", { class: "aside" }, ` ${lock.verdict.replaceAll("_", " ")}`),
  ];
}

function whole(lock) {
  return section(
    "lock",
    ["Lock of ", name(lock.repository)],
    {
      note: standing(lock),
      tools:
        mayChange() &&
        (lock.holder || lock.unavailable) &&
        !lock.released_at &&
        button("Release", () => releaseLock(lock), { about: lock.repository }),
    },
    lock.reason && h("p", { class: "note warn" }, sentence(lock.reason)),
    facts(
      ["Holder", lock.job_id ? ["job ", link(to("jobs", lock.job_id), lock.job_id)] : sentence(lock.holder)],
      ["Doing", lock.operation && name(lock.operation)],
      ["Since", lock.acquired_at && [clock(lock.acquired_at), ", ", duration(lock.age_ms)]],
      ["Process", lock.pid && [String(lock.pid), lock.host && [" on ", name(lock.host)]]],
      ["Grant", lock.lock_id && name(lock.lock_id, "path")],
      ["Fencing number", lock.token && count(lock.token)],
      ["Given back", lock.released_at && clock(lock.released_at)],
      ["File", name(lock.file, "path")],
    ),
    h("h3", null, "Evidence"),
    evidence(lock.evidence) ?? nothing("None."),
    h("h3", null, "Waiting line"),
    waiting(lock.waiting_line),
  );
}

function waiting(line) {
  if (!line?.length) return nothing("Nothing waits.");
  const one = (w) =>
    h(
      "li",
      { value: w.position },
      w.job_id
        ? ["job ", link(to("jobs", w.job_id), w.job_id)]
        : ["process ", String(w.pid), w.operation && [": ", name(w.operation)]],
      w.since && [", since ", when(w.since)],
      w.not_before && [", not before ", when(w.not_before)],
    );
  return [h("ol", { class: "history" }, line.slice(0, PAGE).map(one)), more(line.length - PAGE)];
}

function afterRecovery(recovered) {
  if (!recovered.recovery_id) return nothing("There was no recovery yet.");
  return [
    h(
      "p",
      { class: "aside" },
      `${recovered.kept} kept, ${recovered.released} released, ${recovered.unavailable} unavailable; `,
      when(recovered.at),
    ),
    recovered.locks.map((l) =>
      fold(
        `recovered-${l.repository}`,
        [
          tag(l.outcome),
          " ",
          name(l.repository),
          l.holder && h("span", { class: "aside" }, " ", sentence(l.holder)),
        ],
        evidence(l.evidence),
      ),
    ),
    more(recovered.total - recovered.locks.length),
  ];
}
