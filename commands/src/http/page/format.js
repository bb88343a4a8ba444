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

// Durations, ages and sizes as the library's `state::human` says them; a test compares the two.

/** A duration in milliseconds: to the tenth of a second below ten, else in its two largest units. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 0) return `−${duration(-ms)}`;
  if (ms < 1000) return `${Math.floor(ms)} ms`;
  if (ms < 10000) return `${Math.floor(ms / 100) / 10} s`;
  return inUnits(ms);
}

const UNITS = [
  ["d", 86400],
  ["h", 3600],
  ["min", 60],
  ["s", 1],
];

function inUnits(ms) {
  let rest = Math.floor(ms / 1000);
  const first = UNITS.findIndex(([, seconds]) => rest >= seconds);
  const parts = UNITS.slice(first, first + 2).map(([unit, seconds]) => {
    const n = Math.floor(rest / seconds);
    rest -= n * seconds;
    return n > 0 ? `${n} ${unit}` : "";
  });
  return parts.filter(Boolean).join(" ");
}

/** How long before `now` (milliseconds) something was, or in what time it will be: in one unit, of which there are two. */
export function ago(time, now) {
  if (!time) return "–";
  const ms = now - Date.parse(time);
  const far = Math.floor(Math.abs(ms) / 1000);
  if (far < 1) return "now";
  const [unit, seconds] = UNITS.find(([, seconds]) => far >= 2 * seconds) ?? ["s", 1];
  const distance = `${Math.floor(far / seconds)} ${unit}`;
  return ms > 0 ? `${distance} ago` : `in ${distance}`;
}

/** A size in bytes, in binary units. */
export function bytes(n) {
  if (n === null || n === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let at = 0;
  while (n >= 1024 && at < units.length - 1) {
    n /= 1024;
    at += 1;
  }
  return `${at === 0 || n >= 100 ? Math.floor(n) : (Math.floor(n * 10) / 10).toFixed(1)} ${units[at]}`;
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
