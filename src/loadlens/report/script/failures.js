// The failed calls of a selection by their error.
const MOST_FAILURES = 50;
const MOST_STRIPS = 10;

const errorText = (run, error) =>
  error === run.error_names.length ? counted(run.num_more_errors, "more error") : run.error_names[error];

// Calls what is given for each key, error and window that is selected, with how many calls failed.
function eachFailure({ run, keys, from, to }, take) {
  const kept = new Set(keys);
  for (let pair = 0; pair < run.num_failing; pair++) {
    if (!kept.has(run.failingKey[pair])) continue;
    for (let cell = run.failureStart[pair]; cell < run.failureStart[pair + 1]; cell++) {
      const window = run.failureWindow[cell];
      if (window >= from && window < to) take(pair, window, run.failureCalls[cell]);
    }
  }
}

function failureRows(selection) {
  const { run } = selection;
  const [counts, failed] = [new Map(), new Map()];
  eachFailure(selection, (pair, _, calls) => {
    const key = run.failingKey[pair];
    counts.set(pair, (counts.get(pair) ?? 0) + calls);
    failed.set(key, (failed.get(key) ?? 0) + calls);
  });
  return [...counts].map(([pair, count]) => {
    const key = run.failingKey[pair];
    return {
      labels: [...run.keys[key], errorText(run, run.failingError[pair]) ?? NOTHING],
      count,
      share: count / failed.get(key),
      error_rate: count / selection.tallies().get(key).calls,
    };
  });
}

const FAILURE_ROWS = {
  columns: ["count", "share", "error_rate"],
  isThere: (run) => Boolean(run.error_names),
  // Of each key all is known of the whole run, if its rows are all there.
  keepsRows: (selection, numRows) => selection.isWholeTime && numRows === selection.run.num_failing,
  note: () =>
    "Of the selection, exact. When calls of an error failed and how long they took is known of the whole run alone.",
  rows: (selection) =>
    failureRows(selection)
      .sort((one, other) => other.count - one.count)
      .slice(0, MOST_FAILURES),
  totals: (selection) => {
    let count = 0;
    eachFailure(selection, (_, __, calls) => (count += calls));
    return { count };
  },
};

// A strip for each of the most frequent errors of the selection, and one for the others.
function failuresSpec(selection, page) {
  const { run, from, to } = selection;
  if (!run.error_names) return null;
  const strips = new Map();
  eachFailure(selection, (pair, window, calls) => {
    const error = run.failingError[pair];
    if (!strips.has(error))
      strips.set(error, { error, total: 0, ys: Array.from({ length: to - from }, () => 0) });
    const strip = strips.get(error);
    strip.total += calls;
    strip.ys[window - from] += calls;
  });
  const ranked = [...strips.values()].sort(
    (one, other) => other.total - one.total || one.error - other.error,
  );
  if (!ranked.length) return null;
  const most = ranked.length > MOST_STRIPS ? MOST_STRIPS - 1 : MOST_STRIPS;
  const series = ranked.slice(0, most).map(({ error, total, ys }) => ({
    name: `${errorText(run, error) ?? "no error told"}: ${grouped(total)}`,
    tone: 3,
    ys,
  }));
  const rest = ranked.slice(most);
  if (rest.length) {
    series.push({
      name: `${counted(rest.length, "more error")}: ${grouped(sumOf(rest, ({ total }) => total))}`,
      tone: 3,
      ys: rest[0].ys.map((_, place) => sumOf(rest, ({ ys }) => ys[place])),
    });
  }
  return {
    ...overTimeSpec(selection, page, "Failed calls over time, by error", "", "count", series),
    kind: "strips",
    height: MARGIN.top + MARGIN.bottom + STRIP_HEIGHT * series.length,
  };
}
