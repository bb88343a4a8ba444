// The one place where a change leaves the page: shown as the command it is, rehearsed, and confirmed. The harmless
// choice has the focus; what cannot be taken back wants a name typed.

import { Refused, Unreachable, change, newKey } from "./api.js";
import { h, patch } from "./dom.js";
import { commandLine } from "./format.js";
import { refresh } from "./live.js";
import { command, refusal } from "./parts.js";

/**
 * What an action is:
 * - `title`, `doing` (the button's words), `about` (nodes that say what it does)
 * - `line(given)`: the words of the command line and the free ones behind them, `request(given)`: the same for HTTP;
 *   `given` has `reason` and each option by its id
 * - `told(report)`: what a rehearsal, or the deed, reports
 * - `reason`: what stands in the field at first, for what is not done without a reason
 * - `rehearses`: whether the endpoint can be asked what it would do
 * - `options`: `{id, label}`, each a tick box; `typed`: what must be typed; `harder`: `{opens, reopen}`, another way
 *   when this one is refused
 */
export function confirm(action) {
  const at = document.getElementById("dialog");
  if (at.open) at.close();
  new Confirmation(at, action).open();
}

/** Shows something that only wants to be closed. */
export function show(title, ...content) {
  const at = document.getElementById("dialog");
  if (at.open) at.close();
  at.replaceChildren(
    head(title),
    h("div", { class: "dialog-body" }, content),
    h(
      "div",
      { class: "choices" },
      h("button", { type: "button", autofocus: true, act: () => at.close() }, "Close"),
    ),
  );
  at.showModal();
}

function head(title) {
  return h("h2", { id: "dialog-title" }, title);
}

class Confirmation {
  constructor(at, action) {
    [this.at, this.action] = [at, action];
    this.given = { reason: action.reason ?? "" };
    (action.options ?? []).forEach(({ id }) => (this.given[id] = false));
    this.typed = "";
    this.keys = new Map();
    // What it would do, what it did, why not; and whether it is under way.
    this.rehearsed = this.done = this.problem = null;
    this.isBusy = false;
  }

  open() {
    this.at.replaceChildren(
      head(this.action.title),
      h(
        "div",
        { class: "dialog-body" },
        this.action.about,
        this.optionFields(),
        this.reasonField(),
        h("div", { class: "shown", "aria-live": "polite" }),
        this.typedField(),
      ),
      h("div", { class: "choices" }),
    );
    this.show();
    this.at.showModal();
    this.at.querySelector(".cancel").focus();
    if (this.action.rehearses) this.rehearse();
  }

  show() {
    const shown = [
      h("p", { class: "label" }, "The same on the command line"),
      command(this.commandLine()),
      this.action.rehearses &&
        !this.done &&
        h("div", { class: "rehearsal" }, h("p", { class: "label" }, "What it would do"), this.expected()),
      this.done &&
        h("div", { class: "outcome" }, h("p", { class: "label" }, "Done"), this.action.told(this.done)),
      this.problem && refusal(this.problem),
    ];
    patch(this.at.querySelector(".shown"), shown);
    patch(this.at.querySelector(".choices"), this.choices());
    this.at.classList.toggle("over", Boolean(this.done));
  }

  commandLine() {
    const { words, free } = this.action.line(this.given);
    const reason = this.given.reason ? ["--reason", this.given.reason] : [];
    return commandLine([...words, ...reason], free);
  }

  expected() {
    if (this.refused) return refusal(this.refused);
    return this.rehearsed ? this.action.told(this.rehearsed) : h("p", { class: "nothing" }, "Asking …");
  }

  choices() {
    if (this.done)
      return [
        h("button", { type: "button", class: "cancel", key: "cancel", act: () => this.at.close() }, "Close"),
      ];
    const ready =
      !this.isBusy && !this.refused && (!this.action.rehearses || this.rehearsed) && this.isTyped();
    return [
      h(
        "button",
        { type: "button", class: "cancel", key: "cancel", act: () => this.at.close() },
        "Leave it as it is",
      ),
      this.refused &&
        this.action.harder &&
        h(
          "button",
          { type: "button", class: "danger", key: "harder", act: this.action.harder.reopen },
          this.action.harder.opens,
        ),
      h(
        "button",
        {
          type: "button",
          key: "do",
          class: this.action.typed ? "danger" : "main",
          disabled: !ready,
          act: () => this.carryOut(),
        },
        this.isBusy ? "Under way …" : this.action.doing,
      ),
    ];
  }

  isTyped() {
    return !this.action.typed || this.typed === this.action.typed;
  }

  optionFields() {
    return (this.action.options ?? []).map(({ id, label }) => {
      const box = h("input", { type: "checkbox", id: `option-${id}` });
      box.addEventListener("change", () => {
        this.given[id] = box.checked;
        this.show();
        if (this.action.rehearses) this.rehearse();
      });
      return h("p", { class: "field once" }, box, h("label", { for: `option-${id}` }, label));
    });
  }

  reasonField() {
    const take = (value) => (this.given.reason = value);
    return this.field("reason", "Reason, for the audit trail", take, this.given.reason);
  }

  typedField() {
    const { typed } = this.action;
    if (!typed) return null;
    // What an action can undo, its own text says.
    const undo = this.action.undo ? "Type " : "This cannot be undone. Type ";
    const label = [undo, h("bdi", { class: "to-type" }, typed), " to confirm"];
    return this.field("typed", label, (value) => (this.typed = value));
  }

  field(id, label, take, value = "") {
    const input = h("input", {
      type: "text",
      value,
      id: `dialog-${id}`,
      autocomplete: "off",
      spellcheck: "false",
      maxlength: "500",
    });
    input.addEventListener("input", () => {
      take(input.value.trim());
      this.show();
    });
    return h("p", { class: "field once" }, h("label", { for: `dialog-${id}` }, label), input);
  }

  async rehearse() {
    const of = (this.asking = {});
    this.rehearsed = this.refused = null;
    this.show();
    try {
      const report = await change(this.action.request({ ...this.given, reason: "" }), { rehearse: true });
      if (of === this.asking) this.rehearsed = report;
    } catch (error) {
      if (of === this.asking) this.refused = problemOf(error);
    }
    if (of === this.asking) this.show();
  }

  async carryOut() {
    const request = this.action.request(this.given);
    // Sent again because no answer came, it is the same request and not done twice.
    const text = JSON.stringify(request);
    if (!this.keys.has(text)) this.keys.set(text, newKey());
    [this.isBusy, this.problem] = [true, null];
    this.show();
    try {
      this.done = await change(request, { key: this.keys.get(text) });
    } catch (error) {
      this.problem = problemOf(error);
    }
    this.isBusy = false;
    this.show();
    this.at.querySelector(".cancel")?.focus();
    refresh();
  }
}

function problemOf(error) {
  if (error instanceof Unreachable)
    return {
      title: "no answer",
      detail: `${error.message}; whether it was done is not known. Asked again, it is not done twice.`,
    };
  // A fault of this page is not to pass for an answer.
  if (!(error instanceof Refused)) throw error;
  if (error.status === 403)
    return {
      title: "not allowed",
      detail: "this token may look, and change nothing: show the admin's token",
    };
  return error.problem;
}
