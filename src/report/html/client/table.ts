/** Sorts and filters the tables of tensors. */

type Direction = "ascending" | "descending";

/** Turns the headings of each table into buttons, and shows its filter. */
export function sortedTables(): void {
  for (const table of document.querySelectorAll<HTMLTableElement>(".tensors")) {
    const form = table.closest("section")?.querySelector<HTMLFormElement>(".filter");
    const [body] = table.tBodies;
    if (form == null || body === undefined) continue;
    const rows = [...body.rows];
    sortByHeadings(table, body, rows);
    filterBy(form, rows);
  }
}

function sortByHeadings(
  table: HTMLTableElement,
  body: HTMLTableSectionElement,
  rows: readonly HTMLTableRowElement[],
): void {
  const headings = [...table.querySelectorAll("th")];
  for (const [column, heading] of headings.entries()) {
    const title = heading.textContent;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = title;
    button.title = (table.dataset["sort"] ?? "").replace("{column}", title);
    heading.replaceChildren(button);
    // The most telling end of a column of numbers comes first.
    const first: Direction = heading.className === "n" && column > 0 ? "descending" : "ascending";
    button.addEventListener("click", () => {
      const other = first === "ascending" ? "descending" : "ascending";
      const direction = heading.ariaSort === first ? other : first;
      for (const one of headings) one.ariaSort = null;
      heading.ariaSort = direction;
      body.append(...sorted(rows, column, heading.className === "t", direction));
    });
  }
}

function sorted(
  rows: readonly HTMLTableRowElement[],
  column: number,
  isText: boolean,
  direction: Direction,
): HTMLTableRowElement[] {
  const sign = direction === "ascending" ? 1 : -1;
  const text = (row: HTMLTableRowElement): string => row.cells[column]?.textContent.trim() ?? "";
  if (isText) {
    const collator = new Intl.Collator(undefined, { numeric: true });
    const keys = new Map(rows.map((row) => [row, text(row)]));
    return rows.toSorted((a, b) => sign * collator.compare(keys.get(a) ?? "", keys.get(b) ?? ""));
  }
  const keys = new Map(rows.map((row) => [row, numberOf(text(row))]));
  return rows.toSorted((a, b) => {
    const [x = null, y = null] = [keys.get(a), keys.get(b)];
    // What was not measured is last either way.
    if (x === null || y === null) return Number(x === null) - Number(y === null);
    return x === y ? 0 : sign * (x < y ? -1 : 1);
  });
}

/** The number in a cell; NaN is beyond all numbers, null where there is none. */
function numberOf(text: string): number | null {
  const value = text.replace(/^≥/, "");
  if (value === "–" || value === "") return null;
  if (value === "NaN" || value === "inf") return Number.POSITIVE_INFINITY;
  return value === "-inf" ? Number.NEGATIVE_INFINITY : Number(value);
}

function filterBy(form: HTMLFormElement, rows: readonly HTMLTableRowElement[]): void {
  const name = form.querySelector("input");
  const verdict = form.querySelector("select");
  const count = form.querySelector("output");
  if (name === null || verdict === null || count === null) return;
  const template = count.dataset["count"] ?? "";
  const names = rows.map((row) =>
    [...row.cells].slice(0, 2).map((cell) => cell.textContent.trim().toLowerCase()),
  );
  const apply = (): void => {
    const wanted = name.value.trim().toLowerCase();
    let shown = 0;
    for (const [index, row] of rows.entries()) {
      const [layer = "", text = ""] = names[index] ?? [];
      const path = `layers.${layer}.${text}`;
      const matches =
        (text.includes(wanted) || path.includes(wanted)) &&
        (verdict.value === "" || row.classList.contains(verdict.value));
      row.hidden = !matches;
      if (matches) shown += 1;
    }
    count.textContent = template
      .replace("{shown}", String(shown))
      .replace("{all}", String(rows.length));
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
  });
  form.hidden = false;
}
