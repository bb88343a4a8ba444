// Where the reader is: `#jobs/build?status=failed`. A view is an address, so that going back and links work.

/** What the address says. */
export function here() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?");
  const [view, ...rest] = path.split("/").map(decoded);
  return { view: view || "overview", id: rest.length > 0 ? rest.join("/") : null, query: Object.fromEntries(new URLSearchParams(query)) };
}

/** The address of a view. */
export function to(view, id = null, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value);
  const text = new URLSearchParams(given).toString();
  return `#${view}${id === null ? "" : `/${encodeURIComponent(id)}`}${text ? `?${text}` : ""}`;
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
