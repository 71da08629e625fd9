// The figures of a selection: pure functions of the run, as the library has them in Profile.quantile.

// A bucket is the leading 16 bits of a Float64: 16 buckets to a doubling of the latency.
const bucketFloat = new DataView(new ArrayBuffer(8));
function bucketLow(bucket) {
  bucketFloat.setUint32(0, bucket * 65536);
  return bucketFloat.getFloat64(0);
}
const bucketMiddle = (bucket) => (bucket === 0 ? 0 : (bucketLow(bucket) + bucketLow(bucket + 1)) / 2);

// Calls summed up over keys and windows.
class Tally {
  constructor(run) {
    this.run = run;
    this.counts = Object.fromEntries(run.counts.map((name) => [name, 0]));
    this.sum = 0;
    this.min = Infinity;
    this.max = -Infinity;
    this.histogram = new Float64Array(run.num_buckets);
    this.firstStart = Infinity;
    this.lastEnd = -Infinity;
    this.seconds = 0;
    this.completions = 0;
    this.activeSeconds = 0;
    this.twiceActive = 0; // active calls at each second summed up, twice
  }

  addPair(pair) {
    const run = this.run;
    for (const name of run.counts) this.counts[name] += run.count[name][pair];
    if (run.count.timed[pair]) {
      this.sum += run.sum[pair];
      this.min = Math.min(this.min, run.min[pair]);
      this.max = Math.max(this.max, run.max[pair]);
    }
    for (let cell = run.cellStart[pair]; cell < run.cellStart[pair + 1]; cell++) {
      this.histogram[run.bucket[cell]] += run.cellCount[cell];
    }
  }

  add(other) {
    for (const name of this.run.counts) this.counts[name] += other.counts[name];
    this.sum += other.sum;
    this.min = Math.min(this.min, other.min);
    this.max = Math.max(this.max, other.max);
    other.histogram.forEach((count, bucket) => {
      this.histogram[bucket] += count;
    });
    this.twiceActive += other.twiceActive;
    this.firstStart = Math.min(this.firstStart, other.firstStart);
    this.lastEnd = Math.max(this.lastEnd, other.lastEnd);
  }

  // Seconds between two times that lie between the first start and the last end of these calls.
  within(begin, end) {
    const run = this.run;
    this.completions = this.counts.successes;
    const last = this.lastEnd <= end ? this.lastEnd + run.tick_s : end;
    this.seconds = Math.max(0, last - Math.max(begin, this.firstStart));
    const low = Math.floor(this.firstStart) + 1;
    const high = Math.ceil(this.lastEnd + run.resolution_s) - 1;
    const inside = (second) => Math.min(Math.max(second, low - 1), high);
    this.activeSeconds = (inside(end) + inside(end - 1) - inside(begin) - inside(begin - 1)) / 2;
    return this;
  }

  get calls() {
    return this.counts.successes + this.counts.errors;
  }
  get errorRate() {
    return this.calls ? this.counts.errors / this.calls : null;
  }
  get throughput() {
    return this.seconds > 0 ? this.completions / this.seconds : null;
  }
  get mean() {
    return this.counts.timed ? this.sum / this.counts.timed : null;
  }
  get active() {
    const isKnown = this.run.twiceActive && this.activeSeconds > 0;
    return isKnown ? this.twiceActive / 2 / this.activeSeconds : null;
  }

  // Once a tally is complete: quantiles are asked for again with each step of a drag.
  quantile(q) {
    this.known ??= new Map();
    if (!this.known.has(q)) this.known.set(q, this.foundQuantile(q));
    return this.known.get(q);
  }

  // Linear interpolation between ranks, each told by the middle of its bucket; null without calls.
  foundQuantile(q) {
    const size = this.counts.timed;
    if (!size) return null;
    const position = (size - 1) * q;
    const rank = Math.floor(position);
    const weight = position - rank;
    const [at, after] = this.bucketsAt(rank, Math.min(rank + 1, size - 1));
    const told = (tell) => {
      const [one, other] = [tell(at), tell(after)];
      return Math.min(Math.max(one + (other - one) * weight, this.min), this.max);
    };
    return { value: told(bucketMiddle), low: told(bucketLow), high: told((bucket) => bucketLow(bucket + 1)) };
  }

  // The buckets of two ranks, from 0, the second not before the first.
  bucketsAt(first, second) {
    const found = [];
    let end = 0;
    for (let bucket = 0; bucket < this.histogram.length; bucket++) {
      end += this.histogram[bucket];
      if (found.length === 0 && end > first) found.push(bucket);
      if (end > second) {
        found.push(bucket);
        break;
      }
    }
    return found.map((bucket) => bucket + this.run.lowest_bucket);
  }
}

// The calls of one key in the windows from one on and before another.
function tallyOf(run, key, from, to) {
  const tally = new Tally(run);
  tally.firstStart = run.first_s[key] ?? Infinity;
  tally.lastEnd = run.last_s[key] ?? -Infinity;
  for (let pair = run.pairStart[key]; pair < run.pairStart[key + 1]; pair++) {
    if (run.window[pair] >= from && run.window[pair] < to) tally.addPair(pair);
  }
  eachActive(run, key, (window, twice) => {
    if (window >= from && window < to) tally.twiceActive += twice;
  });
  return tally.within(windowStart(run, from), windowStart(run, to));
}

function eachActive(run, key, take) {
  if (!run.twiceActive) return;
  for (let row = run.activeStart[key]; row < run.activeStart[key + 1]; row++)
    take(run.activeWindow[row], run.twiceActive[row]);
}

function together(run, tallies, from, to) {
  const all = new Tally(run);
  for (const tally of tallies) all.add(tally);
  return all.within(windowStart(run, from), windowStart(run, to));
}

// Of each window the calls of some keys, with the rates of timeline in the library; all are those of the run.
function overTime(run, keys, all = keys) {
  const windows = Array.from({ length: run.num_windows }, () => new Tally(run));
  const { firstStart, lastEnd } = spanOf(run, keys);
  for (const key of keys) {
    for (let pair = run.pairStart[key]; pair < run.pairStart[key + 1]; pair++)
      windows[run.window[pair]].addPair(pair);
    eachActive(run, key, (window, twice) => (windows[window].twiceActive += twice));
  }
  windows.forEach((tally, window) => {
    Object.assign(tally, { firstStart, lastEnd });
    tally.within(windowStart(run, window), windowStart(run, window + 1));
  });
  coverEnds(run, keys, windows, loadOf(run, isBusy(windows) ? keys : all));
  return windows;
}

function spanOf(run, keys) {
  let [firstStart, lastEnd] = [Infinity, -Infinity];
  for (const key of keys) {
    firstStart = Math.min(firstStart, run.first_s[key] ?? Infinity);
    lastEnd = Math.max(lastEnd, run.last_s[key] ?? -Infinity);
  }
  return { firstStart, lastEnd };
}

// Whether there are so many calls that the first and the last are the ends of the load.
const FEWEST_IN_WINDOWS = 5;
function isBusy(windows) {
  const first = windows.findIndex(({ calls }) => calls > 0);
  const last = windows.findLastIndex(({ calls }) => calls > 0);
  return sumOf(windows, ({ calls }) => calls) >= FEWEST_IN_WINDOWS * (last - first + 1);
}

// The first whole second of the load of some keys, and the last in which a call starts.
function loadOf(run, keys) {
  const { firstStart, lastEnd } = spanOf(run, keys);
  const lastStarts = keys.map((key) => run.last_start_s[key] ?? -Infinity);
  return {
    low: firstStart === Infinity ? -Infinity : Math.ceil(firstStart + run.resolution_s),
    high: run.tells_seconds
      ? lastStarts.reduce((most, second) => Math.max(most, second), -Infinity)
      : Math.floor(lastEnd),
  };
}

// Windows that the load covers in part have the rates of the whole seconds that it covers.
function coverEnds(run, keys, windows, { low, high }) {
  const begins = windows.map((_, window) => windowStart(run, window));
  const ends = begins.map((begin) => begin + run.width_s);
  const isEdge = windows.map(
    ({ lastEnd }, at) => begins[at] < low || (begins[at] <= high && high < ends[at]) || lastEnd < ends[at],
  );
  const covered = isEdge.map((is, at) => {
    if (!is) return run.width_s;
    return run.tells_seconds ? Math.max(0, Math.min(ends[at], high) - Math.max(begins[at], low)) : 0;
  });
  if (!covered.some((seconds) => seconds > 0)) return; // shorter than any whole second
  windows.forEach((tally, window) => {
    tally.seconds = covered[window];
  });
  for (const key of keys) {
    for (let end = run.endStart[key]; end < run.endStart[key + 1]; end++) {
      const second = run.start_s + run.endSecond[end];
      const window = Math.floor(run.endSecond[end] / run.width_s);
      if (isEdge[window] && (second < low || second >= high))
        windows[window].completions -= run.endCompletions[end];
    }
  }
}

const sumOf = (items, figure) => items.reduce((sum, item) => sum + figure(item), 0);

const windowStart = (run, window) => run.start_s + window * run.width_s;

const PERCENTILE = /^invocation_latency_p(\d+)$/;

// The columns of the summary that a tally tells, beside percentiles and error classes.
const FIGURES = {
  num_invocations: ({ counts }) => counts.successes + counts.timed_errors,
  successful_invocations: ({ counts }) => counts.successes,
  num_errors: ({ counts }) => counts.errors,
  error_rate: (tally) => tally.errorRate,
  throughput: (tally) => tally.throughput,
  invocation_latency_mean: (tally) => tally.mean,
  invocation_latency_min: ({ counts, min }) => (counts.timed ? min : null),
  invocation_latency_max: ({ counts, max }) => (counts.timed ? max : null),
  invocation_latency_max_all: ({ counts, max }) => (counts.timed ? max : null),
  invocation_latency_iqr: (tally) =>
    tally.counts.timed ? tally.quantile(0.75).value - tally.quantile(0.25).value : null,
};

const isErrorClass = (run, column) =>
  run.counts.includes(column) && !["successes", "timed", "errors", "timed_errors"].includes(column);

// Whether the timeline can tell what a column says.
function isTold(run, column) {
  if (run.untold.includes(column)) return false;
  return (
    column in FIGURES ||
    column === "invocation_latency_median" ||
    PERCENTILE.test(column) ||
    isErrorClass(run, column)
  );
}

// What a column says of a tally: its value and, of percentiles, low and high; null for nothing.
function columnFigure(tally, column) {
  const { run } = tally;
  if (!isTold(run, column)) return null;
  if (column === "invocation_latency_median") return tally.quantile(0.5);
  const percentile = PERCENTILE.exec(column);
  if (percentile) return tally.quantile(percentile[1] === "100" ? 1 : Number(`0.${percentile[1]}`));
  const value = column in FIGURES ? FIGURES[column](tally) : tally.counts[column];
  return value === null ? null : { value };
}
