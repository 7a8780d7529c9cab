/** The model and both sides' environment, as the dumps recorded them. Everything in it is a stranger's text. */

import { escapeText } from "../../core/escape.ts";
import type { InputSummary } from "../../core/inputs.ts";
import type { ComparisonResult } from "../../core/result.ts";
import { formatBytes, formatCount } from "../format-number.ts";
import { markdownTable, NO_SIDE } from "../markdown-parts.ts";
import { type Language, MESSAGES } from "../messages/index.ts";
import { CARD_MESSAGES, type CardMessages } from "./messages.ts";

/** Characters of a value or a name, and of a hash. */
const LONGEST = 60;
const HASH_SHOWN = 12;

/** Rows of a group whose names are the dump's own. */
const OWN_NAMES_SHOWN = 32;

/** Values of a list. */
const LISTED = 8;

const MODEL = [
  "model.id",
  "model.architecture",
  "model.parameters",
  "model.layers",
  "model.hidden_size",
  "model.intermediate_size",
  "model.heads",
  "model.kv_heads",
  "model.head_dim",
  "model.vocab_size",
  "model.max_position_embeddings",
  "model.rope_theta",
  "model.tie_word_embeddings",
  "model.weights_dtype",
  "model.weights_sha256",
] as const;

const SIDES = [
  "device.type",
  "device.name",
  "device.soc",
  "device.count",
  "device.memory_bytes",
  "device.driver",
  "device.cann",
  "dtype",
  "engine.name",
  "engine.version",
  "engine.attention",
  "engine.graph",
  "parallel.world_size",
  "parallel.tp",
  "parallel.pp",
  "parallel.ep",
  "batch.size",
  "seed",
] as const;

/** Of the capture itself, after the versions. */
const CAPTURE = ["capture.mode", "tool.name", "tool.version"] as const;

/** A row's label and what each side says, null where it says nothing. */
interface Row {
  readonly label: string;
  readonly sides: readonly [reference: string | null, candidate: string | null];
}

/** Title, the model, and the two sides in columns. */
export function environmentSections(
  { inputs: { reference, candidate } }: ComparisonResult,
  lang: Language,
): readonly (readonly string[])[] {
  const c = CARD_MESSAGES[lang];
  const e = c.environment;
  const { side } = MESSAGES[lang];
  const inputs = [reference, candidate] as const;
  const known = (keys: readonly string[]): readonly Row[] =>
    keys.flatMap((key) => rowOf(e.labels[key] ?? key, key, inputs, c));
  const model = known(MODEL);
  const rows: readonly Row[] = [
    { label: e.labels["file"] ?? "", sides: [fileOf(reference), fileOf(candidate)] },
    ...known(SIDES),
    ...ownNames("versions", (name) => name, inputs, c),
    ...ownNames("numerics", (name) => `numerics.${name}`, inputs, c),
    ...known(CAPTURE),
  ];
  // Two columns that say the same are one.
  const alike = model.every(({ sides: [a, b] }) => a === null || b === null || a === b);
  const modelTable = alike
    ? [[e.model, e.value], ...model.map(({ label, sides: [a, b] }) => [label, a ?? b ?? NO_SIDE])]
    : [[e.model, side.reference, side.candidate], ...model.map(cells)];
  return [
    [`#### ${e.title}`],
    ...(model.length === 0 ? [] : [markdownTable(modelTable)]),
    markdownTable([[e.item, side.reference, side.candidate], ...rows.map(cells)]),
    [e.recorded],
  ];
}

function cells({ label, sides }: Row): readonly string[] {
  return [label, ...sides.map((value) => value ?? NO_SIDE)];
}

function fileOf({ file }: InputSummary): string {
  return escapeText(file, LONGEST);
}

/** The row of a dotted path; none where neither side has it. */
function rowOf(
  label: string,
  key: string,
  inputs: readonly [InputSummary, InputSummary],
  c: CardMessages,
): readonly Row[] {
  const [a, b] = inputs.map(({ run }) => shown(key, at(run, key), c));
  if (a == null && b == null) return [];
  return [{ label, sides: [a ?? null, b ?? null] }];
}

/** A row for each name that either side has in the group, in the order of the names. */
function ownNames(
  group: string,
  label: (name: string) => string,
  inputs: readonly [InputSummary, InputSummary],
  c: CardMessages,
): readonly Row[] {
  const names = [
    ...new Set(
      inputs.flatMap(({ run }) => {
        const inner = run[group];
        return isRecord(inner) ? Object.keys(inner) : [];
      }),
    ),
  ].sort();
  const rows = names.flatMap((name) => {
    const [a, b] = inputs.map(({ run }) => {
      const inner = run[group];
      const own = isRecord(inner) && Object.hasOwn(inner, name) ? inner[name] : undefined;
      return shown(`${group}.${name}`, own, c);
    });
    if (a == null && b == null) return [];
    return [{ label: label(escapeText(name, LONGEST)), sides: [a ?? null, b ?? null] } as const];
  });
  const more = rows.length - OWN_NAMES_SHOWN;
  if (more <= 0) return rows;
  const rest: Row = { label: `${group}: ${c.more(formatCount(more))}`, sides: [null, null] };
  return [...rows.slice(0, OWN_NAMES_SHOWN), rest];
}

function at(run: InputSummary["run"], key: string): unknown {
  const [group = "", name] = key.split(".");
  const outer = Object.hasOwn(run, group) ? run[group] : undefined;
  if (name === undefined) return outer;
  return isRecord(outer) && Object.hasOwn(outer, name) ? outer[name] : undefined;
}

/** A value as a cell; null for what is absent, empty or no value of its own. */
function shown(key: string, value: unknown, c: CardMessages): string | null {
  if (typeof value === "boolean") return value ? c.environment.yes : c.environment.no;
  if (typeof value === "number") {
    return key.endsWith("_bytes") && value >= 0 && Number.isFinite(value)
      ? formatBytes(value)
      : String(value);
  }
  if (typeof value === "string" && value !== "") {
    return key.endsWith("_sha256")
      ? `${escapeText(value.slice(0, HASH_SHOWN), LONGEST)}…`
      : escapeText(value, LONGEST);
  }
  if (!Array.isArray(value) || value.length === 0) return null;
  const items = value.filter((one) => typeof one === "string" || typeof one === "number");
  if (items.length < value.length) return null;
  const first = items.slice(0, LISTED).map((one) => escapeText(String(one), LONGEST));
  const more = items.length - first.length;
  return first.join(", ") + (more === 0 ? "" : `, ${c.more(formatCount(more))}`);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
