// Times, durations, sizes and counts for people.

const numbers = new Intl.NumberFormat("en-GB");

/** A count, with separators. */
export function count(n) {
  return n === null || n === undefined ? "–" : numbers.format(n);
}

/** A count with its noun: `plural(2, "job")` is "2 jobs". */
export function plural(n, noun, nouns = `${noun}s`) {
  return `${count(n)} ${n === 1 ? noun : nouns}`;
}

/** A duration in milliseconds, in its two largest units. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 0) return `−${duration(-ms)}`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  let rest = Math.round(ms / 1000);
  const first = units.findIndex(([, seconds]) => rest >= seconds);
  const parts = units.slice(first, first + 2).map(([unit, seconds]) => {
    const n = Math.floor(rest / seconds);
    rest -= n * seconds;
    return n > 0 ? `${n} ${unit}` : "";
  });
  return parts.filter(Boolean).join(" ");
}

/** How long before `now` (milliseconds) something was, or in what time it will be. */
export function ago(time, now) {
  if (!time) return "–";
  const ms = now - Date.parse(time);
  if (Math.abs(ms) < 1000) return "now";
  return ms > 0 ? `${duration(ms)} ago` : `in ${duration(-ms)}`;
}

/** A size in bytes, in binary units. */
export function bytes(n) {
  if (n === null || n === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (n >= 1024 && at < units.length - 1) {
    n /= 1024;
    at += 1;
  }
  return `${at === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[at]}`;
}

/** A time of day, with the date when it is not today's. */
export function clock(time) {
  if (!time) return "–";
  const at = new Date(time);
  const pad = (n) => String(n).padStart(2, "0");
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  const hour = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  return at.toDateString() === new Date().toDateString() ? hour : `${day} ${hour}`;
}

/** A word of a shell. */
export function shellWord(word) {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** A command line of recoveryctl. Words that begin with a dash and are none of ours come behind `--`. */
export function commandLine(words, free = []) {
  const dashed = free.some((word) => word.startsWith("-"));
  return ["recoveryctl", ...words, ...(dashed ? ["--"] : []), ...free].map(shellWord).join(" ");
}
