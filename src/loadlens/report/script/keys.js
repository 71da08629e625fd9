// The list of configurations to tick.
const MOST_LISTED = 300;

class KeyList {
  constructor(run, onSelect) {
    this.run = run;
    this.onSelect = onSelect;
    this.summary = make("summary");
    this.filter = make("input", {
      type: "search",
      placeholder: "Filter, e.g. 2,048",
      "aria-label": "Filter configurations",
    });
    this.list = make("ul", { class: "keys" });
    this.more = make("p", { class: "note" });
    const button = (text, chosen) => {
      const element = make("button", { type: "button" }, text);
      element.addEventListener("click", () => this.onSelect(chosen()));
      return element;
    };
    this.element = make(
      "details",
      { class: "choice" },
      this.summary,
      make(
        "div",
        { class: "choice-head" },
        this.filter,
        button("Only these", () => this.matching()),
        button("Tick these", () =>
          [...new Set([...this.selection.keys, ...this.matching()])].sort((one, other) => one - other),
        ),
        button("Untick these", () => {
          const some = new Set(this.matching());
          return this.selection.keys.filter((key) => !some.has(key));
        }),
      ),
      this.list,
      this.more,
    );
    this.filter.addEventListener("input", () => this.fill());
    this.element.addEventListener("toggle", () => this.fill());
    this.list.addEventListener("change", ({ target }) => {
      const keys = new Set(this.selection.keys);
      if (target.checked) keys.add(Number(target.value));
      else keys.delete(Number(target.value));
      this.onSelect([...keys].sort((one, other) => one - other));
    });
  }

  // The keys of whose text each word of the filter is a part.
  matching() {
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    return this.run.names.flatMap((name, key) =>
      words.every((word) => name.toLowerCase().includes(word)) ? [key] : [],
    );
  }

  fill() {
    if (!this.element.open) return;
    const matching = this.matching();
    this.list.replaceChildren(
      ...matching
        .slice(0, MOST_LISTED)
        .map((key) =>
          make(
            "li",
            {},
            make("label", {}, make("input", { type: "checkbox", value: key }), this.run.names[key]),
          ),
        ),
    );
    const more = matching.length - MOST_LISTED;
    this.more.textContent = more > 0 ? `${grouped(more)} more: filter to see them.` : "";
    this.tick();
  }

  tick() {
    const kept = new Set(this.selection.keys);
    for (const box of this.list.querySelectorAll("input")) box.checked = kept.has(Number(box.value));
  }

  show(selection) {
    this.selection = selection;
    this.summary.textContent = `Configurations: ${grouped(selection.keys.length)} of ${grouped(this.run.keys.length)}`;
    this.tick();
  }
}
