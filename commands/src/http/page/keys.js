// Single keys, for those who live on the keyboard. They can be switched off: a voice may press them by accident.

import { token } from "./api.js";
import { show } from "./dialog.js";
import { h } from "./dom.js";
import { refresh } from "./live.js";
import { VIEWS } from "./views/index.js";

const OFF = "recoveryctl-keys-off";

const KEYS = [
  ["?", "these keys", help],
  ["r", "read everything anew", refresh],
  ["/", "the field that narrows a list down", () => focus("[data-narrows]")],
  ["c", "copy the command that is to be done", () => press("#standing .copy")],
  ["m", "to the content", () => focus("#main")],
];

/** Listens, from now on. */
export function beginKeys() {
  document.addEventListener("keydown", pressed);
  document.getElementById("keys").addEventListener("click", help);
}

function pressed(event) {
  const isTyping = event.target.closest("input, select, textarea, [contenteditable]");
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping || event.repeat) return;
  if (!token.get() || document.getElementById("dialog").open || document.getElementById("main").hidden) return;
  if (sessionStorage.getItem(OFF) && event.key !== "?") return;
  const view = VIEWS.find((one) => one.key === event.key);
  const act = view ? () => (location.hash = `#${view.id}`) : KEYS.find(([key]) => key === event.key)?.[2];
  if (!act) return;
  event.preventDefault();
  act();
}

function focus(selector) {
  document.querySelector(selector)?.focus();
}

function press(selector) {
  document.querySelector(selector)?.click();
}

function help() {
  const lines = [...VIEWS.map((view) => [view.key, view.title]), ...KEYS.map(([key, about]) => [key, about]), ["Esc", "close a dialog; nothing is done"]];
  const box = h("input", { type: "checkbox", id: "keys-off", checked: Boolean(sessionStorage.getItem(OFF)) });
  box.addEventListener("change", () => (box.checked ? sessionStorage.setItem(OFF, "1") : sessionStorage.removeItem(OFF)));
  show(
    "Keys",
    h("dl", { class: "keys" }, lines.map(([key, about]) => h("div", null, h("dt", null, h("kbd", null, key)), h("dd", null, about)))),
    h("p", { class: "field once" }, box, h("label", { for: "keys-off" }, "Switch single keys off, in this tab (? stays)")),
  );
}
