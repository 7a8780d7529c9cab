import { nearest } from "../../core/nearest.ts";
import { FORMAT_IDS, FORMATS, isFormatId } from "../../core/number-format.ts";
import { CAUSE_IDS } from "../../diagnose/cause-texts/ids.ts";
import { CAUSES, isCauseId } from "../../diagnose/cause-texts/index.ts";
import { expectedNoise } from "../../judge/noise.ts";
import { isRuleId, RULE_IDS, RULES } from "../../judge/rules.ts";
import {
  type Entry,
  renderEntry,
  renderEntryJson,
  renderList,
  renderListJson,
} from "../../report/explain.ts";
import { FORMAT_TEXTS_EN, FORMAT_TEXTS_ZH } from "../../report/format-texts.ts";
import { LANGUAGES } from "../../report/messages/index.ts";
import { usageError } from "../arguments.ts";
import { makeStyle } from "../color.ts";
import { EXIT } from "../exit-code.ts";
import type { Command } from "./command.ts";

/** Rules, causes and number formats share one space of ids. */
const IDS: readonly string[] = [...RULE_IDS, ...CAUSE_IDS, ...FORMAT_IDS];

/** The depth for which noise is told where the user names none. */
const DEFAULT_LAYERS = 32;
const MOST_LAYERS = 100_000;

export const explain: Command = {
  name: "explain",
  describe: "Say what a rule, a cause or a number format means; list all without an id",
  positionals: [],
  optional: ["id"],
  words: IDS,
  examples: ["npu-diff explain cause/scale", "npu-diff explain dtype/bf16 --layers 24"],
  options: ["layers", "json", "lang", "color", "debug"],
  describeOption: (option) =>
    option === "json" ? { describe: "Everything about it as JSON" } : {},
  async run(args, host) {
    const lang = args.choice("lang", LANGUAGES, "en");
    const when = args.choice("color", ["auto", "always", "never"], "auto");
    const options = {
      lang,
      style: makeStyle(when, host.env, host.stdout.isTTY),
      columns: Math.min(80, host.stdout.columns ?? 80),
    };
    const json = args.flag("json");
    const [id] = args.positionals;
    if (id !== undefined && !isFormatId(id) && args.isFlagged("layers")) {
      throw usageError(
        "--layers says how deep the model is in which a number format is used",
        { id: JSON.stringify(id), expected: FORMAT_IDS.join(", ") },
        "leave --layers out, or give the id of a number format",
      );
    }
    const layers = args.integer("layers", 1, MOST_LAYERS) ?? DEFAULT_LAYERS;
    if (id === undefined) {
      const all = IDS.map((one) => entryOf(one, layers));
      await host.stdout.write(json ? renderListJson(all, lang) : renderList(all, options));
      return EXIT.pass;
    }
    const entry = entryOf(id, layers);
    await host.stdout.write(json ? renderEntryJson(entry, lang) : renderEntry(entry, options));
    return EXIT.pass;
  },
};

/**
 * @throws NpuDiffError `usage` where nothing has that id.
 */
function entryOf(id: string, layers: number): Entry {
  if (isRuleId(id)) return { kind: "rule", ...RULES[id] };
  if (isCauseId(id)) return { kind: "cause", ...CAUSES[id] };
  if (isFormatId(id)) {
    const format = FORMATS[id];
    const noiseFloor = format.u === null ? null : expectedNoise(format.u, layers);
    return {
      kind: "dtype",
      ...format,
      noiseFloor,
      en: FORMAT_TEXTS_EN[id],
      zh: FORMAT_TEXTS_ZH[id],
    };
  }
  // As dumps write a dtype, or without its group.
  const lower = id.toLowerCase();
  const meant = IDS.find((one) => one.endsWith(`/${lower}`)) ?? nearest(lower, IDS);
  throw usageError(
    `there is no rule, cause or number format ${JSON.stringify(id)}`,
    idsByGroup(),
    meant === null ? "give one of these, such as layer/floor-ratio" : `did you mean ${meant}?`,
  );
}

/** `layer` → `floor-ratio, …`: a line of facts for each group of ids. */
function idsByGroup(): Readonly<Record<string, string>> {
  const groups: Record<string, string> = {};
  for (const id of IDS) {
    const [group = "", name = ""] = id.split("/");
    groups[group] = groups[group] === undefined ? name : `${groups[group]}, ${name}`;
  }
  return groups;
}
