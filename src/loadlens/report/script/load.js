// Latency and throughput by the load: windows put together by their active calls, as the library does it.
const MOST_LEVELS = 20;

class Level extends Tally {
  constructor(run, number, step) {
    super(run);
    this.number = number;
    this.begin = Math.max(0, (number - 0.5) * step);
    this.end = (number + 0.5) * step;
    this.activeTime = 0;
  }

  include(window) {
    this.add(window);
    this.seconds += window.seconds;
    this.completions += window.completions;
    this.activeTime += window.active * window.seconds;
  }

  get active() {
    return this.activeTime / this.seconds;
  }
}

function levelStep(windows) {
  const least = Math.max(1, ...windows.map(({ active }) => active)) / MOST_LEVELS;
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((part) => part * power).find((step) => step >= least * (1 - 1e-9));
}

// The levels of a selection, ascending, how many active calls a level spans, and the windows that they are made of.
function levelsOf(selection) {
  const windows = chosenWindows(selection).filter(({ seconds, active }) => seconds > 0 && active !== null);
  const step = levelStep(windows);
  const levels = new Map();
  for (const window of windows) {
    const number = Math.floor(window.active / step + 0.5);
    if (!levels.has(number)) levels.set(number, new Level(selection.run, number, step));
    levels.get(number).include(window);
  }
  return { step, windows, levels: [...levels.values()].sort((one, other) => one.number - other.number) };
}

const LEVEL_FIGURES = {
  active_from: ({ begin }) => begin,
  active_to: ({ end }) => end,
  active_calls: ({ active }) => active,
  covered_s: ({ seconds }) => seconds,
  calls: ({ calls }) => calls,
  errors: ({ counts }) => counts.errors,
  error_rate: ({ errorRate }) => errorRate,
  throughput: ({ throughput }) => throughput,
  p50_ms: (level) => level.quantile(0.5),
  p95_ms: (level) => level.quantile(0.95),
  p99_ms: (level) => level.quantile(0.99),
  max_ms: ({ counts, max }) => (counts.timed ? max : null),
};

const LEVEL_ROWS = {
  columns: Object.keys(LEVEL_FIGURES),
  isThere: (run) => Boolean(run.twiceActive),
  keepsRows: () => false,
  note: (run) =>
    `Windows of the selection, put together by their active calls. Percentiles are within ${boundText(run)}, all else is exact.`,
  rows: (selection) =>
    selection.levels().levels.map((level) =>
      Object.fromEntries(Object.entries(LEVEL_FIGURES).map(([name, figure]) => [name, figure(level)])),
    ),
  totals: () => ({}),
};

// A chart over levels: a place is a level, those without windows among them.
function levelsSpec(selection, title, unit, figures, points) {
  const { step, levels } = selection.levels();
  if (!levels.length) return null;
  const first = levels[0].number;
  const xs = levels.at(-1).number - first + 1;
  const placeOf = (active) => active / step + 0.5 - first;
  const spread = (figure, of = levels) => {
    const values = Array.from({ length: xs }, () => null);
    for (const level of of) values[level.number - first] = figure(level);
    return values;
  };
  return {
    title,
    unit,
    format: "measure",
    kind: "line",
    isBridged: true,
    xs,
    xText: (place) =>
      `${shown("measure", Math.max(0, (first + place - 0.5) * step))} to ${shown("measure", (first + place + 0.5) * step)} active calls`,
    xTicks: (most) => {
      const tick = niceStep((xs * step) / Math.max(2, most));
      const ticks = [];
      for (let at = Math.ceil(((first - 0.5) * step) / tick); at * tick <= (first + xs - 0.5) * step; at++)
        if (at >= 0) ticks.push({ at: placeOf(at * tick), text: `${+(at * tick).toPrecision(6)}` });
      return ticks;
    },
    series: figures.map(({ name, tone, figure }) => ({
      name,
      tone,
      ys: spread(figure),
      at: spread(({ active }) => placeOf(active)),
    })),
    points: points.map(({ active, value }) => ({ at: placeOf(active), value })),
    lineAt: (place) => (first + place) * step,
  };
}

function loadThroughputSpec(selection) {
  const spec = levelsSpec(
    selection,
    "Throughput by active calls (successful calls per s)",
    " per s",
    [{ name: "Level of the load", tone: 0, figure: ({ throughput }) => throughput }],
    selection.levels().windows.map(({ active, throughput }) => ({ active, value: throughput })),
  );
  if (!spec) return null;
  spec.isLinear = true;
  const { law } = selection.run;
  if (!law) return spec;
  const slowed = (load) => 1 + law.contention * (load - 1) + law.coherency * load * (load - 1);
  const ys = Array.from({ length: spec.xs }, (_, place) => {
    const load = spec.lineAt(place);
    return load >= law.lowest && load <= law.highest ? (law.rate_per_s * load) / slowed(load) : null;
  });
  return { ...spec, series: [...spec.series, { name: "Law fitted to the whole run", tone: "law", ys }] };
}

const loadLatencySpec = (selection) =>
  levelsSpec(
    selection,
    "Latency by active calls (ms)",
    " ms",
    Object.entries({ p50: 0.5, p95: 0.95, p99: 0.99 }).map(([name, q], tone) => ({
      name,
      tone,
      figure: (level) => valueOf(level, q),
    })),
    [],
  );
