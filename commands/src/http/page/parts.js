// The pieces that views are made of.

import { h } from "./dom.js";
import { ago, clock, count } from "./format.js";
import { model } from "./live.js";

/** A name from outside: kept apart from the text around it, whichever direction it is written in. */
export function name(text, more = "") {
  return text === null || text === undefined ? "–" : h("bdi", { class: `name ${more}` }, text);
}

/** A sentence from outside. */
export function sentence(text) {
  return text ? h("bdi", { class: "sentence", dir: "auto" }, text) : null;
}

/** A name that leads somewhere. */
export function link(href, text) {
  return h("a", { href }, name(text));
}

/** The moment that relative times count from: that of the answer, by the daemon's clock. */
export function now() {
  return model.data ? Date.parse(model.data.at) : Date.now();
}

/** A time, relative; the whole time is its title. */
export function when(time) {
  if (!time) return "–";
  return h("time", { datetime: time, title: clock(time) }, ago(time, now()));
}

/** A part of a view, with its heading and what can be done with all of it; `live`: true whatever else is old. */
export function section(id, title, { note, tools, live } = {}, ...content) {
  return h(
    "section",
    { class: live ? "part is-live" : "part", key: id, "aria-labelledby": `${id}-title` },
    h(
      "div",
      { class: "part-head" },
      h("h2", { id: `${id}-title` }, title),
      note && h("p", { class: "aside" }, note),
      tools && h("div", { class: "tools" }, tools),
    ),
    ...content,
  );
}

/** That there is nothing, and why that is fine. */
export function nothing(text, more) {
  return h("p", { class: "nothing" }, text, more && h("span", { class: "aside" }, " ", more));
}

function loading() {
  return h("p", { class: "nothing", role: "status" }, "Reading …");
}

/** Why a report could not be had. */
export function refusal(problem) {
  return h(
    "div",
    { class: "note bad", role: "alert" },
    h("p", null, h("strong", null, problem.title ?? "refused"), ": ", sentence(problem.detail)),
    problem.next && problem.next.split("\n").map((line) => command(line)),
  );
}

/** What the view has read for itself: shown by `content`, or why it is not there yet. */
export function own(content) {
  if (!model.own) return loading();
  return model.own.problem ? refusal(model.own.problem) : content(model.own.report);
}

/**
 * A table. A column is `{title, cell, kind}`; of `rows` at most `most` are shown, and `total` says how many there are.
 */
export function table(caption, columns, rows, { key, most = 100, total = rows.length, marked } = {}) {
  const shown = rows.slice(0, most);
  const cell = (column, row) => {
    const content = column.cell(row) || "–";
    // On a phone a value that is none takes no line.
    const kind = [column.kind, content === "–" && "none"].filter(Boolean).join(" ");
    return h(
      "td",
      { role: "cell", class: kind || null, "data-label": column.title },
      h("div", { class: "cell" }, content),
    );
  };
  const line = (row) =>
    h(
      "tr",
      { role: "row", key: key && `row-${key(row)}`, class: marked?.(row) && "marked" },
      columns.map((column) => cell(column, row)),
    );
  const heads = columns.map((c) =>
    h(
      "th",
      { role: "columnheader", scope: "col", class: c.kind },
      c.title || h("span", { class: "unseen" }, "actions"),
    ),
  );
  return [
    h(
      "table",
      { role: "table" },
      h("caption", { class: "unseen" }, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)),
      h("tbody", { role: "rowgroup" }, shown.map(line)),
    ),
    more(total - shown.length),
  ];
}

/** That there is more than is shown. */
export function more(n, where) {
  return n > 0 && h("p", { class: "more" }, `${count(n)} more `, where ?? "are not shown");
}

/** Pages of a list: the first, the next. */
export function pager(report, first, next) {
  if (!report.next_cursor && !first.isAway) return null;
  return h(
    "p",
    { class: "pager" },
    first.isAway && h("a", { href: first.href, class: "button" }, "First page"),
    report.next_cursor &&
      h("a", { href: next(report.next_cursor), class: "button", rel: "next" }, "Next page"),
  );
}

/** Names and values. */
export function facts(...pairs) {
  const given = pairs.filter(
    (pair) => pair && pair[1] !== null && pair[1] !== undefined && pair[1] !== false,
  );
  return h(
    "dl",
    { class: "facts" },
    given.map(([title, value]) => h("div", null, h("dt", null, title), h("dd", null, value))),
  );
}

/** Evidence, piece by piece. */
export function evidence(pieces) {
  if (!pieces?.length) return null;
  return h(
    "ul",
    { class: "evidence" },
    pieces.slice(0, 50).map((piece) => h("li", null, sentence(piece))),
    pieces.length > 50 && h("li", null, `${count(pieces.length - 50)} more`),
  );
}

/** What can be opened. */
export function fold(key, title, ...content) {
  return h("details", { key }, h("summary", null, title), ...content);
}

/** A command, with a button that copies it. */
export function command(text) {
  return h(
    "span",
    { class: "command" },
    h("code", { dir: "ltr" }, text),
    h(
      "button",
      { type: "button", class: "copy", act: (button) => copy(text, button), "aria-label": `Copy: ${text}` },
      "Copy",
    ),
  );
}

/** A button that begins an action; none begins while nobody answers. */
export function button(title, act, { kind = "", about = "" } = {}) {
  return h(
    "button",
    {
      type: "button",
      class: kind,
      act,
      disabled: Boolean(model.lost),
      "aria-label": about ? `${title}: ${about}` : null,
      "data-changes": true,
    },
    title,
  );
}

/** How much of something is done. */
export function meter(done, total, label) {
  if (!total) return null;
  return h("progress", { max: total, value: Math.min(done, total), "aria-label": label });
}

async function copy(text, at) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Only there over https and on this machine; the old way works everywhere.
    const area = h("textarea", { class: "unseen" });
    area.value = text;
    (at.closest("dialog") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  at.textContent = "Copied";
  document.getElementById("said").textContent = "Copied";
  setTimeout(() => (at.textContent = "Copy"), 1500);
  at.focus();
}
