import { existsSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, parse, relative, resolve, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { CONFIG_SCHEMA_ID } from "../../config/config.ts";
import { NpuDiffError, unwritable } from "../../core/errors.ts";
import { escapeText } from "../../core/escape.ts";
import { DEFAULT_OPTIONS } from "../../core/options.ts";
import { type Arguments, usageError } from "../arguments.ts";
import { EXIT } from "../exit-code.ts";
import type { Host } from "../host.ts";
import type { Command } from "./command.ts";

export const init: Command = {
  name: "init",
  describe: "Write a config for npu-diff check from two dumps",
  positionals: ["reference", "candidate"],
  takesDumps: true,
  examples: [
    "npu-diff init ref/ npu.arrow    # then npu-diff check -u, and commit both files",
    "npu-diff init cpu.arrow npu.arrow --floor cpu-bf16.arrow -o ci/npu-diff.jsonc",
  ],
  options: ["floor", "forced", "preset", "output", "force", "debug"],
  describeOption: (option) =>
    option === "output" ? { describe: "Where to write it (default: npu-diff.jsonc)" } : {},

  async run(args, host) {
    const { PRESETS } = await import("../../core/options.ts");
    const { CONFIG_NAMES, readConfig } = await import("../../config/load.ts");
    const { starterName, starterText } = await import("../../config/starter.ts");
    const path = target(args, host);
    refuseOther(path, CONFIG_NAMES, args.flag("force"), host.cwd);
    const [reference = "", candidate = ""] = args.positionals;
    const floor = args.list("floor");
    const forced = args.list("forced");
    const preset = args.choice("preset", PRESETS, "auto");
    const { model, dtype } = await identityOf(reference, candidate, [...floor, ...forced]);
    const toConfig = (given: string): string => pathFrom(dirname(path), resolve(host.cwd, given));
    const name = starterName(model, basename(candidate), dtype);
    const text = starterText({
      schema: schemaFor(dirname(path)),
      name,
      reference: toConfig(reference),
      candidate: toConfig(candidate),
      floor: floor.map(toConfig),
      forced: forced.map(toConfig),
      preset: preset === "auto" ? null : preset,
    });
    write(path, text, args.flag("force"));
    // What it writes it must be able to read.
    readConfig(path, host.cwd);
    const shown = relative(host.cwd, path);
    const named = (CONFIG_NAMES as readonly string[]).includes(shown)
      ? ""
      : ` --config ${JSON.stringify(shown)}`;
    await host.stdout.write(
      `wrote  ${escapeText(shown)}  pair ${name}\nnext: npu-diff check -u${named}    # then commit both files\n`,
    );
    return EXIT.pass;
  },
};

function target(args: Arguments, host: Host): string {
  const [given = "npu-diff.jsonc", second] = args.list("output");
  if (second !== undefined || !given.endsWith(".jsonc")) {
    throw usageError(
      "npu-diff init writes one config with comments",
      {
        given: args
          .list("output")
          .map((one) => JSON.stringify(one))
          .join(" "),
        expected: "one path that ends in .jsonc",
      },
      "leave -o out for npu-diff.jsonc in this folder",
    );
  }
  return resolve(host.cwd, given);
}

/** A config that is there already is somebody's work; one under another name would make it ambiguous. */
function refuseOther(path: string, names: readonly string[], force: boolean, cwd: string): void {
  const beside = [basename(path), ...names].map((name) => join(dirname(path), name));
  const found = beside.find((one) => existsSync(one) && !(force && one === path));
  if (found === undefined) return;
  throw new NpuDiffError("output-unwritable", {
    what: "there is a config already",
    facts: [{ label: "config", text: relative(cwd, found) }],
    help:
      found === path
        ? "add the pair to it, or overwrite it with --force"
        : "add the pair to it, or remove it",
  });
}

/** What the dumps say of themselves; opens all of them, so that the config names none that cannot be read. */
async function identityOf(
  reference: string,
  candidate: string,
  others: readonly string[],
): Promise<{ readonly model: string | null; readonly dtype: string }> {
  const { readRun } = await import("../../dump/open-dump.ts");
  const { withReferenceSet } = await import("../../align/reference-set.ts");
  const { options } = withReferenceSet({ ...DEFAULT_OPTIONS, reference, candidate });
  const run = readRun(candidate);
  for (const path of [options.reference, ...others]) readRun(path);
  const { id } = (run["model"] ?? {}) as { readonly id?: unknown };
  return { model: typeof id === "string" && id !== "" ? id : null, dtype: run.dtype };
}

/**
 * The schema of a config in `folder`, for editors: that of the package which the project has
 * installed, which is the same for everybody, or else that of this one.
 */
function schemaFor(folder: string): string | null {
  const { root } = parse(folder);
  for (let at = folder; ; at = dirname(at)) {
    const path = join(at, "node_modules", CONFIG_SCHEMA_ID);
    if (existsSync(path)) return pathFrom(folder, path).replace(/^(?!\.)/, "./");
    if (at === root) break;
  }
  try {
    const own = createRequire(import.meta.url).resolve(CONFIG_SCHEMA_ID);
    return existsSync(own) ? pathToFileURL(own).href : null;
  } catch {
    return null;
  }
}

/** `path` as a config in `folder` has it, the same on every system. */
function pathFrom(folder: string, path: string): string {
  return relative(folder, path).split(sep).join("/") || ".";
}

function write(path: string, text: string, force: boolean): void {
  try {
    writeFileSync(path, text, { flag: force ? "w" : "wx" });
  } catch (error) {
    throw unwritable("the config cannot be written", { label: "config", path, cause: error });
  }
}
