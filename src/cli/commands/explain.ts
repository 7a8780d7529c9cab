import { FORMAT_IDS, isFormatId } from "../../core/number-format.ts";
import { DEFAULT_LAYERS, explain as entryOf, IDS, MOST_LAYERS } from "../../report/entries.ts";
import { renderEntry, renderEntryJson, renderList, renderListJson } from "../../report/explain.ts";
import { LANGUAGES } from "../../report/messages/index.ts";
import { usageError } from "../arguments.ts";
import { makeStyle } from "../color.ts";
import { EXIT } from "../exit-code.ts";
import type { Command } from "./command.ts";

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
      const all = IDS.map((one) => entryOf(one, { layers }));
      await host.stdout.write(json ? renderListJson(all, lang) : renderList(all, options));
      return EXIT.pass;
    }
    const entry = entryOf(id, { layers });
    await host.stdout.write(json ? renderEntryJson(entry, lang) : renderEntry(entry, options));
    return EXIT.pass;
  },
};
