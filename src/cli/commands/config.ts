import { relative } from "node:path";
import type { Setting } from "../../config/resolve.ts";
import { counted } from "../../core/counted.ts";
import { escapeText } from "../../core/escape.ts";
import { machineJson } from "../../report/json.ts";
import { layOutTable } from "../../report/table.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT } from "../exit-code.ts";
import { CONFIG_OPTIONS, type OptionName } from "../options.ts";
import type { Command } from "./command.ts";

/** Options of a call that no config sets, and what holds without them. */
const OF_CALL: readonly (readonly [OptionName, string])[] = [
  ["jobs", "one for each processor, at most 8"],
  ["format", "text"],
  ["lang", "en"],
  ["color", "auto"],
];

export const config: Command = {
  name: "config",
  describe: "Check the config of npu-diff check; --show prints every value and where it is from",
  positionals: [],
  rest: "name",
  examples: ["npu-diff config --show", "npu-diff config --show smollm2 --max-kl 0.1 --json"],
  options: [...CONFIG_OPTIONS, "show", "jobs", "format", "json", "lang", "color", "debug"],
  describeOption: (option) =>
    option === "json" ? { describe: "Every value and where it is from as JSON" } : {},

  async run(args, host) {
    const { loadConfig, placeOfGiven, readGiven } = await import("../config-options.ts");
    const { resolvePairs } = await import("../../config/resolve.ts");
    const loaded = loadConfig(args, host);
    const given = readGiven(args, host);
    const pairs = resolvePairs(loaded, args.positionals, given, placeOfGiven(args));
    const ofCall = OF_CALL.map(([option, fallback]) => settingOf(args, option, fallback));
    const shown = relative(host.cwd, loaded.path);
    const { baseline } = loaded.config;
    const base: Setting =
      baseline === undefined
        ? { key: "baseline", value: null, from: "default" }
        : { key: "baseline", value: baseline, from: loaded.placeOf(["baseline"]) };
    if (args.flag("json")) {
      const named = pairs.map(({ name, settings }) => [name, tableOf(settings)] as const);
      await host.stdout.write(
        machineJson({
          config: shown,
          all: tableOf([base, ...ofCall]),
          pairs: Object.fromEntries(named),
        }),
      );
      return EXIT.pass;
    }
    const names = pairs.map(({ name }) => escapeText(name)).join(", ");
    const lines = [`${escapeText(shown)}  ${counted(pairs.length, "pair")}: ${names}`];
    if (args.flag("show")) {
      lines.push("", ...rows([base, ...ofCall]));
      for (const { name, settings } of pairs) lines.push("", escapeText(name), ...rows(settings));
    }
    await host.stdout.write(`${lines.join("\n")}\n`);
    return EXIT.pass;
  },
};

function settingOf(args: Arguments, option: OptionName, fallback: string): Setting {
  const from = args.origin(option);
  return from === null
    ? { key: option, value: fallback, from: "default" }
    : { key: option, value: args.text(option), from };
}

function tableOf(settings: readonly Setting[]): object {
  return Object.fromEntries(settings.map(({ key, value, from }) => [key, { value, from }]));
}

/** A line for each value: its name, what it is, where it is from. */
function rows(settings: readonly Setting[]): readonly string[] {
  const [, ...lines] = layOutTable(
    [
      { title: "", align: "left" },
      { title: "", align: "left" },
      { title: "", align: "left" },
    ],
    settings.map(({ key, value, from }) => [
      escapeText(key),
      escapeText(JSON.stringify(value)),
      escapeText(from),
    ]),
  );
  return lines.map((line) => `  ${line}`);
}
