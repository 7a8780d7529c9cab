/** Reads single cells of the picture by pointer and keyboard. */

/** What the page says of its picture. */
interface Data {
  /** Where the cells begin: a share of the width, and units of the drawing. */
  readonly left: number;
  readonly top: number;
  /** Height of a row. */
  readonly row: number;
  /** Decades at the ends of the scale, and shades between them. */
  readonly low: number;
  readonly high: number;
  readonly shades: number;
  /** Row and column of the largest error. */
  readonly start: readonly [number, number];
  readonly unit: string;
  readonly rows: readonly string[];
  /** Place and text of each bin. */
  readonly bins: readonly (readonly [string, string])[];
  readonly words: { readonly none: string; readonly notFinite: string; readonly label: string };
}

const NOTHING = 255;

/**
 * Lays a grid over each picture of which one cell exists at a time: the one that
 * has the focus. Arrow keys, Home, End, Page Up and Page Down move it.
 */
export function readableCells(): void {
  for (const frame of document.querySelectorAll<HTMLElement>(".cells")) makeReadable(frame);
}

function makeReadable(frame: HTMLElement): void {
  const section = frame.closest("section");
  const source = section?.querySelector("script")?.textContent;
  const readout = section?.querySelector(".readout");
  const picture = frame.querySelector("image")?.getAttribute("href");
  const drawing = frame.querySelector("svg");
  if (!source || !readout || !picture || !drawing) return;
  const data = JSON.parse(source) as Data;
  const cells = cellsOf(picture, data.bins.length);
  const [rows, columns] = [data.rows.length, data.bins.length];

  const element = (role: string, parent: HTMLElement): HTMLElement => {
    const made = document.createElement("div");
    made.setAttribute("role", role);
    parent.append(made);
    return made;
  };
  const grid = element("grid", frame);
  grid.ariaLabel = data.words.label;
  grid.ariaRowCount = String(rows);
  grid.ariaColCount = String(columns);
  const line = element("row", grid);
  const cell = element("gridcell", line);
  cell.tabIndex = 0;

  let [row, column] = [0, 0];
  const show = (toRow: number, toColumn: number): void => {
    row = Math.min(rows - 1, Math.max(0, toRow));
    column = Math.min(columns - 1, Math.max(0, toColumn));
    const { height } = drawing.viewBox.baseVal;
    const wide = (1 - data.left) / columns;
    cell.style.left = `${100 * (data.left + column * wide)}%`;
    cell.style.width = `${100 * wide}%`;
    cell.style.top = `${(100 * (data.top + row * data.row)) / height}%`;
    cell.style.height = `${(100 * data.row) / height}%`;
    line.ariaRowIndex = String(row + 1);
    cell.ariaColIndex = String(column + 1);
    const [place, text] = data.bins[column] ?? ["", ""];
    const size = sizeText(cells[row * columns + column] ?? NOTHING, data);
    const told = [data.rows[row], place, text, size].filter((part) => part !== "").join(" · ");
    cell.ariaLabel = told;
    readout.textContent = told;
  };
  show(...data.start);

  const moves: Readonly<Record<string, () => readonly [number, number]>> = {
    ArrowUp: () => [row - 1, column],
    ArrowDown: () => [row + 1, column],
    ArrowLeft: () => [row, column - 1],
    ArrowRight: () => [row, column + 1],
    PageUp: () => [row - 10, column],
    PageDown: () => [row + 10, column],
    Home: () => [row, 0],
    End: () => [row, columns - 1],
  };
  cell.addEventListener("keydown", (event) => {
    const move = moves[event.key];
    if (move === undefined || event.altKey || event.metaKey) return;
    event.preventDefault();
    const [toRow, toColumn] = move();
    if (event.ctrlKey && event.key === "Home") show(0, 0);
    else if (event.ctrlKey && event.key === "End") show(rows - 1, columns - 1);
    else show(toRow, toColumn);
    cell.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
  const pointed = ({ clientX, clientY }: PointerEvent): void => {
    const box = drawing.getBoundingClientRect();
    const x = ((clientX - box.left) / box.width - data.left) / (1 - data.left);
    const y = (clientY - box.top) * (drawing.viewBox.baseVal.height / box.height) - data.top;
    if (x < 0 || x >= 1 || y < 0 || y >= rows * data.row) return;
    show(Math.floor(y / data.row), Math.floor(x * columns));
  };
  frame.addEventListener("pointermove", pointed);
  frame.addEventListener("pointerdown", pointed);
}

function sizeText(shade: number, { low, high, shades, unit, words }: Data): string {
  if (shade === NOTHING) return words.none;
  if (shade >= shades) return words.notFinite;
  const size = 10 ** (low + ((high - low) * shade) / (shades - 1));
  // A shade is a step of some per cent.
  return `≈ ${Number(size.toPrecision(2))} ${unit}`;
}

/** Pixels of a PNG whose data are stored and not filtered, as the report writes it. */
function cellsOf(picture: string, columns: number): Uint8Array {
  const binary = atob(picture.slice(picture.indexOf(",") + 1));
  const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const lines: number[] = [];
  // Behind the signature: chunks of a length, a name, data and a check sum.
  for (let at = 8; at < bytes.length; at += view.getUint32(at) + 12) {
    if (binary.slice(at + 4, at + 8) !== "IDAT") continue;
    // Behind the two bytes of zlib: blocks of five bytes and their data.
    for (let block = at + 10, isLast = false; !isLast; ) {
      const size = view.getUint16(block + 1, true);
      isLast = bytes[block] === 1;
      for (const byte of bytes.subarray(block + 5, block + 5 + size)) lines.push(byte);
      block += 5 + size;
    }
  }
  return Uint8Array.from(lines.filter((_, index) => index % (columns + 1) !== 0));
}
