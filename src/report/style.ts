/** Ways to set text apart; the meaning is always a word as well. */
export interface Style {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
}

function same(text: string): string {
  return text;
}

/** No style at all: files, pipes. */
export const PLAIN: Style = { bold: same, dim: same, red: same, green: same, yellow: same };
