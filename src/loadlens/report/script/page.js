// The page comes to life: a panel for the run that it holds, and what follows the panel's selection.

const ROW_SOURCES = { levels: LEVEL_ROWS, failures: FAILURE_ROWS };

// What shows a selection in a table; nothing where the run does not tell it.
function liveTable(table, run) {
  const source = ROW_SOURCES[table.dataset.rows];
  if (!source) return [new LiveTable(table, run)];
  return source.isThere(run) ? [new LiveRows(table, run, source)] : [];
}

class RunPage {
  constructor(name, run) {
    this.name = name;
    this.run = run;
    this.selection = Selection.whole(run);
    const of = (what) => [...document.querySelectorAll(`${what}[data-run="${name}"]`)];
    this.overview = new Overview(run, (from, to, isDone) => this.select(this.selection.at(from, to), isDone));
    this.keys =
      run.keys.length > 1 ? new KeyList(run, (keys) => this.select(this.selection.of(keys), true)) : null;
    this.followers = [
      this.overview,
      ...(this.keys ? [this.keys] : []),
      ...of("table").flatMap((table) => liveTable(table, run)),
      ...of(".card").map((card) => new LiveCard(card, run)),
      ...of("figure")
        .map((figure) => new LiveFigure(figure, this))
        .filter(({ charts }) => charts.length),
    ];
    this.status = make("p", { class: "status", role: "status", "aria-live": "polite" });
    this.reset = make("button", { type: "button" }, "Whole run");
    this.reset.addEventListener("click", () => this.select(Selection.whole(run), true));
    this.panel = make(
      "section",
      { class: "panel", "aria-label": "Selection" },
      this.overview.element,
      make("div", { class: "told" }, this.status, this.reset),
      ...(this.keys ? [this.keys.element] : []),
    );
    this.overview.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.select(this.selection.at(0, run.num_windows), true);
    });
    addEventListener("hashchange", () => this.restore());
    document.addEventListener("click", (event) => this.follow(event));
  }

  restore() {
    const found = selectionOf(this.run, addressPart(location.hash, this.name));
    if (found) this.select(found, true);
  }

  // A link within the page must not take the place of the selection in the address.
  follow(event) {
    const link = event.target.closest?.('a[href^="#"]');
    const target = link && document.getElementById(link.getAttribute("href").slice(1));
    if (!target || this.selection.isWhole) return;
    event.preventDefault();
    target.scrollIntoView();
    target.setAttribute("tabindex", "-1");
    target.focus({ preventScroll: true });
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
    for (const follower of this.followers) follower.show(selection);
    this.reset.hidden = selection.isWhole;
    document.body.classList.toggle(
      "selecting",
      pages.some((page) => !page.selection.isWhole),
    );
    if (this.isDone) this.settle();
    this.panel.dataset.shownMs = (performance.now() - began).toFixed(1);
  }

  // What is done once a drag has ended: the address, and what a screen reader says.
  settle() {
    this.isDone = false;
    keepAddress();
    this.status.textContent = this.told();
    for (const table of sortedTables) if (table.sorted) table.arrange();
  }

  told() {
    const { run, selection } = this;
    if (selection.isWhole) {
      return `The whole run. Drag on the chart to select a range of time.${this.endless()}`;
    }
    const { calls, errorRate, throughput, active } = selection.total();
    const time = selection.isWholeTime ? "All of the time" : stretch(run, selection.begin, selection.end);
    const keys = `, ${grouped(selection.keys.length)} of ${counted(run.keys.length, "configuration")}`;
    const failed = calls ? `, ${shown("share", errorRate)} failed` : "";
    const bound = ` Percentiles are within ${boundText(run)}.`;
    const isExact = selection.isWholeTime && selection.keys.length === 1;
    return [
      time,
      selection.isEveryKey ? "" : keys,
      `: ${counted(calls, "call")}${failed}`,
      throughput === null ? "" : `, ${shown("measure", throughput)} successful per s`,
      active === null ? "" : `, ${shown("measure", active)} active on the average`,
      ".",
      isExact ? "" : bound,
      this.endless(),
    ].join("");
  }

  endless() {
    return this.run.num_endless
      ? ` ${counted(this.run.num_endless, "call")} without an end in no range of time.`
      : "";
  }
}

// What does not follow the selection says so.
const OF_WHOLE = [
  "main table:not(.live) caption",
  "main figure:not(.live) figcaption",
  "main .lead[data-whole]",
  "main .callout:is(.result, .failure)",
  "main .lead[data-whole] ~ .callout",
  ".cards > :not([data-run]) .detail",
];

function markWhole() {
  for (const element of document.querySelectorAll(OF_WHOLE.join(", "))) {
    if (element.closest("table") && !element.closest("table").querySelector("td.number")) continue;
    const said = make("span", { class: "of-whole" }, " (of the whole run)");
    if (element.firstChild) element.firstChild.after(said);
  }
}

// Tables that fit are no stops for the Tab key.
function skipWhatFits() {
  for (const region of document.querySelectorAll(".table > .scroll"))
    region.tabIndex = region.scrollWidth > region.clientWidth ? 0 : -1;
}

const pages = [];
const sortedTables = [];

// The address has the selections of all runs, those of several by their names.
function keepAddress() {
  const parts = pages
    .map(({ name, run, selection }) => ({ name, text: addressOf(run, selection) }))
    .filter(({ text }) => text);
  const address = parts.map(({ name, text }) => (pages.length > 1 ? `${name}:${text}` : text)).join("&");
  const isKept = /(^#|&|:)(select|keys)=/.test(location.hash);
  if (address || isKept)
    history.replaceState(null, "", address ? `#${address}` : location.pathname + location.search);
}

// The panel of the only run stands above all and stays in sight; that of one of several, in its section.
function placePanels() {
  for (const { name, panel } of pages) {
    const section = document.querySelector(`main [data-run="${name}"]:not(.card)`)?.closest("section");
    if (pages.length > 1 && section) section.querySelector("h2").after(panel);
    else document.querySelector("main").before(panel);
  }
}

async function start() {
  const canUnpack = "DecompressionStream" in globalThis; // browsers before 2023 show the page as without scripts
  for (const block of canUnpack ? document.querySelectorAll("script[data-run]") : []) {
    pages.push(new RunPage(block.dataset.run, await unpackedRun(block.textContent)));
  }
  placePanels();
  for (const table of document.querySelectorAll("main table")) {
    const hasFigures = table.tHead?.querySelector(".number");
    if (hasFigures && table.tBodies[0].rows.length >= FEWEST_SORTED)
      sortedTables.push(new SortedTable(table));
  }
  for (const page of pages)
    page.selection = selectionOf(page.run, addressPart(location.hash, page.name)) ?? page.selection;
  for (const page of pages) {
    page.isDone = true;
    page.show();
  }
  if (pages.length) markWhole();
  skipWhatFits();
  addEventListener("resize", skipWhatFits);
  document.documentElement.dataset.ready = "";
}

start();
