// What the charts of a report show of a selection.
const OVER_TIME_PERCENTILES = { p50: 0.5, p90: 0.9, p99: 0.99 };
const MOST_CURVES = 6;

// Charts over time show the windows of the selection; a drag on one narrows it.
function overTimeSpec(selection, page, title, unit, format, series) {
  const { run, from, to } = selection;
  return {
    title,
    unit,
    format,
    series,
    kind: "line",
    isLinear: series.length === 1 && !unit.includes("ms"),
    xs: to - from,
    xText: (place) => moment(run, windowStart(run, from + place)),
    xTicks: (most) => {
      const origin = run.is_calendar ? 0 : run.start_s;
      return timeTicks(selection.begin - origin, selection.end - origin, Math.max(2, most)).map((time) => ({
        at: (time + origin - run.start_s) / run.width_s - from,
        text: tickTime(run, time + origin, selection),
      }));
    },
    zoom: (places) =>
      places
        ? page.select(selection.at(from + places[0], from + places[1]), true)
        : page.select(selection.at(0, run.num_windows), true),
  };
}

function tickTime(run, time, selection) {
  if (!run.is_calendar) return clock(time - run.start_s);
  const text = new Date(1000 * time).toISOString();
  return selection.end - selection.begin > 2 * 86400
    ? text.slice(5, 10)
    : text.slice(11, selection.end - selection.begin > 600 ? 16 : 19);
}

// What the charts are made of, in the place of the captions of their pictures.
function viewCaption(name, run) {
  const bound = `within ${boundText(run)}`;
  const windows = `windows of ${grouped(run.width_s)} s`;
  return {
    over_time: `Of the selected calls, by ${windows}. Counts and rates are exact, percentiles ${bound}.`,
    over_time_by_key: `The busiest configurations and those with the highest p99, by ${windows}; percentiles ${bound}.`,
    latency_spectrum: `Of every successful call that is selected; ${bound}.`,
    load:
      "Small points are windows of time, large ones levels of the load: windows put together by their " +
      `active calls. Percentiles ${bound}.`,
    failures: `Failed calls by ${windows}: the stronger the colour, the more.`,
    latency_density:
      "Successful calls by latency, in steps of about 1/16 of a doubling. Curves of configurations are smoothed; " +
      "what the pointer tells is exact.",
    latency_heatmap: `Successful calls by latency and ${windows}: the stronger the colour, the more.`,
  }[name];
}

// Figures of windows; without those of which the load covers too little to be drawn beside others.
const LEAST_COVERED = 0.1;
function figuresOver(windows, figure) {
  const isCovered = ({ run, seconds }) => seconds >= LEAST_COVERED * run.width_s;
  const some = windows.some(isCovered);
  return windows.map((tally) => (some && !isCovered(tally) ? null : figure(tally)));
}

const chosenWindows = (selection) => selection.windows().slice(selection.from, selection.to);
const valueOf = (tally, q) => tally.quantile(q)?.value ?? null;

const VIEWS = {
  load: [(selection) => loadThroughputSpec(selection), (selection) => loadLatencySpec(selection)],
  failures: [(selection, page) => failuresSpec(selection, page)],
  over_time: [
    (selection, page) =>
      overTimeSpec(
        selection,
        page,
        "Latency (ms)",
        " ms",
        "measure",
        Object.entries(OVER_TIME_PERCENTILES).map(([name, q], tone) => ({
          name,
          tone,
          ys: figuresOver(chosenWindows(selection), (tally) => valueOf(tally, q)),
        })),
      ),
    (selection, page) =>
      overTimeSpec(selection, page, "Throughput (per s)", " per s", "measure", [
        {
          name: "Successful calls",
          tone: 0,
          ys: figuresOver(chosenWindows(selection), ({ throughput }) => throughput),
        },
      ]),
    (selection, page) => {
      const ys = figuresOver(chosenWindows(selection), ({ errorRate }) => errorRate);
      return ys.some((share) => share > 0)
        ? overTimeSpec(selection, page, "Failed calls", "", "share", [
            { name: "Share of calls", tone: 3, ys },
          ])
        : null;
    },
    (selection, page) => {
      const ys = figuresOver(chosenWindows(selection), ({ active }) => active);
      return ys.some((value) => value !== null)
        ? overTimeSpec(selection, page, "Active calls", "", "measure", [
            { name: "Mean of a window", tone: 2, ys },
          ])
        : null;
    },
  ],
  over_time_by_key: [
    (selection, page) =>
      byKeySpec(selection, page, "p99 latency (ms)", " ms", (tally) => valueOf(tally, 0.99)),
    (selection, page) =>
      byKeySpec(selection, page, "Throughput (per s)", " per s", (tally) => tally.throughput),
  ],
  latency_spectrum: [(selection) => spectrumSpec(selection)],
  latency_density: [(selection) => histogramSpec(selection), (selection) => spreadByKeySpec(selection)],
  latency_heatmap: [(selection, page) => heatmapSpec(selection, page)],
};

// Views of what not every run tells.
const VIEWS_OF_SOME_RUNS = {
  load: (run) => LEVEL_ROWS.isThere(run),
  failures: (run) => FAILURE_ROWS.isThere(run),
};

// The busiest keys and those with the highest p99, at most so many; the rest are told as a number.
function notableKeys(selection) {
  const tallies = [...selection.tallies()].filter(([, tally]) => tally.counts.timed);
  const ranked = (figure) =>
    [...tallies].sort(([, one], [, other]) => figure(other) - figure(one)).map(([key]) => key);
  const slowest = ranked((tally) => valueOf(tally, 0.99) ?? -1);
  const busiest = ranked((tally) => tally.calls);
  const keys = new Set();
  for (let i = 0; i < tallies.length && keys.size < MOST_CURVES; i++) {
    keys.add(slowest[i]);
    if (keys.size < MOST_CURVES) keys.add(busiest[i]);
  }
  return { keys: [...keys].sort((one, other) => one - other), more: tallies.length - keys.size };
}

const moreText = (more) => (more > 0 ? `; ${grouped(more)} more configurations are in the tables` : "");

function byKeySpec(selection, page, title, unit, figure) {
  if (selection.run.keys.length === 1) return null;
  const { keys, more } = notableKeys(selection);
  const series = keys.map((key, tone) => ({
    name: selection.run.names[key],
    tone,
    ys: figuresOver(selection.windowsOf(key).slice(selection.from, selection.to), figure),
  }));
  return overTimeSpec(
    selection,
    page,
    `${title.replace(" (", " by configuration (")}${moreText(more)}`,
    unit,
    "measure",
    series,
  );
}

function spectrumSpec(selection) {
  const total = selection.total();
  if (!total.counts.timed) return null;
  const tails = Array.from({ length: 76 }, (_, i) => 10 ** (i / 15)) // 1 / (1 - quantile), to p99.999
    .filter((tail, i) => i < 2 || tail <= total.counts.timed);
  const curve = (tally) =>
    tails.map((tail) => (tail <= tally.counts.timed ? valueOf(tally, 1 - 1 / tail) : null));
  const { keys, more } = notableKeys(selection);
  const some = selection.keys.length > 1 ? keys : [];
  const series = some.map((key, tone) => ({
    name: selection.run.names[key],
    tone,
    ys: curve(selection.tallies().get(key)),
  }));
  const percentile = (tail) => `p${+(100 * (1 - 1 / tail)).toFixed(tail > 900 ? 3 : tail > 90 ? 2 : 1)}`;
  const ticks = [1, 2, 4, 10, 100, 1000, 10000, 100000];
  return {
    title: `Latency by percentile (ms)${some.length ? moreText(more) : ""}`,
    unit: " ms",
    format: "measure",
    kind: "line",
    height: 300,
    series: [{ name: "All selected calls", tone: "all", ys: curve(total) }, ...series],
    xs: tails.length,
    xText: (place) => percentile(tails[place]),
    xTicks: () =>
      ticks
        .filter((tail) => tail <= tails.at(-1))
        .map((tail) => ({ at: 15 * Math.log10(tail) + 0.5, text: percentile(tail) })),
  };
}

// The buckets from the first to the last that have calls, as places along an axis.
function bucketAxis({ run, histogram }) {
  const first = histogram.findIndex((count) => count > 0);
  const xs = histogram.findLastIndex((count) => count > 0) + 1 - first;
  const low = (place) => bucketLow(run.lowest_bucket + first + place);
  const xTicks = () =>
    decades(Math.max(low(0), 1e-3), low(xs)).map((latency) => {
      const place = Array.from({ length: xs }, (_, i) => i).findLast((one) => low(one) <= latency) ?? 0;
      return {
        at: place + (latency - low(place)) / (low(place + 1) - low(place)),
        text: `${+latency.toPrecision(3)} ms`,
      };
    });
  // Buckets get wider by a part of a doubling: heights are counts of parts that are equally wide.
  const width = (place) => 16 * Math.log2(low(place + 1) / Math.max(low(place), low(place + 1) / 2));
  const counts = (tally) => [...tally.histogram.slice(first, first + xs)];
  return {
    xs,
    xTicks,
    counts,
    heights: (tally) => counts(tally).map((count, place) => count / width(place)),
    xText: (place) => `${shown("measure", low(place))} to ${shown("measure", low(place + 1))} ms`,
  };
}

function histogramSpec(selection) {
  const total = selection.total();
  if (!total.counts.timed) return null;
  const { xs, xTicks, xText, counts, heights } = bucketAxis(total);
  return {
    title: "How latencies spread (calls by latency)",
    unit: "",
    format: "count",
    kind: "bars",
    isLinear: true,
    height: 240,
    xs,
    xTicks,
    xText,
    series: [{ name: "Successful calls", tone: 0, ys: heights(total), told: counts(total) }],
  };
}

function spreadByKeySpec(selection) {
  const { keys, more } = notableKeys(selection);
  if (keys.length < 2) return null;
  const { xs, xTicks, xText, counts, heights } = bucketAxis(selection.total());
  const series = keys.map((key, tone) => {
    const tally = selection.tallies().get(key);
    const share = (count) => count / tally.counts.timed;
    return {
      name: selection.run.names[key],
      tone,
      ys: smoothed(heights(tally), tally.counts.timed).map(share),
      told: counts(tally).map(share),
    };
  });
  const title = `How latencies spread by configuration (share of its calls)${moreText(more)}`;
  return {
    title,
    unit: "",
    format: "share",
    kind: "line",
    isLinear: true,
    height: 240,
    xs,
    xTicks,
    xText,
    series,
  };
}

// Values along places with what is chance taken out: the more calls, the less of it (Silverman's rule).
function smoothed(values, calls) {
  const sum = sumOf(values, (value) => value);
  const mean = values.reduce((found, value, place) => found + value * place, 0) / sum;
  const variance = values.reduce((found, value, place) => found + value * (place - mean) ** 2, 0) / sum;
  const width = Math.max(0.5, 0.9 * Math.sqrt(variance) * calls ** -0.2);
  const reach = Math.ceil(3 * width);
  const kernel = Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-(((i - reach) / width) ** 2) / 2));
  const mass = sumOf(kernel, (weight) => weight);
  return values.map(
    (_, place) =>
      kernel.reduce((found, weight, i) => found + weight * (values[place + i - reach] ?? 0), 0) / mass,
  );
}

function heatmapSpec(selection, page) {
  const { run } = selection;
  const windows = chosenWindows(selection);
  const even = run.lowest_bucket - (run.lowest_bucket % 2);
  const rows = Math.ceil((run.lowest_bucket + run.num_buckets - even) / 2); // of two buckets each
  const bounds = Array.from({ length: rows + 1 }, (_, row) => bucketLow(even + 2 * row));
  const cells = [];
  windows.forEach(({ histogram }, place) => {
    for (let row = even ? 0 : 1; row < rows; row++) {
      const bucket = even + 2 * row - run.lowest_bucket;
      const count = (histogram[bucket] ?? 0) + (histogram[bucket + 1] ?? 0);
      if (count) cells.push({ place, low: bounds[row], high: bounds[row + 1], count });
    }
  });
  if (!cells.length) return null;
  const latencies = [Math.min, Math.max].map((most, end) =>
    cells.reduce((found, { low, high }) => most(found, end ? high : low), end ? 0 : Infinity),
  );
  const calls = windows.map((tally) => tally.counts.timed);
  const spec = overTimeSpec(selection, page, "Latency over time (ms)", "", "measure", [
    { name: "Successful calls", tone: 0, ys: calls },
  ]);
  return { ...spec, kind: "cells", cells, latencies, height: 260, format: "count" };
}
