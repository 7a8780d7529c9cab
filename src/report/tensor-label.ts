/** Names of tensors as a report shows them. */

import { escapeText } from "../core/escape.ts";
import type { Messages } from "./messages/index.ts";
import { width } from "./table.ts";

/** A tensor as far as its name goes. */
export interface Named {
  readonly name: string;
  readonly layer: number | null;
}

/** Names longer than this are cut in the middle before anything else looks at them. */
const LONGEST = 400;

/** In a sentence, a name leaves room for the rest of a line. */
const LONGEST_IN_SENTENCE = 72;

/** The name without what the layer says already: `mlp` for `layers.7.mlp`. */
export function shortName({ name, layer }: Named, messages: Messages, longest = LONGEST): string {
  if (layer !== null) {
    const path = `layers.${layer}`;
    if (name === path) return messages.layerOutput;
    if (name.startsWith(`${path}.`)) return escapeText(name.slice(path.length + 1), longest);
  }
  return escapeText(name, longest);
}

/** Layer and short name, for a sentence: `layer 7 mlp`. */
export function sentenceName(tensor: Named, messages: Messages): string {
  const short = shortName(tensor, messages, LONGEST_IN_SENTENCE);
  return tensor.layer === null ? short : `${messages.layer(tensor.layer)} ${short}`;
}

/**
 * Fits `names` into `columns` columns. A name that is too long loses the part
 * that it shares with another one of `all`, so that what tells them apart
 * stays; where even that gives two the same text, they are numbered.
 */
export function fitNames(
  names: readonly string[],
  all: readonly string[],
  columns: number,
  ellipsis: string,
): readonly string[] {
  const fitted = names.map((name) =>
    width(name) <= columns ? name : cutAround(name, firstDifference(name, all), columns, ellipsis),
  );
  const owners = new Map<string, Set<string>>();
  fitted.forEach((short, i) => {
    owners.set(short, (owners.get(short) ?? new Set()).add(names[i] ?? ""));
  });
  return fitted.map((short, i) => {
    const sharers = [...(owners.get(short) ?? [])];
    if (sharers.length < 2) return short;
    const number = `~${sharers.indexOf(names[i] ?? "") + 1}`;
    return takeColumns(short, columns - number.length) + number;
  });
}

/** Where `name` parts from the other name that it shares most with. */
function firstDifference(name: string, names: readonly string[]): number {
  let longest = 0;
  for (const other of names) {
    if (other === name) continue;
    let i = 0;
    while (i < name.length && name[i] === other[i]) i += 1;
    longest = Math.max(longest, i);
  }
  return longest;
}

function cutAround(name: string, keep: number, columns: number, ellipsis: string): string {
  const room = columns - width(ellipsis);
  if (width(name.slice(0, keep + 1)) <= room) return takeColumns(name, room) + ellipsis;
  // A few characters before the difference say where it is.
  const tail = name.slice(Math.max(0, keep - 4));
  const whole = ellipsis + tail;
  if (width(whole) <= columns) {
    const characters = Array.from(name);
    let text = "";
    for (let i = characters.length - 1; i >= 0; i -= 1) {
      const longer = (characters[i] ?? "") + text;
      if (width(longer) > room) break;
      text = longer;
    }
    return ellipsis + text;
  }
  return ellipsis + takeColumns(tail, room - width(ellipsis)) + ellipsis;
}

function takeColumns(text: string, columns: number): string {
  let taken = "";
  let used = 0;
  for (const character of text) {
    used += width(character);
    if (used > columns) break;
    taken += character;
  }
  return taken;
}
