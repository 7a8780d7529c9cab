import picocolors from "picocolors";

/** Ways to set text apart; the meaning is always a word as well. */
export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
}

/** Styles that write ANSI sequences, or nothing where `color` is false. */
export function makeStyle(color: boolean): Style {
  return picocolors.createColors(color);
}
