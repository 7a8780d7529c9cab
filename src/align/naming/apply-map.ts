/** What a map of names (`--map`) makes of the dumps of a comparison. */

import { NpuDiffError } from "../../core/errors.ts";
import { type MapRule, namesOf } from "../../core/name-map.ts";
import { nearest } from "../../core/nearest.ts";
import type { Dump } from "../../dump/dump.ts";
import { placedName } from "../../dump/foreign/canonical-names.ts";
import { type Renaming, withNames } from "./mapped-dump.ts";
import { NameTemplate, type Places, placesKey } from "./template.ts";

/** A rule, and how many names it gave on a side. */
export interface MapUse {
  readonly rule: MapRule;
  readonly side: "reference" | "candidate";
  readonly names: number;
}

/** Names among which the nearest is looked for. */
const NEAREST_OF = 4096;

/** Two dumps under the names of a map. */
export interface MappedPair {
  readonly reference: Dump;
  readonly candidate: Dump;
  readonly uses: readonly MapUse[];
  /** The names that rules give, on either side. */
  readonly names: ReadonlySet<string>;
}

/**
 * Both dumps under the names that `rules` give.
 *
 * @throws NpuDiffError `map-invalid` where a rule matches nothing, two give one name, a name is there
 *   already, or tensors cannot be put together or parted as a rule says
 */
export function applyMap(reference: Dump, candidate: Dump, rules: readonly MapRule[]): MappedPair {
  const sides = {
    reference: mapOf(reference, rules, "reference"),
    candidate: mapOf(candidate, rules, "candidate"),
  };
  for (const rule of rules) {
    const of = ({ counts }: Mapped): number => counts.get(rule) ?? 0;
    if (of(sides.reference) + of(sides.candidate) > 0) continue;
    throw matchesNothing(rule, rule.side === "candidate" ? candidate : reference);
  }
  const uses = (["reference", "candidate"] as const).flatMap((side) =>
    [...sides[side].counts].map(([rule, names]): MapUse => ({ rule, side, names })),
  );
  return {
    reference: withNames(reference, sides.reference.renamings),
    candidate: withNames(candidate, sides.candidate.renamings),
    uses: uses.filter(({ names }) => names > 0),
    names: new Set(
      [sides.reference, sides.candidate].flatMap(({ renamings }) =>
        renamings.map(({ name }) => name),
      ),
    ),
  };
}

/** A floor or a forced reference under the names of the reference; it may lack tensors that rules name. */
export function mapLikeReference(dump: Dump, rules: readonly MapRule[]): Dump {
  return withNames(dump, mapOf(dump, rules, "reference").renamings);
}

interface Mapped {
  readonly renamings: readonly Renaming[];
  readonly counts: ReadonlyMap<MapRule, number>;
}

function mapOf(dump: Dump, rules: readonly MapRule[], side: "reference" | "candidate"): Mapped {
  const mine = rules.filter((rule) => rule.side === side || rule.side === "both");
  const counts = new Map<MapRule, number>();
  if (mine.length === 0) return { renamings: [], counts };
  const names = new KnownNames(dump);
  const made = new Map<string, { readonly renaming: Renaming; readonly rule: MapRule }>();
  for (const rule of mine) {
    const renamings = renamingsOf(rule, names, dump);
    counts.set(rule, renamings.length);
    for (const renaming of renamings) {
      const other = made.get(renaming.name);
      if (other !== undefined) {
        throw clash(dump, renaming, `${other.renaming.from.join(", ")}   ${other.rule.at}`);
      }
      made.set(renaming.name, { renaming, rule });
    }
  }
  const all = [...made.values()].map(({ renaming }) => renaming);
  const gone = new Set(all.flatMap(({ from }) => from));
  for (const renaming of all) {
    if (!gone.has(renaming.name) && names.has(renaming.name)) {
      throw clash(dump, renaming, `${renaming.name}   in ${dump.file} itself`);
    }
  }
  return { renamings: all, counts };
}

/** The names of a dump, and those that its writer has for the same tensors. */
class KnownNames {
  /** Each name, and the names of the tensors that it stands for. */
  readonly #own = new Map<string, Set<string>>();
  readonly #modules = new Map<string, Set<string>>();

  constructor({ tensors }: Dump) {
    for (const { name, module } of tensors) {
      if (!this.#own.has(name)) this.#own.set(name, new Set([name]));
      if (module === null) continue;
      const path = placedName(module).name;
      const named = this.#modules.get(path);
      if (named === undefined) this.#modules.set(path, new Set([name]));
      else named.add(name);
    }
  }

  has(name: string): boolean {
    return this.#own.has(name);
  }

  /** What `template` matches, by what stands in its places: names as they are, and only else the writer's. */
  matching(template: NameTemplate): readonly (readonly [Places, ReadonlySet<string>])[] {
    const among = (
      names: ReadonlyMap<string, ReadonlySet<string>>,
    ): readonly (readonly [Places, ReadonlySet<string>])[] => {
      if (template.places.length === 0) {
        const found = names.get(template.text);
        return found === undefined ? [] : [[new Map(), found]];
      }
      return [...names].flatMap(([name, stands]): [Places, ReadonlySet<string>][] => {
        const places = template.match(name);
        return places === null ? [] : [[places, stands]];
      });
    };
    const found = among(this.#own);
    return found.length > 0 ? found : among(this.#modules);
  }

  /** Some names, for whoever looks for one that was meant. */
  some(): readonly string[] {
    return [...this.#own.keys(), ...this.#modules.keys()].slice(0, NEAREST_OF);
  }
}

/** What one rule makes of a dump. */
function renamingsOf(rule: MapRule, names: KnownNames, dump: Dump): readonly Renaming[] {
  const target = parsed(rule.name, rule);
  const [first, ...others] = namesOf(rule.from).map((text) => {
    const template = parsed(text, rule);
    if (template.places.join() === target.places.join()) return template;
    const shown = ({ text: name, places }: NameTemplate): string =>
      `${name}   places: ${places.map((place) => (place === "*" ? "*" : `{${place}}`)).join(" ") || "none"}`;
    throw invalid(rule, "both sides of a rule must have the same places", {
      name: shown(target),
      from: shown(template),
    });
  }) as [NameTemplate, ...NameTemplate[]];
  const found = others.map(
    (template) =>
      new Map(names.matching(template).map(([places, stands]) => [placesKey(places), stands])),
  );
  return names.matching(first).map(([places, stands]): Renaming => {
    const from = [stands, ...found.map((one) => one.get(placesKey(places)))].map((one, i) => {
      const template = [first, ...others][i] ?? first;
      const [name, second] = one ?? [];
      if (name === undefined) {
        throw invalid(rule, "a tensor that a rule puts together with others is not there", {
          dump: dump.file,
          found: first.fill(places),
          lacking: template.fill(places),
        });
      }
      if (second === undefined) return name;
      throw invalid(rule, "a rule means several tensors by one name", {
        dump: dump.file,
        name: template.fill(places),
        tensors: [...(one ?? [])].slice(0, 4).join(", "),
      });
    });
    return { name: target.fill(places), from, how: howOf(rule), at: rule.at };
  });
}

function howOf({ from }: MapRule): Renaming["how"] {
  if (typeof from === "string") return { kind: "same" };
  if ("concat" in from) return { kind: "concat", axis: from.axis };
  return { kind: "slice", axis: from.axis, start: from.start, length: from.length };
}

function parsed(text: string, rule: MapRule): NameTemplate {
  const template = NameTemplate.of(text);
  if (template instanceof NameTemplate) return template;
  throw invalid(rule, "a name of a rule cannot be understood", { name: text, ...template });
}

function matchesNothing(rule: MapRule, dump: Dump): NpuDiffError {
  const [lacking = rule.name] = namesOf(rule.from);
  const template = parsed(lacking, rule);
  const example = template.fill(
    new Map(template.places.map((place) => [place, place === "*" ? "*" : "0"])),
  );
  const meant = nearest(example, new KnownNames(dump).some());
  return new NpuDiffError("map-invalid", {
    what: `${rule.at}: the rule matches no tensor`,
    facts: [
      { label: "from", text: lacking },
      { label: "dump", text: dump.file },
      ...(meant === null ? [] : [{ label: "nearest", text: meant }]),
    ],
    help: "npu-diff inspect lists the names of a dump; remove the rule where it is not needed",
  });
}

function clash(dump: Dump, { name, from, at }: Renaming, other: string): NpuDiffError {
  return new NpuDiffError("map-invalid", {
    what: `${at}: two tensors would have one name`,
    facts: [
      { label: "dump", text: dump.file },
      { label: "name", text: name },
      { label: "from", text: `${from.join(", ")}   ${at}` },
      { label: "and", text: other },
    ],
    help: "give each tensor a name of its own",
  });
}

function invalid(
  rule: MapRule,
  what: string,
  facts: Readonly<Record<string, string>>,
): NpuDiffError {
  return new NpuDiffError("map-invalid", {
    what: `${rule.at}: ${what}`,
    facts: Object.entries(facts).map(([label, text]) => ({ label, text })),
    help: `change the rule at ${rule.at}`,
  });
}
