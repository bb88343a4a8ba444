// Making elements and bringing what is shown up to date. Text becomes text nodes and nothing else: there is no way
// from a string to markup here, nor anywhere in the page (the policy forbids it, too).

const SVG = "http://www.w3.org/2000/svg";

// What would be obeyed instead of shown: control characters, marks of direction, signs without width.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

function picture(character) {
  const code = character.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `‹U+${code.toString(16).toUpperCase().padStart(4, "0")}›`;
}

/** Text as it may be shown: what cannot be seen becomes a picture. */
export function safe(text) {
  return String(text).replace(UNSEEN, picture);
}

/** The same for text of several lines. */
export function safeLines(text) {
  return String(text).replace(/\r\n/g, "\n").replace(UNSEEN, (c) => (c === "\n" || c === "\t" ? c : picture(c)));
}

/**
 * Makes an element. An attribute that is null or false is left out; `act` is called when it is clicked; `key` says
 * which element of the picture before it is. Children are nodes, texts, lists of them; null and false are left out.
 */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for a drawing. */
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "act") element.act = value;
    else if (name === "key") element.dataset.key = value;
    else element.setAttribute(name, value === true ? "" : safe(value));
  }
  element.append(...children.flat(Infinity).filter((c) => c || c === 0).map(asNode));
  return element;
}

function asNode(child) {
  return child instanceof Node ? child : document.createTextNode(safe(child));
}

/**
 * Makes a parent's children be as the wanted ones, keeping the nodes that are there: focus, selected text, what was
 * opened and where something was scrolled to stay as they are.
 */
export function patch(parent, wanted) {
  const keyed = new Map();
  for (const child of parent.children) if (child.dataset?.key) keyed.set(child.dataset.key, child);
  let at = parent.firstChild;
  for (const next of wanted.flat(Infinity).filter(Boolean)) {
    const key = next.dataset?.key;
    const there = key ? keyed.get(key) : at;
    if (there && isSameKind(there, next)) {
      if (there === at) at = at.nextSibling;
      else parent.insertBefore(there, at);
      update(there, next);
    } else {
      parent.insertBefore(next, at);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function isSameKind(there, next) {
  return there.nodeName === next.nodeName && there.dataset?.key === next.dataset?.key;
}

function update(there, next) {
  if (there.nodeType === Node.TEXT_NODE) {
    if (there.nodeValue !== next.nodeValue) there.nodeValue = next.nodeValue;
    return;
  }
  there.act = next.act;
  // What looks after itself, such as a field that is typed in.
  if (next.dataset?.own !== undefined) return;
  for (const { name } of [...there.attributes]) {
    // Whether something is opened is the reader's.
    if (!next.hasAttribute(name) && name !== "open") there.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (name !== "open" && there.getAttribute(name) !== value) there.setAttribute(name, value);
  }
  patch(there, [...next.childNodes]);
}

/** Calls what belongs to an element that is clicked. */
export function obeyClicks(root) {
  root.addEventListener("click", (event) => {
    for (let at = event.target; at && at !== root; at = at.parentNode) {
      if (at.act && !at.disabled) {
        event.preventDefault();
        at.act(at);
        return;
      }
    }
  });
}
