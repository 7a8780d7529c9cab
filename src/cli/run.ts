/** One call of `npu-diff`: parses, runs the command, turns errors into text and a status. */

import yargs, { type Argv } from "yargs";
import { asNpuDiffError } from "../core/as-error.ts";
import { counted } from "../core/counted.ts";
import type { NpuDiffError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import { BASELINE_UPDATES } from "../core/options.ts";
import { renderError } from "../report/error.ts";
import { Arguments, notASwitch, usageError } from "./arguments.ts";
import { makeStyle } from "./color.ts";
import { COMMANDS, type Command } from "./commands/index.ts";
import { EXIT, EXIT_CODES_HELP, type ExitCode } from "./exit-code.ts";
import type { Host } from "./host.ts";
import { environmentName, OPTIONS, type OptionName, type OptionSpec } from "./options.ts";

const OPTION_NAMES = Object.keys(OPTIONS) as readonly OptionName[];

/** What the scripts of `npu-diff completion` ask with. */
const COMPLETION_KEY = "get-yargs-completions";

/** What yargs itself may find besides the options of the table. */
const OTHER_KEYS = new Set(["_", "$0", "help", "h"]);

/**
 * Runs one call and returns its exit status. Every failure becomes an error
 * text on `host.stderr` and the status 2; nothing is thrown.
 */
export async function run(argv: readonly string[], host: Host): Promise<ExitCode> {
  try {
    return await dispatch(argv, host);
  } catch (error) {
    const shown = asNpuDiffError(error);
    const style = makeStyle(
      colorFlag(argv) ?? host.env[environmentName("color")] ?? null,
      host.env,
      host.stderr.isTTY,
    );
    host.status(null);
    const debug =
      argv.includes("--debug") || /^(?:1|true)$/i.test(host.env[environmentName("debug")] ?? "");
    await host.stderr.write(
      renderError(shown, { debug, style }) + (await githubCommand(shown, argv, host)),
    );
    return EXIT.error;
  }
}

async function githubCommand(
  error: NpuDiffError,
  argv: readonly string[],
  host: Host,
): Promise<string> {
  // Its renderers are loaded where something is compared; an error elsewhere starts sooner.
  if (host.env["GITHUB_ACTIONS"] !== "true") return "";
  const { errorCommand } = await import("./github.ts");
  return errorCommand(error, argv, host);
}

async function dispatch(argv: readonly string[], host: Host): Promise<ExitCode> {
  const selected: Selection[] = [];
  const parser = makeParser(host, isLookedAt(argv), (selection) => {
    selected.push(selection);
  });
  let printed = "";
  const parsed = parser.parse([...spelledOut(argv)], {}, (_error, _argv, output) => {
    printed = output;
  }) as Record<string, unknown>;
  // The shell asks for completions, of which there may be none.
  const isCompletion = COMPLETION_KEY in parsed;
  if (printed !== "" || isCompletion) {
    const [, ...words] = argv;
    const lines = [
      ...(printed === "" ? [] : [printed]),
      ...(isCompletion ? completedWords(words) : []),
    ];
    await host.stdout.write(lines.map((line) => `${line}\n`).join(""));
    return EXIT.pass;
  }
  const [selection] = selected;
  if (selection === undefined) throw unknownCommand(parsed);
  return runCommand(selection, argv, host);
}

/**
 * `-u` and `--update` of a check, alone or followed by their value, as `--update=VALUE`:
 * no option swallows positionals. Elsewhere the option has a value like any other.
 */
function spelledOut(argv: readonly string[]): readonly string[] {
  if (argv.find((word) => COMMANDS.some(({ name }) => name === word)) !== "check") return argv;
  const words: string[] = [];
  let isBare = false;
  for (const [index, word] of argv.entries()) {
    if (word === "--") return [...words, ...argv.slice(index)];
    if (isBare && BASELINE_UPDATES.some((update) => update === word)) {
      words.splice(-1, 1, `--update=${word}`);
      isBare = false;
      continue;
    }
    isBare = word === "-u" || word === "--update";
    words.push(isBare ? `--update=${BASELINE_UPDATES[0]}` : word);
  }
  return words;
}

/**
 * Whether someone reads the help or completes a word. yargs lays out the help of
 * every call, which for all options takes longer than a small comparison.
 */
function isLookedAt(argv: readonly string[]): boolean {
  return argv.some((word) => word === "-h" || /^--(?:help|get-yargs-completions)\b/.test(word));
}

/** A command, and what yargs found after it. */
interface Selection {
  readonly command: Command;
  readonly argv: Readonly<Record<string, unknown>>;
}

async function runCommand(
  selected: Selection,
  argv: readonly string[],
  host: Host,
): Promise<ExitCode> {
  const { command } = selected;
  refuseUnknownOptions(command, selected.argv);
  checkFlags(command, argv);
  const [, ...words] = (selected.argv["_"] as readonly unknown[]).map(String);
  const positionals = command.takesDumps === true ? await gather(words) : words;
  refuseWrongPositionals(command, positionals);
  const args = new Arguments(positionals, selected.argv, host.env);
  // Read where errors are shown; here it is only checked.
  if (command.options.includes("debug")) args.flag("debug");
  return command.run(args, host);
}

async function gather(words: readonly string[]): Promise<readonly string[]> {
  // Commands without dumps start sooner without their reader.
  const { gatherRanks } = await import("./gather-ranks.ts");
  return gatherRanks(words);
}

function makeParser(host: Host, shown: boolean, select: (selection: Selection) => void): Argv {
  const parser = yargs()
    .scriptName("npu-diff")
    .locale("en")
    // Numbers and choices are words to yargs; the checks are ours.
    .updateStrings({ string: "value", boolean: "switch" })
    .parserConfiguration({
      "boolean-negation": false,
      "camel-case-expansion": false,
      "dot-notation": false,
      "duplicate-arguments-array": true,
      "parse-numbers": false,
      "parse-positional-numbers": false,
      "strip-aliased": true,
    })
    .exitProcess(false)
    .version(false)
    .help("help", "Show this help")
    .alias("help", "h")
    .wrap(Math.min(80, host.stdout.columns ?? 80))
    .fail((message, error) => {
      throw parseError(message, error);
    })
    .usage(
      [
        "npu-diff compare cpu.arrow npu.arrow --floor floor.arrow",
        "",
        "Does a model on an accelerator still compute what it computes on the CPU?",
        "npu-diff <command> --help has the options of a command.",
      ].join("\n"),
    )
    .epilogue(EXIT_CODES_HELP);
  // Known at the top too, so that a flag before the command does not take the
  // command for its value; hidden there, because each command lists its own.
  for (const name of OPTION_NAMES) addOption(parser, name, { hidden: true, global: false });
  for (const command of COMMANDS) {
    parser.command(
      command.name,
      command.describe,
      (sub) => {
        sub.usage(commandUsage(command)).epilogue(EXIT_CODES_HELP);
        for (const name of command.options) {
          addOption(sub, name, { hidden: !shown, ...command.describeOption?.(name) });
        }
        return sub;
      },
      (parsed) => {
        select({ command, argv: parsed });
      },
    );
  }
  return parser;
}

function addOption(
  parser: Argv,
  name: OptionName,
  more: {
    readonly hidden?: boolean;
    readonly global?: boolean;
    readonly describe?: string;
    readonly group?: string;
  } = {},
): void {
  const spec: OptionSpec = OPTIONS[name];
  parser.option(name, {
    describe: spec.describe,
    group: `${spec.group}:`,
    ...(spec.alias === undefined ? {} : { alias: spec.alias }),
    // A value is always one word of the command line: no option swallows positionals.
    ...(spec.kind === "flag" ? { type: "boolean" } : { nargs: 1 }),
    // What an update takes is said in words: one of two, or a file.
    ...(spec.kind === "value" || spec.kind === "list" ? { type: "string" } : {}),
    ...more,
  });
}

function commandUsage(command: Command): string {
  const positionals = signature(command)
    .map((name) => ` ${name}`)
    .join("");
  const options = command.options.length > 0 ? " [options]" : "";
  return [
    ...command.examples,
    "",
    command.describe,
    "",
    `Usage: npu-diff ${command.name}${positionals}${options}`,
    ...(command.options.length > 0
      ? ["Every option is also read from NPU_DIFF_<NAME>, such as NPU_DIFF_LANG=zh."]
      : []),
  ].join("\n");
}

function refuseUnknownOptions(command: Command, argv: Readonly<Record<string, unknown>>): void {
  for (const key of Object.keys(argv)) {
    if (OTHER_KEYS.has(key) || command.options.some((name) => name === key)) continue;
    const shown = key.length === 1 ? `-${key}` : `--${key}`;
    const known = command.options.map((name) => `--${name}`);
    const meant = nearest(shown, known);
    throw usageError(
      `unknown option ${shown}`,
      { command: `npu-diff ${command.name}` },
      meant === null
        ? `npu-diff ${command.name} --help lists the options`
        : `did you mean ${meant}?`,
    );
  }
}

/**
 * yargs keeps the last of a repeated flag and takes every value of one but
 * `true` for false; both are as likely a mistake as any other.
 */
function checkFlags(command: Command, argv: readonly string[]): void {
  const end = argv.indexOf("--");
  const words = end === -1 ? argv : argv.slice(0, end);
  for (const name of command.options.filter((option) => OPTIONS[option].kind === "flag")) {
    const given = words.filter((word) => word === `--${name}` || word.startsWith(`--${name}=`));
    if (given.length > 1) {
      throw usageError(
        `--${name} was given ${given.length} times`,
        { given: given.join(" ") },
        `give --${name} once`,
      );
    }
    const [word = ""] = given;
    const value = word.slice(name.length + 3);
    if (word.includes("=") && value !== "true" && value !== "false") {
      throw notASwitch(`--${name}`, value);
    }
  }
}

function refuseWrongPositionals(command: Command, positionals: readonly string[]): void {
  const least = command.positionals.length;
  const most = least + (command.optional?.length ?? 0) + (command.leading === undefined ? 0 : 1);
  const fits =
    positionals.length >= least && (positionals.length <= most || command.rest !== undefined);
  if (fits && !positionals.includes("")) return;
  const number =
    least === most
      ? counted(most, "argument")
      : least === 0
        ? `at most ${counted(most, "argument")}`
        : `${least} to ${counted(most, "argument")}`;
  throw usageError(
    `npu-diff ${command.name} takes ${number}`,
    {
      expected: signature(command).join(" ") || "none",
      given: positionals.map((text) => JSON.stringify(text)).join(" ") || "none",
    },
    command.takesDumps === true && positionals.some((text) => text.includes("*"))
      ? "the files of all ranks of a run count as one dump; after an option quote their pattern: --floor 'NAME.rank*.arrow'"
      : `npu-diff ${command.name} --help shows an example; an option takes one value, repeat the option for more`,
  );
}

/** The positionals as the help writes them: `<required>`, `[optional]`. */
function signature({ leading, positionals, optional = [], rest }: Command): readonly string[] {
  return [
    ...(leading === undefined ? [] : [`[${leading}]`]),
    ...positionals.map((name) => `<${name}>`),
    ...optional.map((name) => `[${name}]`),
    ...(rest === undefined ? [] : [`[${rest}…]`]),
  ];
}

/** What the shell may put for the last of `words`, where the command knows its positionals by name. */
function completedWords(words: readonly string[]): readonly string[] {
  const [, name, ...rest] = words;
  const current = rest.at(-1) ?? "";
  const known = COMMANDS.find((command) => command.name === name)?.words ?? [];
  return rest.length > 1 ? [] : known.filter((word) => word.startsWith(current));
}

function unknownCommand(argv: Readonly<Record<string, unknown>>): NpuDiffError {
  const names = COMMANDS.map(({ name }) => name);
  const [first] = (argv["_"] as readonly unknown[]).map(String);
  if (first === undefined) {
    return usageError(
      "no command was given",
      { expected: names.join(", ") },
      "npu-diff --help shows an example",
    );
  }
  const meant = nearest(first, names);
  return usageError(
    `unknown command ${JSON.stringify(first)}`,
    { expected: names.join(", ") },
    meant === null ? "npu-diff --help shows an example" : `did you mean npu-diff ${meant}?`,
  );
}

function parseError(message: string | undefined, error: Error | undefined): Error {
  const missing = /^Not enough arguments following: (.+)$/.exec(message ?? "")?.[1];
  if (missing !== undefined) {
    const shown = missing.length === 1 ? `-${missing}` : `--${missing}`;
    return usageError(
      `${shown} needs a value`,
      { given: "none", expected: "one value" },
      `give one value to ${shown}; a value that begins with - is written ${shown}=VALUE`,
    );
  }
  if (error !== undefined) return error;
  return usageError(
    "the command line was not understood",
    { cause: message ?? "" },
    "npu-diff --help shows an example",
  );
}

/** `--color` as it stands, for errors that come before the options are read. */
function colorFlag(argv: readonly string[]): string | null {
  const i = argv.indexOf("--color");
  const next = i === -1 ? undefined : argv[i + 1];
  return next ?? argv.find((word) => word.startsWith("--color="))?.slice(8) ?? null;
}
