// The page: the door where the token is shown, and the views behind it.

import { learnOffers } from "./actions/offered.js";
import { token } from "./api.js";
import { h, obeyClicks, patch } from "./dom.js";
import { begin, end, model, resume, turned } from "./live.js";
import { forget, knock } from "./events.js";
import { beginKeys } from "./keys.js";
import { here } from "./route.js";
import { showTop } from "./top.js";
import { viewOf } from "./views/index.js";

const at = (id) => document.getElementById(id);

function show() {
  if (at("main").hidden) return;
  const route = here();
  const view = viewOf(route);
  showTop(view.id);
  if (!model.data && !model.recovery) {
    patch(at("main"), [
      h("p", { class: "nothing" }, model.lost ? "Nothing has been read yet." : "Reading …"),
    ]);
    return;
  }
  patch(at("main"), [
    h("div", { class: "view", key: `${view.id}/${route.id ?? ""}` }, view.show(model, route)),
  ]);
}

function own() {
  const route = here();
  return viewOf(route).read?.(route) ?? null;
}

function openDoor(why = "") {
  end();
  forget();
  token.forget();
  for (const id of ["top", "main"]) at(id).hidden = true;
  patch(at("main"), []);
  patch(at("lost"), []);
  at("dialog").close();
  document.body.classList.remove("old", "viewer");
  document.title = "recoveryctl";
  at("door").hidden = false;
  at("door-said").textContent = why;
  at("token").value = "";
  at("token").focus();
}

function enter() {
  at("door").hidden = true;
  for (const id of ["top", "main"]) at(id).hidden = false;
  show();
  learnOffers().then(show);
  resume();
}

async function tryToken(event) {
  event.preventDefault();
  const shown = at("token").value.trim();
  if (!shown || /[^\x21-\x7e]/.test(shown)) {
    at("door-said").textContent = "A token has letters and digits only.";
    return;
  }
  at("door-said").textContent = "";
  token.keep(shown);
  try {
    await knock();
    at("token").value = "";
    enter();
  } catch (error) {
    const isWrong = error.status === 401;
    token.forget();
    at("door-said").textContent = isWrong ? "This token is not valid." : `${error.message}. Try again.`;
    at("token").select();
  }
}

begin({ show, door: () => openDoor("The token is not valid any more. Enter the new one."), own });
obeyClicks(document);
beginKeys();
at("door").addEventListener("submit", tryToken);
at("leave").addEventListener("click", () => openDoor());
at("skip").addEventListener("click", (event) => {
  event.preventDefault();
  (at("main").hidden ? at("token") : at("main")).focus();
});
addEventListener("hashchange", () => {
  if (at("main").hidden) return;
  turned();
  show();
  scrollTo(0, 0);
});
if (token.get()) enter();
else openDoor();
