// A chart of lines, bars or shaded cells that tells its values and can be zoomed, by pointer and by keys.
const MARGIN = { left: 58, right: 12, top: 8, bottom: 22 };
const LETTER_WIDTH = 7;
const PRINTED_LETTER_WIDTH = 9.5; // letters are larger on paper, and what is drawn stays as it is
const STRIP_HEIGHT = 34;
const STRIP_TEXT = 14;

// What a chart shows:
//   title, unit, format   of its values
//   xs                    how many places there are along the x axis; a place is as wide as the next
//   xText                 what a place is called
//   xTicks                [{ at, text }], as a function of how many there may be
//   series                [{ name, ys, tone }], a value or null for each place; told, where others are to be told;
//                         at, where within the places values are, if not in their middle
//   kind                  "line" or "bars"; "cells" with cells: [{ place, low, high, count }] of latencies: [least, most];
//                         "strips", one for each series
//   isBridged             whether lines go on where a value is missing, so that values are marked
//   points                [{ at, value }], drawn behind the lines
//   isLinear              whether its values are on a linear axis, however far they spread
//   zoom                  what a drag over places does; without it, the chart itself shows these alone
class Chart {
  constructor(describe, redrawn) {
    this.describe = describe;
    this.zoomed = null;
    this.title = make("p", { class: "chart-title" });
    this.reset = make("button", { type: "button", hidden: true }, "Show all");
    this.reset.addEventListener("click", () => this.zoomTo(null));
    this.legend = make("ul", { class: "legend" });
    this.svg = draw("svg", {
      class: "chart",
      tabindex: 0,
      role: "slider",
      "aria-valuemin": 0,
      "aria-valuenow": 0,
    });
    this.element = make(
      "div",
      { class: "drawn", hidden: true },
      make("div", { class: "chart-head" }, this.title, this.reset),
      this.legend,
      this.svg,
    );
    this.svg.addEventListener("pointermove", (event) => this.point(this.placeAt(event)));
    this.svg.addEventListener("pointerleave", () => this.point(null));
    this.svg.addEventListener("blur", () => this.point(null));
    this.svg.addEventListener("pointerdown", (event) => this.press(event));
    this.svg.addEventListener("dblclick", () => this.zoomTo(null));
    this.svg.addEventListener("keydown", (event) => this.key(event));
    this.redrawn = redrawn;
  }

  show(selection, width) {
    this.selection = selection;
    this.width = Math.max(width, 280);
    const spec = this.describe(selection);
    const isTold = spec?.series.some(({ ys }) => ys.some((value) => value !== null)) ?? false;
    this.element.hidden = !isTold;
    if (!isTold) return;
    this.spec = spec;
    if (this.zoomed && this.zoomed[1] > spec.xs) this.zoomed = null;
    this.paint();
  }

  get places() {
    return this.zoomed ?? [0, this.spec.xs];
  }
  get height() {
    return this.spec.height ?? 180;
  }
  get plotWidth() {
    return this.width - MARGIN.left - MARGIN.right;
  }
  get plotHeight() {
    return this.height - MARGIN.top - MARGIN.bottom;
  }

  x(place) {
    const [from, to] = this.places;
    return MARGIN.left + ((place - from) / (to - from)) * this.plotWidth;
  }

  placeAt(event) {
    const { left, width } = this.svg.getBoundingClientRect();
    const [from, to] = this.places;
    const part = (((event.clientX - left) / width) * this.width - MARGIN.left) / this.plotWidth;
    return Math.min(Math.max(Math.floor(from + part * (to - from)), from), to - 1);
  }

  paint() {
    const { spec } = this;
    const [from, to] = this.places;
    this.title.textContent = spec.title;
    this.reset.hidden = !this.zoomed;
    this.points = (spec.points ?? []).filter(({ at }) => at >= from && at <= to);
    const values = [
      ...spec.series.flatMap(({ ys }) => ys.slice(from, to)).filter((value) => value !== null),
      ...this.points.map(({ value }) => value),
    ];
    if (spec.kind === "strips") this.scale = { ticks: [] };
    else if (spec.kind === "cells") this.scale = logScale(...spec.latencies, this.plotHeight);
    else this.scale = scaleOf(values, this.plotHeight, spec.isLinear);
    this.cursor = draw("line", {
      class: "cursor",
      y1: MARGIN.top,
      y2: MARGIN.top + this.plotHeight,
      visibility: "hidden",
    });
    this.chosen = draw("rect", { class: "range", y: MARGIN.top, height: this.plotHeight, width: 0 });
    this.svg.replaceChildren(
      ...this.yAxis(),
      ...this.xAxis(),
      this.chosen,
      ...this.marks(from, to),
      this.cursor,
    );
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.svg.setAttribute("aria-label", `${spec.title}: arrow keys read values`);
    this.svg.setAttribute("aria-valuemax", to - from - 1);
    const named = spec.kind === "strips" ? [] : spec.series; // strips have their names above them
    this.legend.replaceChildren(
      ...named.map(({ name, tone }) =>
        make(
          "li",
          {},
          make("span", { class: `swatch tone-${tone}`, "aria-hidden": "true" }),
          name,
          " ",
          make("b"),
        ),
      ),
    );
    this.point(null);
  }

  yAxis() {
    const right = this.width - MARGIN.right;
    return this.scale.ticks.flatMap((tick) => {
      const y = MARGIN.top + this.scale.y(tick);
      return [
        draw("line", { class: "grid", x1: MARGIN.left, x2: right, y1: y, y2: y }),
        draw(
          "text",
          { x: MARGIN.left - 6, y: y + 4, "text-anchor": "end" },
          tickText(this.spec.format, tick),
        ),
      ];
    });
  }

  xAxis() {
    const [from, to] = this.places;
    const y = this.height - 6;
    const labels = [];
    let free = MARGIN.left; // from here on nothing is written yet
    for (const { at, text } of this.spec.xTicks(Math.floor(this.plotWidth / 80))) {
      const width = LETTER_WIDTH * text.length;
      const middle = this.x(at);
      const rightmost = this.width - (PRINTED_LETTER_WIDTH * text.length) / 2;
      const x = Math.min(Math.max(middle, MARGIN.left + width / 2), rightmost);
      if (at < from || at > to || x - width / 2 < free) continue;
      labels.push(draw("text", { x, y, "text-anchor": "middle" }, text));
      free = x + width / 2 + 2 * LETTER_WIDTH;
    }
    return labels;
  }

  marks(from, to) {
    const { spec } = this;
    const y = (value) => (MARGIN.top + this.scale.y(value)).toFixed(1);
    const step = this.plotWidth / (to - from);
    if (spec.kind === "cells") return this.cells(from, to, step, y);
    if (spec.kind === "strips") return this.strips(from, to, step);
    if (spec.kind === "bars") {
      const bottom = MARGIN.top + this.plotHeight;
      const width = (step > 4 ? step - 0.5 : step + 0.3).toFixed(2);
      return spec.series.map(({ ys, tone }) =>
        draw("path", {
          class: `bars tone-${tone}`,
          d: ys
            .map((value, place) =>
              value && place >= from && place < to
                ? `M${this.x(place).toFixed(1)} ${bottom}V${y(value)}h${width}V${bottom}z`
                : "",
            )
            .join(""),
        }),
      );
    }
    const lines = spec.series.flatMap(({ ys, tone, at }) => {
      let pen = "M";
      const [path, marks] = [[], []];
      for (let place = from; place < to; place++) {
        if (ys[place] === null) {
          if (!spec.isBridged) pen = "M";
          continue;
        }
        const point = `${this.x(at?.[place] ?? place + 0.5).toFixed(1)} ${y(ys[place])}`;
        if (pen === "M" && (ys[place + 1] ?? null) === null) marks.push(`M${point}h0.1`); // no line shows it
        path.push(pen, point);
        pen = "L";
      }
      return [
        draw("path", { class: `line tone-${tone}`, d: path.join("") }),
        draw("path", { class: `alone tone-${tone}`, d: marks.join("") }),
      ];
    });
    return [...this.dots(spec.isBridged ? spec.series.filter(({ at }) => at) : [], from, to, y), ...lines];
  }

  // Round marks: small ones of points, large ones of the values of some series.
  dots(series, from, to, y) {
    const mark = (at, value) => `M${this.x(at).toFixed(1)} ${y(value)}h0.1`;
    const marks = (ys, at) =>
      ys.map((value, place) => (value === null || place < from || place >= to ? "" : mark(at[place], value)));
    return [
      draw("path", { class: "points", d: this.points.map(({ at, value }) => mark(at, value)).join("") }),
      ...series.map(({ ys, at, tone }) =>
        draw("path", { class: `marks tone-${tone}`, d: marks(ys, at).join("") }),
      ),
    ];
  }

  // A strip for each series below its name, shaded by its values.
  strips(from, to, step) {
    const { series } = this.spec;
    const most = Math.log1p(series.reduce((found, { ys }) => Math.max(found, ...ys), 0));
    const shades = Array.from({ length: 8 }, () => []);
    const height = STRIP_HEIGHT - STRIP_TEXT - 6;
    const tops = series.map((_, strip) => MARGIN.top + strip * STRIP_HEIGHT + STRIP_TEXT);
    series.forEach(({ ys }, strip) => {
      for (let place = from; place < to; place++) {
        if (!ys[place]) continue;
        const shade = Math.min(7, Math.floor((8 * Math.log1p(ys[place])) / most));
        const width = Math.max(step + 0.3, 1.5).toFixed(2);
        shades[shade].push(`M${this.x(place).toFixed(1)} ${tops[strip]}h${width}v${height}h-${width}z`);
      }
    });
    this.names = series.map(({ name }, strip) =>
      draw("text", { class: "name", x: MARGIN.left, y: tops[strip] - 4 }, name),
    );
    const track = (y) => draw("rect", { class: "track", x: MARGIN.left, y, width: this.plotWidth, height });
    return [
      ...tops.map(track),
      ...shades.map((path, shade) =>
        draw("path", { class: `shade failed shade-${shade}`, d: path.join("") }),
      ),
      ...this.names,
    ];
  }

  // Shaded by count: eight shades, each a path.
  cells(from, to, step, y) {
    const { cells } = this.spec;
    const most = Math.log1p(cells.reduce((found, { count }) => Math.max(found, count), 0));
    const shades = Array.from({ length: 8 }, () => []);
    const rises = new Map(); // the same few latencies in each place
    for (const { low, high } of cells) if (!rises.has(low)) rises.set(low, `${y(low)}V${y(high)}`);
    const turn = `h${(step + 0.3).toFixed(2)}V`;
    let [at, x] = [-1, ""];
    for (const { place, low, count } of cells) {
      if (place < from || place >= to) continue;
      if (place !== at) [at, x] = [place, `M${this.x(place).toFixed(1)} `];
      const rise = rises.get(low);
      shades[Math.min(7, Math.floor((8 * Math.log1p(count)) / most))].push(
        x,
        rise,
        turn,
        rise.slice(0, rise.indexOf("V")),
        "z",
      );
    }
    return shades.map((path, shade) => draw("path", { class: `shade shade-${shade}`, d: path.join("") }));
  }

  // The values at a place; null for none.
  point(place) {
    this.at = place;
    const { spec } = this;
    this.cursor.setAttribute("visibility", place === null ? "hidden" : "visible");
    const values = [...this.legend.querySelectorAll("b")];
    const value = ({ ys, told }) => `${shown(spec.format, (told ?? ys)[place])}${spec.unit}`;
    values.forEach((element, i) => {
      element.textContent = place === null ? "" : value(spec.series[i]);
    });
    if (spec.kind === "strips") this.nameStrips(place, value);
    this.title.textContent = place === null ? spec.title : `${spec.title}, ${spec.xText(place)}`;
    if (place === null) return;
    const x = this.x(place + 0.5);
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
    this.svg.setAttribute("aria-valuenow", place - this.places[0]);
    const told = spec.series.map((series) => `${series.name} ${value(series)}`);
    this.svg.setAttribute("aria-valuetext", `${spec.xText(place)}: ${told.join(", ")}`);
  }

  // As much of each name as there is room for, and the value at a place.
  nameStrips(place, value) {
    const most = Math.floor(this.plotWidth / LETTER_WIDTH);
    this.spec.series.forEach((series, strip) => {
      const at = place === null ? "" : `, here ${value(series)}`;
      const name = cut(series.name, most - at.length);
      this.names[strip].textContent = `${name}${at}`;
    });
  }

  // A drag over more than a place zooms.
  press(event) {
    if (event.button) return;
    const begin = this.placeAt(event);
    const cover = (other) => ordered(begin, this.placeAt(other));
    const moved = (other) => {
      const [from, to] = cover(other);
      this.chosen.setAttribute("x", this.x(from));
      this.chosen.setAttribute("width", from === to ? 0 : this.x(to + 1) - this.x(from));
    };
    const ended = (other) => {
      this.svg.removeEventListener("pointermove", moved);
      const [from, to] = cover(other);
      if (from < to) this.zoomTo([from, to + 1]);
    };
    this.svg.setPointerCapture(event.pointerId);
    this.svg.addEventListener("pointermove", moved);
    this.svg.addEventListener("pointerup", ended, { once: true });
    this.svg.addEventListener(
      "pointercancel",
      () => {
        this.svg.removeEventListener("pointermove", moved);
        this.svg.removeEventListener("pointerup", ended);
        this.chosen.setAttribute("width", 0);
      },
      { once: true },
    );
  }

  zoomTo(places) {
    if (this.spec.zoom) this.spec.zoom(places);
    else {
      this.zoomed = places;
      this.paint();
    }
  }

  key(event) {
    const [from, to] = this.places;
    const at = this.at ?? from;
    const middle = (size) => {
      const low = Math.min(Math.max(Math.round(at - size / 2), 0), Math.max(this.spec.xs - size, 0));
      return [low, Math.min(low + size, this.spec.xs)];
    };
    const half = Math.max(2, Math.round((to - from) / 2));
    const step = event.shiftKey ? Math.max(1, Math.round((to - from) / 10)) : 1;
    if (event.key === "ArrowLeft") this.point(Math.max(from, this.at === null ? from : at - step));
    else if (event.key === "ArrowRight") this.point(Math.min(to - 1, this.at === null ? from : at + step));
    else if (event.key === "Home") this.point(from);
    else if (event.key === "End") this.point(to - 1);
    else if (event.key === "+" || event.key === "=") this.zoomTo(middle(half));
    else if (event.key === "-")
      this.zoomTo(this.zoomed ? middle(Math.min(2 * (to - from), this.spec.xs)) : null);
    else if (event.key === "Escape") this.zoomTo(null);
    else return;
    event.preventDefault();
  }
}

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

const tickText = (format, value) =>
  format === "share" ? `${+(100 * value).toPrecision(3)}%` : (+value.toPrecision(6)).toLocaleString("en-US");
