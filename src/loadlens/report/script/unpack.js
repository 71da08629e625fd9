// The run's timeline, from the form in which the page carries it; run_data.py tells the layout.

// Whole numbers of 7 bits a byte, the lowest first; all but the last byte have the 8th.
class Numbers {
  constructor(bytes, at) {
    this.bytes = bytes;
    this.at = at;
  }

  next() {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.bytes[this.at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
  }

  take(size) {
    const values = new Float64Array(size);
    for (let i = 0; i < size; i++) values[i] = this.next();
    return values;
  }
}

async function inflated(text) {
  const coded = atob(text);
  const bytes = new Uint8Array(coded.length);
  for (let i = 0; i < coded.length; i++) bytes[i] = coded.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Where the rows of each key, or the cells of each pair, begin and end.
function starts(sizes) {
  const found = new Int32Array(sizes.length + 1);
  sizes.forEach((size, i) => {
    found[i + 1] = found[i] + size;
  });
  return found;
}

// Values from the steps between them, which begin anew in each run.
function summedUp(steps, begins, values) {
  for (let run = 0; run + 1 < begins.length; run++) {
    let value = 0;
    for (let i = begins[run]; i < begins[run + 1]; i++) values[i] = value += steps[i];
  }
  return values;
}

async function unpackedRun(text) {
  const run = JSON.parse(text);
  const bytes = await inflated(run.packed);
  delete run.packed;
  const size = run.num_pairs;
  const view = new DataView(bytes.buffer);
  const latencies = ["sum", "min", "max"].map((_, column) =>
    Float64Array.from({ length: size }, (_, pair) => view.getFloat64(8 * (column * size + pair), true)),
  );
  [run.sum, run.min, run.max] = latencies;
  const numbers = new Numbers(bytes, 24 * size);
  run.pairStart = starts(numbers.take(run.keys.length));
  run.window = summedUp(numbers.take(size), run.pairStart, new Int32Array(size));
  run.count = Object.fromEntries(run.counts.map((name) => [name, numbers.take(size)]));
  run.cellStart = starts(numbers.take(size));
  run.bucket = summedUp(numbers.take(run.num_cells), run.cellStart, new Uint16Array(run.num_cells));
  run.cellCount = numbers.take(run.num_cells);
  run.activeStart = starts(numbers.take(run.keys.length));
  if (run.num_active !== null) {
    run.activeWindow = summedUp(
      numbers.take(run.num_active),
      run.activeStart,
      new Int32Array(run.num_active),
    );
    run.twiceActive = numbers.take(run.num_active);
  }
  run.endStart = starts(numbers.take(run.keys.length));
  run.endSecond = summedUp(numbers.take(run.num_ends), run.endStart, new Float64Array(run.num_ends));
  run.endCalls = numbers.take(run.num_ends);
  run.endCompletions = numbers.take(run.num_ends);
  if (run.error_names) {
    run.failingKey = numbers.take(run.num_failing);
    run.failingError = numbers.take(run.num_failing);
    run.failureStart = starts(numbers.take(run.num_failing));
    run.failureWindow = summedUp(
      numbers.take(run.num_failures),
      run.failureStart,
      new Int32Array(run.num_failures),
    );
    run.failureCalls = numbers.take(run.num_failures);
  }
  run.num_buckets = run.bucket.reduce((most, bucket) => Math.max(most, bucket), -1) + 1;
  return run;
}
