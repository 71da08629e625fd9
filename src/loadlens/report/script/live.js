// Figures and cards that follow a selection.

// Charts in the place of a picture, which are drawn once, and anew while they can be seen.
class LiveFigure {
  constructor(figure, page) {
    this.figure = figure;
    const { chart: name } = figure.dataset;
    const isThere = VIEWS_OF_SOME_RUNS[name]?.(page.run) ?? true;
    this.charts = ((isThere && VIEWS[name]) || []).map(
      (describe) => new Chart((selection) => describe(selection, page)),
    );
    if (!this.charts.length) return;
    figure.querySelector(".scroll").hidden = true;
    figure.querySelector("figcaption").hidden = true;
    const what = figure.querySelector("figcaption").textContent.split(/[.;]/)[0];
    this.nothing = make("p", { class: "note", hidden: true }, `${what}: nothing to draw in this selection.`);
    figure.prepend(
      make("div", { class: "charts" }, ...this.charts.map(({ element }) => element), this.nothing),
    );
    this.caption = make("figcaption", {}, viewCaption(figure.dataset.chart, page.run));
    figure.append(this.caption);
    figure.classList.add("live");
    new ResizeObserver(([{ contentRect }]) => {
      if (contentRect.width === this.width) return;
      this.width = contentRect.width;
      this.drawn = null;
      this.draw();
    }).observe(figure);
    new IntersectionObserver(
      ([{ isIntersecting }]) => {
        this.isSeen = isIntersecting;
        this.draw();
      },
      { rootMargin: "200px" },
    ).observe(figure);
    addEventListener("beforeprint", () => this.draw(true));
  }

  show(selection) {
    this.selection = selection;
    this.draw();
  }

  draw(evenUnseen = false) {
    const isWanted = this.isSeen || evenUnseen || !this.drawn;
    if (!this.width || !this.selection || this.drawn === this.selection || !isWanted) return;
    this.drawn = this.selection;
    for (const chart of this.charts) chart.show(this.selection, this.width);
    this.nothing.hidden = this.charts.some(({ element }) => !element.hidden);
    this.caption.hidden = !this.nothing.hidden;
  }
}

// A key figure: of all calls, or of the configuration where it is lowest or highest.
class LiveCard {
  constructor(card, run) {
    this.run = run;
    this.value = card.querySelector(".value");
    this.detail = card.querySelector(".detail");
    this.whole = [this.value.textContent, this.detail?.textContent];
    [this.which, this.column] = card.dataset.figure.split(" ");
  }

  show(selection) {
    const [value, detail] = selection.isWhole ? this.whole : this.told(selection);
    this.value.textContent = value;
    if (this.detail) this.detail.textContent = detail;
  }

  told(selection) {
    const total = selection.total();
    if (this.which === "calls")
      return [grouped(total.calls), `in ${counted(selection.keys.length, "configuration")}`];
    if (this.which === "errors")
      return [shown("share", total.errorRate), `${counted(total.counts.errors, "call")} failed`];
    const figures = [...selection.tallies()]
      .map(([key, tally]) => [key, columnFigure(tally, this.column)?.value ?? null])
      .filter(([, value]) => value !== null);
    if (!figures.length) return [NOTHING, ""];
    const sign = this.which === "highest" ? -1 : 1;
    const [key, value] = figures.reduce((best, one) => (sign * one[1] < sign * best[1] ? one : best));
    return [
      `${shown("measure", value)} ${this.column === "throughput" ? "per s" : "ms"}`,
      this.run.names[key],
    ];
  }
}
