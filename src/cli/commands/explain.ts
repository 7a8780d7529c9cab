import { CAUSE_IDS } from "../../diagnose/cause-texts/ids.ts";
import { CAUSES, isCauseId } from "../../diagnose/cause-texts/index.ts";
import { isRuleId, RULE_IDS, RULES } from "../../judge/rules.ts";
import {
  type Entry,
  renderEntry,
  renderEntryJson,
  renderList,
  renderListJson,
} from "../../report/explain.ts";
import { LANGUAGES } from "../../report/messages/index.ts";
import { usageError } from "../arguments.ts";
import { makeStyle } from "../color.ts";
import { EXIT } from "../exit-code.ts";
import { nearest } from "../suggest.ts";
import type { Command } from "./command.ts";

/** Rules and causes share one space of ids. */
const IDS: readonly string[] = [...RULE_IDS, ...CAUSE_IDS];

export const explain: Command = {
  name: "explain",
  describe: "Say what a rule or a cause means and what to do about it; list all without an id",
  positionals: [],
  optional: ["id"],
  words: IDS,
  examples: ["npu-diff explain cause/scale", "npu-diff explain"],
  options: ["json", "lang", "color", "debug"],
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
    if (id === undefined) {
      const all = IDS.map(entryOf);
      await host.stdout.write(json ? renderListJson(all, lang) : renderList(all, options));
      return EXIT.pass;
    }
    const entry = entryOf(id);
    await host.stdout.write(json ? renderEntryJson(entry, lang) : renderEntry(entry, options));
    return EXIT.pass;
  },
};

/**
 * @throws NpuDiffError `usage` where nothing has that id.
 */
function entryOf(id: string): Entry {
  if (isRuleId(id)) return { kind: "rule", ...RULES[id] };
  if (isCauseId(id)) return { kind: "cause", ...CAUSES[id] };
  const meant = nearest(id, IDS);
  throw usageError(
    `there is no rule or cause ${JSON.stringify(id)}`,
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
