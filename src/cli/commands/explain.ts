import { isRuleId, RULE_IDS, RULES } from "../../judge/rules.ts";
import { LANGUAGES } from "../../report/messages/index.ts";
import { renderRule } from "../../report/rule.ts";
import { usageError } from "../arguments.ts";
import { makeStyle } from "../color.ts";
import { EXIT } from "../exit-code.ts";
import { nearest } from "../suggest.ts";
import type { Command } from "./command.ts";

export const explain: Command = {
  name: "explain",
  describe: "Say what a rule looks at, why it exists, and what usually breaks it",
  positionals: ["rule"],
  examples: ["npu-diff explain layer/floor-ratio"],
  options: ["lang", "color", "debug"],
  async run(args, host) {
    const lang = args.choice("lang", LANGUAGES, "en");
    const when = args.choice("color", ["auto", "always", "never"], "auto");
    const [id = ""] = args.positionals;
    if (!isRuleId(id)) {
      const meant = nearest(id, RULE_IDS);
      throw usageError(
        `there is no rule ${JSON.stringify(id)}`,
        rulesByGroup(),
        meant === null ? "give one of these, such as layer/floor-ratio" : `did you mean ${meant}?`,
      );
    }
    const style = makeStyle(when, host.env, host.stdout.isTTY);
    const columns = Math.min(80, host.stdout.columns ?? 80);
    await host.stdout.write(renderRule(RULES[id], { lang, style, columns }));
    return EXIT.pass;
  },
};

/** `layer` → `floor-ratio, …`: a line of facts for each group of rules. */
function rulesByGroup(): Readonly<Record<string, string>> {
  const groups: Record<string, string> = {};
  for (const id of RULE_IDS) {
    const [group = "", name = ""] = id.split("/");
    groups[group] = groups[group] === undefined ? name : `${groups[group]}, ${name}`;
  }
  return groups;
}
