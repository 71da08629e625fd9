// Selections as the address has them: #select=1500-3000;keys=0,4-7 with seconds of the log's clock; of a page
// with several runs, #stability:select=1500-3000&concurrency:keys=2.

function keysText(keys) {
  const spans = [];
  for (const key of keys) {
    const last = spans.at(-1);
    if (last && last[1] === key - 1) last[1] = key;
    else spans.push([key, key]);
  }
  return spans.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}

function addressOf(run, selection) {
  const parts = [];
  if (!selection.isWholeTime) {
    parts.push(`select=${windowStart(run, selection.from)}-${windowStart(run, selection.to)}`);
  }
  if (!selection.isEveryKey) parts.push(`keys=${keysText(selection.keys) || "none"}`);
  return parts.join(";");
}

// What an address has of a run, which is named where a page has several.
function addressPart(address, name) {
  const parts = address.replace(/^#/, "").split("&");
  return (
    parts.find((part) => part.startsWith(`${name}:`))?.slice(name.length + 1) ??
    parts.find((part) => /^(select|keys)=/.test(part)) ??
    ""
  );
}

// The selection of a run's part of an address, cut to what the run has; null for an address that has none.
function selectionOf(run, address) {
  const time = /(?:^|;)select=(-?[\d.]+)-(-?[\d.]+)/.exec(address);
  const named = /(?:^|;)keys=([\d,-]+|none)/.exec(address);
  if (!time && !named) return null;
  const window = (seconds) =>
    Math.min(Math.max(Math.round((seconds - run.start_s) / run.width_s), 0), run.num_windows);
  let [from, to] = time ? [window(Number(time[1])), window(Number(time[2]))] : [0, run.num_windows];
  if (!(from < to)) [from, to] = [0, run.num_windows];
  const keys = new Set();
  for (const span of named && named[1] !== "none" ? named[1].split(",") : []) {
    const [first, last] = [span.split("-")[0], span.split("-").at(-1)].map(Number);
    for (let key = first; key <= Math.min(last, run.keys.length - 1); key++) keys.add(key);
  }
  return new Selection(
    run,
    from,
    to,
    named ? [...keys].sort((one, other) => one - other) : run.keys.map((_, key) => key),
  );
}
