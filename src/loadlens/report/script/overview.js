// The run at a glance, on which a range of time is dragged.
const OVERVIEW_HEIGHT = 64;

class Overview {
  constructor(run, onSelect) {
    this.run = run;
    this.onSelect = onSelect;
    this.bars = draw("path", { class: "bars" });
    this.failed = draw("path", { class: "failed" });
    this.veils = [0, 1].map(() => draw("rect", { class: "veil", y: 0, height: OVERVIEW_HEIGHT }));
    this.handles = ["from", "to"].map((end) =>
      draw("rect", {
        class: "handle",
        y: 0,
        width: 6,
        height: OVERVIEW_HEIGHT,
        rx: 2,
        role: "slider",
        tabindex: 0,
        "aria-label": end === "from" ? "Begin of the selection" : "End of the selection",
        "aria-orientation": "horizontal",
        "aria-valuemin": 0,
        "aria-valuemax": run.num_windows,
      }),
    );
    this.element = draw(
      "svg",
      {
        class: "overview",
        preserveAspectRatio: "none",
        role: "group",
        "aria-label": "Calls over time: drag to select a range of time",
      },
      this.bars,
      this.failed,
      ...this.veils,
      ...this.handles,
    );
    this.element.addEventListener("pointerdown", (event) => this.press(event));
    this.element.addEventListener("dblclick", () => this.onSelect(0, run.num_windows, true));
    this.handles.forEach((handle, end) =>
      handle.addEventListener("keydown", (event) => this.key(event, end)),
    );
    this.width = 800;
    new ResizeObserver(([{ contentRect }]) => {
      this.width = contentRect.width || 800;
      this.show(this.selection);
    }).observe(this.element);
  }

  x(window) {
    return (window / this.run.num_windows) * this.width;
  }

  windowAt(event) {
    const { left, width } = this.element.getBoundingClientRect();
    return ((event.clientX - left) / width) * this.run.num_windows;
  }

  // A press on a handle moves that end, one within the selection moves all of it, any other begins anew.
  press(event) {
    if (event.button) return;
    event.preventDefault();
    const at = this.windowAt(event);
    const { from, to, isWholeTime } = this.selection;
    const reach = ((event.pointerType === "touch" ? 20 : 8) / this.width) * this.run.num_windows;
    let move = (window) => [Math.floor(Math.min(at, window)), Math.ceil(Math.max(at, window))];
    if (Math.abs(at - to) < reach) move = (window) => ordered(from, Math.round(window));
    else if (Math.abs(at - from) < reach) move = (window) => ordered(Math.round(window), to);
    else if (!isWholeTime && at > from && at < to) {
      move = (window) => {
        const step = Math.min(Math.max(Math.round(window - at), -from), this.run.num_windows - to);
        return [from + step, to + step];
      };
    }
    this.drag(event, move);
  }

  drag(event, move) {
    this.element.setPointerCapture(event.pointerId);
    const moved = (other) => this.choose(...move(this.windowAt(other)), false);
    const ended = (other) => {
      this.element.removeEventListener("pointermove", moved);
      this.choose(...move(this.windowAt(other)), true);
    };
    this.element.addEventListener("pointermove", moved);
    this.element.addEventListener("pointerup", ended, { once: true });
    this.element.addEventListener(
      "pointercancel",
      () => this.element.removeEventListener("pointermove", moved),
      { once: true },
    );
  }

  key(event, end) {
    const { from, to } = this.selection;
    const ends = [from, to];
    const page = Math.max(1, Math.round(this.run.num_windows / 10));
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -page, PageUp: page };
    if (event.key in steps) ends[end] += steps[event.key];
    else if (event.key === "Home") ends[end] = end ? from + 1 : 0;
    else if (event.key === "End") ends[end] = end ? this.run.num_windows : to - 1;
    else return;
    event.preventDefault();
    if (ends[0] < ends[1]) this.choose(...ends, true);
  }

  choose(from, to, isDone) {
    const last = this.run.num_windows;
    const low = Math.min(Math.max(from, 0), last - 1);
    this.onSelect(low, Math.min(Math.max(to, low + 1), last), isDone);
  }

  show(selection) {
    if (!selection) return;
    this.selection = selection;
    this.handles.forEach((handle, end) =>
      this.place(handle, end ? selection.to : selection.from, end ? 6 : 0),
    );
    this.cover(this.veils[0], 0, selection.from);
    this.cover(this.veils[1], selection.to, this.run.num_windows);
    const drawn = `${this.width} ${selection.keys.length} ${selection.keys}`;
    if (drawn !== this.drawn) this.drawBars(selection.windows());
    this.drawn = drawn;
  }

  cover(veil, from, to) {
    veil.setAttribute("x", this.x(from));
    veil.setAttribute("width", this.x(to - from));
  }

  place(handle, window, width) {
    handle.setAttribute("x", this.x(window) - width);
    handle.setAttribute("aria-valuenow", window);
    handle.setAttribute("aria-valuetext", moment(this.run, windowStart(this.run, window)));
  }

  drawBars(windows) {
    this.element.setAttribute("viewBox", `0 0 ${this.width} ${OVERVIEW_HEIGHT}`);
    const most = Math.max(1, ...windows.map((tally) => tally.calls));
    const path = (count) =>
      windows
        .map((tally, window) => {
          const height = (count(tally) / most) * (OVERVIEW_HEIGHT - 4);
          return height ? `M${this.x(window)} ${OVERVIEW_HEIGHT}v${-height}h${this.x(1)}v${height}z` : "";
        })
        .join("");
    this.bars.setAttribute(
      "d",
      path((tally) => tally.calls),
    );
    this.failed.setAttribute(
      "d",
      path((tally) => tally.counts.errors),
    );
  }
}

const ordered = (one, other) => (one <= other ? [one, other] : [other, one]);
