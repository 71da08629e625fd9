// Tables: figures of the selection, and the order and choice of rows that a reader asks for.
const FEWEST_SORTED = 3;
const FEWEST_FILTERED = 12;

// The cells of a table that follow a run's selection, with what they say of the whole run.
class LiveTable {
  constructor(table, run) {
    this.run = run;
    const keyOf = keysByLabels(run);
    table.classList.add("live");
    this.columns = [...table.querySelectorAll("thead th[data-column]")].map(({ dataset }) => ({
      name: dataset.column,
      format: dataset.format,
    }));
    const numKeys = run.by.length;
    const figures = (row, first) =>
      [...row.cells]
        .slice(first)
        .map((cell, number) => ({ cell, whole: cell.textContent, column: this.columns[numKeys + number] }));
    this.rows = [...table.tBodies[0].rows].map((row) => {
      const labels = [...row.querySelectorAll("th")].map((cell) => cell.textContent);
      return { row, key: keyOf.get(joinedLabels(labels)), cells: figures(row, numKeys) };
    });
    const total = table.tFoot?.rows[0];
    this.total = total ? figures(total, numKeys ? 1 : 0) : [];
    const headers = [...table.querySelectorAll("thead th[data-column]")].slice(numKeys);
    const isGrouped = table.tHead.rows.length > 1; // headings that span columns do not tell how many are left
    const cells = [...this.rows, { cells: this.total }].flatMap((row) => row.cells);
    this.untold = isGrouped
      ? []
      : [...headers.map((cell) => ({ cell, column: { name: cell.dataset.column } })), ...cells]
          .filter(({ column }) => !isTold(run, column.name))
          .map(({ cell }) => cell);
    const bound = `within ${boundText(run)} of the true ones`;
    this.notes = {
      time:
        `Of the selection: percentiles are ${bound}, all else is exact. ` +
        "Figures by second (TPS) and of outliers are known of the whole run alone.",
      keys: `Each configuration has its figures of the whole run. Of all that are selected together, percentiles are ${bound}.`,
    };
    this.wholeNotes = [...table.closest(".table").querySelectorAll(".note")];
    this.note = make("p", { class: "note" });
    table.closest(".table").append(this.note);
  }

  // Each row is of one key: while all of the run is selected, its figures stay the exact ones.
  show(selection) {
    const kept = new Set(selection.keys);
    const { isWholeTime, isWhole } = selection;
    const tallies = isWholeTime ? null : selection.tallies();
    for (const { row, key, cells } of this.rows) {
      row.classList.toggle("unselected", !kept.has(key));
      if (isWholeTime || kept.has(key))
        for (const cell of cells) this.showCell(cell, tallies?.get(key), isWholeTime);
    }
    for (const cell of this.total) this.showCell(cell, isWhole ? null : selection.total(), isWhole);
    this.note.hidden = isWhole;
    this.note.textContent = isWholeTime ? this.notes.keys : this.notes.time;
    if (this.isWholeTime !== isWholeTime)
      for (const part of [...this.untold, ...this.wholeNotes]) part.hidden = !isWholeTime;
    this.isWholeTime = isWholeTime;
  }

  showCell({ cell, whole, column }, tally, isWhole) {
    const figure = tally ? columnFigure(tally, column.name) : null;
    const text = isWhole ? whole : shown(column.format, figure?.value);
    if (cell.textContent !== text) cell.textContent = text;
    if (figure) cell.dataset.value = figure.value;
    else delete cell.dataset.value;
    if (figure?.low === undefined) cell.removeAttribute("title");
    else cell.title = boundsText(figure);
  }
}

// A table whose rows are others in each selection. Of these, a source tells:
//   columns     which it tells figures of
//   isThere     whether the run tells them
//   keepsRows   whether the rows of the whole run hold for a selection, those of its keys alone
//   rows        else the rows: labels, where they have any, and a figure for each column
//   totals      the figures of the last row
//   note        what is to be said of them
class LiveRows {
  constructor(table, run, source) {
    this.run = run;
    this.source = source;
    this.table = table;
    this.body = table.tBodies[0];
    this.whole = [...this.body.rows];
    this.columns = [...table.querySelectorAll("thead th[data-column]")].map((cell) => ({
      cell,
      name: cell.dataset.column,
      format: cell.dataset.format,
      tag: cell.classList.contains("number") ? { class: "number" } : {},
    }));
    this.numHeads = this.whole[0].querySelectorAll("th").length;
    this.keyOf = keysByLabels(run);
    this.totals = [...(table.tFoot?.rows[0].querySelectorAll("td") ?? [])].map((cell, number) => ({
      cell,
      whole: cell.textContent,
      column: this.columns[this.numHeads + number],
    }));
    this.wholeNotes = [...table.closest(".table").querySelectorAll(".note")];
    this.note = make("p", { class: "note", hidden: true }, source.note(run));
    table.closest(".table").append(this.note);
    table.classList.add("live");
  }

  show(selection) {
    const isKept = selection.isWhole || this.source.keepsRows(selection, this.whole.length);
    const rows = isKept ? this.kept(selection) : this.rows(selection);
    const span = this.columns.length;
    const nothing = make("tr", {}, make("td", { colspan: span }, "None in the selection."));
    this.body.replaceChildren(...(rows.length ? rows : [nothing]));
    for (const { cell, name } of this.columns.slice(this.numHeads))
      cell.hidden = !isKept && !this.source.columns.includes(name);
    const totals = selection.isWhole ? null : this.source.totals(selection);
    for (const { cell, whole, column } of this.totals) {
      cell.hidden = column.cell.hidden;
      cell.textContent = totals
        ? column.name in totals
          ? shown(column.format, totals[column.name])
          : ""
        : whole;
    }
    this.note.hidden = isKept;
    for (const note of this.wholeNotes) note.hidden = !isKept;
    this.table.dispatchEvent(new Event("rows"));
  }

  kept({ keys }) {
    const kept = new Set(keys);
    for (const row of this.whole) {
      const labels = [...row.querySelectorAll("th")].slice(0, this.run.by.length);
      const key = this.keyOf.get(joinedLabels(labels.map((cell) => cell.textContent)));
      row.classList.toggle("unselected", kept.size < this.run.keys.length && !kept.has(key));
    }
    return this.whole.filter((row) => !row.classList.contains("unselected"));
  }

  rows(selection) {
    const columns = this.columns.filter(
      ({ name }, number) => number < this.numHeads || this.source.columns.includes(name),
    );
    return this.source.rows(selection).map((row) =>
      make(
        "tr",
        {},
        ...columns.map(({ name, format, tag }, number) => {
          if (number >= this.numHeads) return this.figure(row[name], format, tag);
          const label = row.labels ? row.labels[number] : shown(format, row[name]);
          return make("th", { scope: "row", ...tag }, label);
        }),
      ),
    );
  }

  figure(found, format, tag) {
    const figure = found === null || typeof found === "number" ? { value: found } : found;
    const title = figure.low === undefined ? null : boundsText(figure);
    return make("td", { ...tag, title, "data-value": figure.value }, shown(format, figure.value));
  }
}

const boundsText = ({ low, high }) => `between ${shown("measure", low)} and ${shown("measure", high)}`;

// Labels as a parser of HTML has them, and the key that each stand for.
const joinedLabels = (labels) => labels.join("\u0000").replace(/\r\n?/g, "\n");
const keysByLabels = (run) => new Map(run.keys.map((labels, key) => [joinedLabels(labels), key]));

// A table whose headers sort its rows, with a field that filters them.
class SortedTable {
  constructor(table) {
    this.body = table.tBodies[0];
    this.rows = [...this.body.rows];
    this.headers = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    this.headers.forEach((header, column) => {
      const button = make("button", { type: "button", class: "sort" }, header.textContent);
      header.replaceChildren(button);
      button.addEventListener("click", () => this.sort(column));
    });
    if (this.rows.length >= FEWEST_FILTERED) this.addFilter(table);
    table.addEventListener("rows", () => {
      this.rows = [...this.body.rows];
      this.arrange();
      if (this.filter) this.choose();
    });
  }

  // In the caption, so that it is clear which table it filters; the table is called as before.
  addFilter(table) {
    const name = table.caption.firstChild.textContent;
    table.setAttribute("aria-label", name);
    this.filter = make("input", {
      type: "search",
      placeholder: "Filter rows",
      "aria-label": `Filter rows: ${name}`,
    });
    this.count = make("span", { role: "status" });
    this.filter.addEventListener("input", () => this.choose());
    table.caption.append(make("span", { class: "row-filter" }, this.filter, this.count));
  }

  // First the highest figures or the first names, then the other way, then as it was.
  sort(column) {
    const header = this.headers[column];
    const first = header.classList.contains("number") ? "descending" : "ascending";
    const orders = [null, first, first === "ascending" ? "descending" : "ascending"];
    const order = orders[(orders.indexOf(header.getAttribute("aria-sort")) + 1) % 3];
    for (const other of this.headers) other.removeAttribute("aria-sort");
    if (order) header.setAttribute("aria-sort", order);
    this.sorted = order && { column, sign: order === "ascending" ? 1 : -1 };
    this.arrange();
  }

  arrange() {
    if (!this.sorted || this.rows.length < 2) return this.body.replaceChildren(...this.rows);
    const { column, sign } = this.sorted;
    const told = this.rows.map((row) => ({ row, value: cellValue(row.cells[column]) }));
    told.sort(({ value: one }, { value: other }) => {
      if (one === null || other === null) return (one === null) - (other === null);
      return (
        sign *
        (typeof one === "number" && typeof other === "number"
          ? one - other
          : String(one).localeCompare(String(other)))
      );
    });
    return this.body.replaceChildren(...told.map(({ row }) => row));
  }

  choose() {
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const row of this.rows) {
      const text = row.textContent.toLowerCase();
      const fits = words.every((word) => text.includes(word));
      row.classList.toggle("filtered", !fits);
      left += fits;
    }
    this.count.textContent = words.length ? ` ${grouped(left)} of ${counted(this.rows.length, "row")}` : "";
  }
}

// What a cell is sorted by: its exact figure, the number that it shows, or its text; null for nothing.
function cellValue(cell) {
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  const text = cell.textContent.trim();
  if (text === NOTHING || text === "") return null;
  const plain = text.replace(/[,%$<\s]/g, "");
  return plain !== "" && Number.isFinite(Number(plain)) ? Number(plain) : text;
}
