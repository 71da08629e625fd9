// Tables: figures of the selection, and the order and choice of rows that a reader asks for.

// The cells of a table that follow a run's selection, with what they say of the whole run.
class LiveTable {
  constructor(table, run) {
    this.table = table;
    this.run = run;
    const keyOf = new Map(run.keys.map((labels, key) => [labels.join("\u0000"), key]));
    this.columns = [...table.querySelectorAll("thead th[data-column]")].map(
      ({ dataset }) => ({ name: dataset.column, format: dataset.format }));
    this.rows = [...table.tBodies[0].rows].map((row) => {
      const labels = [...row.querySelectorAll("th")].map((cell) => cell.textContent);
      return { row, key: keyOf.get(labels.join("\u0000")), cells: [...row.cells].map((cell) => ({ cell, whole: cell.textContent })) };
    });
    this.numKeys = run.by.length;
  }

  show(selection) {
    const chosen = selection.isWholeTime ? null : selection.tallies();
    const kept = new Set(selection.keys);
    for (const { row, key, cells } of this.rows) {
      row.classList.toggle("unselected", !kept.has(key));
      cells.forEach(({ cell, whole }, number) => {
        if (number >= this.numKeys) showCell(cell, whole, chosen?.get(key), this.columns[number], this.run, chosen !== null);
      });
    }
  }
}

function showCell(cell, whole, tally, column, run, isSelection) {
  if (!isSelection) {
    cell.textContent = whole;
    cell.removeAttribute("title");
    delete cell.dataset.value;
    return;
  }
  const figure = tally ? columnFigure(tally, column.name, run.untold) : null;
  cell.textContent = shown(column.format, figure?.value);
  if (figure) cell.dataset.value = figure.value;
  else delete cell.dataset.value;
  if (figure?.low === undefined) cell.removeAttribute("title");
  else cell.title = `between ${shown("measure", figure.low)} and ${shown("measure", figure.high)}`;
}
