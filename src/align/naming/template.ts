/** Names with places in them: `layers.{i}.attn`, `model.*`. */

/** What stands in the places of a name. */
export type Places = ReadonlyMap<string, string>;

/** A template that cannot be one. */
export interface TemplateFault {
  readonly found: string;
  readonly expected: string;
}

const PLACE = /\{([A-Za-z]\w*)\}|\*/gu;
const SYNTAX = /[\\^$.*+?()[\]{}|/]/gu;

/** Each is tried at up to nine lengths. */
const MAX_PLACES = 4;

/** What `*` is called among the places. */
const STAR = "*";

export class NameTemplate {
  readonly text: string;
  /** Names of the places, each once, sorted. */
  readonly places: readonly string[];
  readonly #pattern: RegExp;
  /** What a name must begin with: most names are told apart by it. */
  readonly #head: string;

  private constructor(text: string, places: readonly string[]) {
    this.text = text;
    this.places = places;
    const known = new Map<string, number>();
    let at = 0;
    let pattern = "";
    for (const match of text.matchAll(PLACE)) {
      pattern += literal(text.slice(at, match.index));
      at = match.index + match[0].length;
      const place = match[1] ?? STAR;
      const group = known.get(place);
      pattern += group === undefined ? (place === STAR ? "(.*)" : "(\\d{1,9})") : `\\${group}`;
      if (group === undefined) known.set(place, known.size + 1);
    }
    this.#head = text.slice(0, text.search(PLACE) === -1 ? text.length : text.search(PLACE));
    this.#pattern = new RegExp(`^${pattern}${literal(text.slice(at))}$`, "su");
    this.#order = [...known.keys()];
  }

  readonly #order: readonly string[];

  /** Parses `text`. */
  static of(text: string): NameTemplate | TemplateFault {
    const all = Array.from(text.matchAll(PLACE), ([, name]) => name ?? STAR);
    const places = [...new Set(all)].toSorted();
    if (places.length > MAX_PLACES) {
      return { found: `${places.length} places`, expected: `at most ${MAX_PLACES}` };
    }
    if (all.filter((place) => place === STAR).length > 1) {
      return { found: "several *", expected: "one: they could not be told apart" };
    }
    if (/\}\{|\*\{|\}\*/u.test(text.replaceAll(PLACE, (place) => (place === "*" ? "*" : "{}")))) {
      return { found: "two places side by side", expected: "something between them" };
    }
    return new NameTemplate(text, places);
  }

  /** What stands in the places of `name`; null where it is no such name. */
  match(name: string): Places | null {
    if (!name.startsWith(this.#head)) return null;
    const found = this.#pattern.exec(name);
    if (found === null) return null;
    return new Map(this.#order.map((place, i) => [place, found[i + 1] ?? ""]));
  }

  /** The name with `places` filled in. */
  fill(places: Places): string {
    return this.text.replaceAll(PLACE, (place, name?: string) => places.get(name ?? STAR) ?? place);
  }
}

/** A key that the same contents of places share, in whatever order they stand. */
export function placesKey(places: Places): string {
  return JSON.stringify([...places].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function literal(text: string): string {
  return text.replaceAll(SYNTAX, "\\$&");
}
