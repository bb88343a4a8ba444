// What a job prints: the end of it, followed while the job runs. It is read once a second while it is seen, and an
// answer that has not changed is not sent again.

import { Refused, Unreachable, read } from "../api.js";
import { h, safeLines } from "../dom.js";
import { bytes } from "../format.js";
import { model } from "../live.js";
import { refusal } from "../parts.js";

const SHOWN = "64KiB";
const EVERY_MS = 1000;

/** One box is in the page at a time. */
let current = null;

/** Follows a job's output in a box, or goes on in the one that is there. */
export function follow(box, job) {
  if (current?.id === job.job_id && current.box.isConnected) {
    current.job = job;
    return;
  }
  current?.end();
  current = new Output(box, job);
}

class Output {
  constructor(box, job) {
    [this.box, this.job, this.id] = [box, job, job.job_id];
    this.text = h("pre", {
      tabindex: "0",
      role: "log",
      "aria-live": "off",
      "aria-label": `Output of ${job.job_id}`,
      dir: "ltr",
    });
    this.note = h("p", { class: "aside" }, "Reading …");
    this.stick = h("input", { type: "checkbox", id: "stick" });
    this.stick.checked = true;
    box.append(
      h(
        "p",
        { class: "output-tools" },
        this.note,
        h("label", { class: "once" }, this.stick, " stay at the end"),
      ),
      this.text,
    );
    this.text.addEventListener("scroll", () => {
      if (this.text.scrollTop + this.text.clientHeight < this.text.scrollHeight - 8)
        this.stick.checked = false;
    });
    this.stick.addEventListener("change", () => this.toEnd());
    this.timer = setTimeout(() => this.look(), 0);
  }

  end() {
    clearTimeout(this.timer);
    this.isOver = true;
  }

  async look() {
    if (this.isOver) return;
    // It has left the page.
    if (this.seen && !this.box.isConnected) return this.end();
    this.seen = this.box.isConnected;
    const wasRunning = this.job.status === "running";
    if (!document.hidden && !model.lost) await this.read();
    const isLast = !wasRunning && this.job.status !== "queued" && this.report;
    this.timer = setTimeout(() => this.look(), isLast ? 5 * EVERY_MS : EVERY_MS);
  }

  async read() {
    try {
      const report = await read(`/api/jobs/${encodeURIComponent(this.id)}/output`, { tail: SHOWN });
      if (report === this.report) return;
      this.report = report;
      this.show(report);
    } catch (error) {
      if (!(error instanceof Refused || error instanceof Unreachable)) throw error;
      // Not for this token, however often it is asked for.
      if (error instanceof Refused && error.status === 403) return this.refuse(error.problem);
      this.note.textContent = error.message;
    }
  }

  refuse(problem) {
    this.end();
    this.box.replaceChildren(refusal(problem));
  }

  show(report) {
    const part = report.truncated ? `the last ${SHOWN} of ${bytes(report.bytes)}` : bytes(report.bytes);
    this.note.textContent =
      report.bytes === 0 ? "It has printed nothing yet." : `attempt ${report.attempt}, ${part}`;
    this.text.textContent = safeLines(report.output);
    this.toEnd();
  }

  toEnd() {
    if (this.stick.checked) this.text.scrollTop = this.text.scrollHeight;
  }
}
