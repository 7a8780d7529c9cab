/** What a config file says, with the line of everything that it says. */

/** A value as JSON has it. */
export type Value =
  | null
  | boolean
  | number
  | string
  | readonly Value[]
  | { readonly [key: string]: Value };

/** A value and the places of its parts. */
export interface Tree {
  readonly value: Value;
  /** The line of the part at `path` counted from 1; of the nearest part around it where there is none. */
  lineOf(path: readonly (string | number)[]): number;
}

/** A fault in the text itself. */
export interface TextFault {
  readonly line: number;
  readonly found: string;
  readonly expected: string;
}

/** Collects the lines of a tree while a parser's own tree is walked. */
export class Lines {
  private readonly lines = new Map<string, number>();

  set(path: readonly (string | number)[], line: number): void {
    this.lines.set(JSON.stringify(path), line);
  }

  of(path: readonly (string | number)[]): number {
    for (let length = path.length; length >= 0; length -= 1) {
      const line = this.lines.get(JSON.stringify(path.slice(0, length)));
      if (line !== undefined) return line;
    }
    return 1;
  }
}

/** The number of the line that holds each offset of a text, counted from 1. */
export function lineCounter(text: string): (offset: number) => number {
  const starts = [0];
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return (offset) => {
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((starts[middle] ?? 0) <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  };
}

/** An object of `entries`; also a key called `__proto__` is a key like any other. */
export function objectOf(entries: readonly (readonly [string, Value])[]): Value {
  return Object.fromEntries(entries);
}

/** More nesting than this no config needs, and a parser takes a stack frame for each level. */
export const MAX_DEPTH = 32;
