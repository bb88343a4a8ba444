// What all actions are made of. An action is the command that it is: see dialog.js.

import { h } from "../dom.js";
import { name, sentence } from "../parts.js";

export const post = (path, body) => ({ method: "POST", path, body });
export const part = encodeURIComponent;
export const says = (...text) => h("p", null, text);
export const because = ({ reason }) => (reason ? { reason } : {});

/** A list of what was refused. */
export function refusals(refused = []) {
  return (
    refused.length > 0 &&
    h(
      "ul",
      { class: "evidence bad" },
      refused.map((one) =>
        h(
          "li",
          null,
          name(one.job_id ?? one.object ?? one.delivery_id ?? one.id),
          ": ",
          sentence(one.detail ?? one.error),
        ),
      ),
    )
  );
}
