// What is selected of a run, and the figures of it.
class Selection {
  constructor(run, from, to, keys) {
    this.run = run;
    this.from = from;
    this.to = to;
    this.keys = keys;
  }

  static whole(run) {
    return new Selection(
      run,
      0,
      run.num_windows,
      run.keys.map((_, key) => key),
    );
  }

  get isWholeTime() {
    return this.from === 0 && this.to === this.run.num_windows;
  }
  get isEveryKey() {
    return this.keys.length === this.run.keys.length;
  }
  get isWhole() {
    return this.isWholeTime && this.isEveryKey;
  }
  get begin() {
    return windowStart(this.run, this.from);
  }
  get end() {
    return windowStart(this.run, this.to);
  }

  tallies() {
    this.tallied ??= new Map(this.keys.map((key) => [key, tallyOf(this.run, key, this.from, this.to)]));
    return this.tallied;
  }

  total() {
    this.summed ??= together(this.run, this.tallies().values(), this.from, this.to);
    return this.summed;
  }

  windows() {
    this.timed ??= overTime(this.run, this.keys);
    return this.timed;
  }

  levels() {
    this.levelled ??= levelsOf(this);
    return this.levelled;
  }

  // The windows of one key, whatever the time.
  windowsOf(key) {
    this.byKey ??= new Map();
    if (!this.byKey.has(key)) this.byKey.set(key, overTime(this.run, [key], this.keys));
    return this.byKey.get(key);
  }

  // The same keys at another time: what is known by window stays.
  at(from, to) {
    const other = new Selection(this.run, from, to, this.keys);
    other.timed = this.timed;
    other.byKey = this.byKey ??= new Map();
    return other;
  }

  of(keys) {
    return new Selection(this.run, this.from, this.to, keys);
  }
}
