// The page comes to life: a panel for each run that it holds, and what follows the panel's selection.

class RunPage {
  constructor(name, run) {
    this.run = run;
    this.selection = Selection.whole(run);
    this.tables = [...document.querySelectorAll(`table[data-run="${name}"]`)].map((table) => new LiveTable(table, run));
    this.overview = new Overview(run, (from, to, isDone) => this.select(this.selection.at(from, to), isDone));
    this.status = make("p", { class: "status", role: "status", "aria-live": "polite" });
    this.reset = make("button", { type: "button" }, "Whole run");
    this.reset.addEventListener("click", () => this.select(Selection.whole(run), true));
    this.panel = make("section", { class: "panel", "aria-label": "Selection" },
      this.overview.element, make("div", { class: "told" }, this.status, this.reset));
    this.panel.addEventListener("keydown", (event) => { if (event.key === "Escape") this.select(Selection.whole(run), true); });
    addEventListener("hashchange", () => this.restore());
  }

  restore() {
    const found = selectionOf(this.run, location.hash);
    if (found) this.select(found, true);
  }

  // While a range is dragged, the page is drawn at most once a frame.
  select(selection, isDone) {
    this.selection = selection;
    this.isDone ||= isDone;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.show();
    });
  }

  show() {
    const began = performance.now();
    const { selection } = this;
    this.overview.show(selection);
    for (const table of this.tables) table.show(selection);
    if (this.isDone) this.settle();
    document.body.classList.toggle("selecting", !selection.isWhole);
    this.panel.dataset.shownMs = (performance.now() - began).toFixed(1);
  }

  // What is done once a drag has ended: the address, and what a screen reader says.
  settle() {
    this.isDone = false;
    const address = addressOf(this.run, this.selection);
    if (address || /^#(select|keys)=/.test(location.hash)) history.replaceState(null, "", address || location.pathname + location.search);
    this.status.textContent = this.told();
  }

  told() {
    const { run, selection } = this;
    if (selection.isWhole) return "The whole run. Drag on the chart to select a range of time.";
    const total = selection.total();
    const time = `${moment(run, selection.begin)} to ${moment(run, selection.end)}`;
    const keys = selection.isEveryKey ? "" : `, ${grouped(selection.keys.length)} of ${counted(run.keys.length, "configuration")}`;
    const bound = selection.isWholeTime ? "" : ` Percentiles are within ${(100 * run.relative_error).toFixed(1)} % of the true ones.`;
    return `${time}${keys}: ${counted(total.calls, "call")}, ${shown("share", total.errorRate)} failed.${bound}`;
  }
}

async function start() {
  for (const block of document.querySelectorAll("script[data-run]")) {
    const page = new RunPage(block.dataset.run, await unpackedRun(block.textContent));
    document.querySelector("main").before(page.panel);
    page.select(page.selection, true);
    page.restore();
  }
  document.documentElement.dataset.ready = "";
}

start();
