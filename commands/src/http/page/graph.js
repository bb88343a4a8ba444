// The phases of a recovery as a graph: each behind what it waits for, from left to right, or from above on a phone.

import { svg } from "./dom.js";
import { count, duration } from "./format.js";
import { shapeOf, toneOf, wordOf } from "./words.js";

const BOX = { height: 82, least: 132, most: 190 };
const GAP = { along: 34, across: 16 };
/** Below this width it goes downwards. */
const WIDE = 860;

/** Draws it as wide as it may be, in pixels. */
export function graph(phases, width) {
  const layers = layersOf(phases);
  const plan = width >= WIDE ? sideways(layers, width) : downwards(layers, Math.min(width, 560));
  const places = new Map(plan.boxes.map((box) => [box.phase.phase, box]));
  const label = `Phases: ${phases.map((p) => `${p.phase} ${wordOf(p.status)}`).join(", ")}`;
  return svg(
    "svg",
    { class: "graph", key: `graph-${plan.isSideways}`, role: "img", "aria-label": label, width: plan.width, height: plan.height, viewBox: `0 0 ${plan.width} ${plan.height}` },
    svg("defs", null, svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, svg("path", { d: "M0 0 8 4 0 8z", class: "arrow" }))),
    direct(phases).map(([from, to]) => edge(places.get(from), places.get(to), plan.isSideways)),
    plan.boxes.map(node),
  );
}

/** Each phase one layer behind the last that it waits for. */
function layersOf(phases) {
  const known = new Map(phases.map((phase) => [phase.phase, phase]));
  const depths = new Map();
  const depth = (phase, under = new Set()) => {
    if (depths.has(phase.phase)) return depths.get(phase.phase);
    if (under.has(phase.phase)) return 0;
    const inner = new Set(under).add(phase.phase);
    const before = phase.depends_on.map((name) => known.get(name)).filter(Boolean);
    const found = Math.max(-1, ...before.map((one) => depth(one, inner))) + 1;
    depths.set(phase.phase, found);
    return found;
  };
  const layers = [];
  for (const phase of phases) (layers[depth(phase)] ??= []).push(phase);
  return layers.filter(Boolean);
}

/** The dependencies that no others imply. */
function direct(phases) {
  const needs = new Map(phases.map((p) => [p.phase, p.depends_on]));
  const reaches = (from, to, steps = 0) => steps < 32 && (needs.get(from) ?? []).some((next) => next === to || reaches(next, to, steps + 1));
  return phases.flatMap((p) => {
    const before = p.depends_on.filter((name) => needs.has(name));
    return before.filter((name) => !before.some((other) => other !== name && reaches(other, name))).map((name) => [name, p.phase]);
  });
}

function sideways(layers, room) {
  const n = layers.length;
  const width = Math.max(BOX.least, Math.min(BOX.most, Math.floor((room - 2 - GAP.along * (n - 1)) / n)));
  const most = Math.max(...layers.map((layer) => layer.length));
  const height = most * BOX.height + (most - 1) * GAP.across;
  const boxes = layers.flatMap((layer, column) => {
    const own = layer.length * BOX.height + (layer.length - 1) * GAP.across;
    const top = (height - own) / 2;
    return layer.map((phase, row) => ({ phase, width, x: 1 + column * (width + GAP.along), y: 1 + top + row * (BOX.height + GAP.across) }));
  });
  return { boxes, width: n * width + (n - 1) * GAP.along + 2, height: height + 2, isSideways: true };
}

function downwards(layers, room) {
  const boxes = layers.flatMap((layer, row) => {
    const width = (room - 2 - GAP.across * (layer.length - 1)) / layer.length;
    return layer.map((phase, column) => ({ phase, width, x: 1 + column * (width + GAP.across), y: 1 + row * (BOX.height + GAP.along - 8) }));
  });
  return { boxes, width: room, height: layers.length * (BOX.height + GAP.along - 8) - GAP.along + 10, isSideways: false };
}

function edge(from, to, isSideways) {
  const [x1, y1] = isSideways ? [from.x + from.width, from.y + BOX.height / 2] : [from.x + from.width / 2, from.y + BOX.height];
  const [x2, y2] = isSideways ? [to.x - 2, to.y + BOX.height / 2] : [to.x + to.width / 2, to.y - 2];
  const bend = isSideways ? (x2 - x1) / 2 : (y2 - y1) / 2;
  const path = isSideways ? `C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}` : `C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}`;
  return svg("path", { class: "edge", d: `M${x1} ${y1}${path}`, "marker-end": "url(#arrow)" });
}

function node({ phase, x, y, width }) {
  const fits = Math.floor((width - 24) / 7.4);
  const text = (dy, kind, content) => svg("text", { x: x + 14, y: y + dy, class: kind }, short(content, fits));
  return svg(
    "g",
    { class: `node ${toneOf(phase.status)}`, key: `node-${phase.phase}` },
    svg("title", null, `${phase.phase}: ${wordOf(phase.status)}, ${progress(phase)}`),
    svg("rect", { x, y, width, height: BOX.height, rx: 8, class: "box" }),
    svg("rect", { x, y: y + 10, width: 4, height: BOX.height - 20, rx: 2, class: "stripe" }),
    text(23, "phase", phase.phase),
    svg("text", { x: x + 14, y: y + 43, class: "status" }, svg("tspan", { class: "shape" }, shapeOf(phase.status)), ` ${short(wordOf(phase.status), fits - 2)}`),
    text(62, "much", progress(phase)),
    bar(phase, x + 14, y + BOX.height - 12, width - 28),
  );
}

/** How far a phase is. */
export function progress(phase) {
  if (phase.status === "pending" || phase.status === "blocked") return "not begun";
  const much = phase.total === null || phase.total === undefined ? count(phase.done) : `${count(phase.done)}/${count(phase.total)}`;
  const tries = phase.attempts > 1 ? `, try ${phase.attempts}` : "";
  const left = phase.status === "running" && phase.remaining_ms ? `, ${duration(phase.remaining_ms)} left` : "";
  return `${much} ${phase.unit}${tries}${left}`;
}

function bar(phase, x, y, width) {
  if (!phase.total || phase.status === "pending" || phase.status === "blocked") return null;
  const done = (Math.min(phase.done, phase.total) / phase.total) * width;
  return [svg("rect", { x, y, width, height: 4, rx: 2, class: "rest" }), svg("rect", { x, y, width: done, height: 4, rx: 2, class: "bar" })];
}

function short(text, fits) {
  const letters = [...String(text)];
  return letters.length > fits ? `${letters.slice(0, Math.max(1, fits - 1)).join("")}…` : text;
}
