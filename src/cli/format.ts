import type { Format } from "../report/render.ts";
import { type Arguments, usageError } from "./arguments.ts";

/**
 * The report on standard output: `--format`, or `--json` for `--format json`;
 * on one command line the two must agree.
 */
export function readFormat<F extends Format>(
  args: Arguments,
  formats: readonly F[],
): F | "text" | "json" {
  const json = args.flag("json");
  const agrees = args.isFlagged("format") === args.isFlagged("json");
  // Of a flag and a variable the flag counts.
  if (json && (args.isFlagged("json") || !args.isFlagged("format"))) {
    const format =
      agrees && args.isFlagged("json")
        ? args.choice<F | "json">("format", formats, "json")
        : "json";
    if (format !== "json") {
      throw usageError(
        "--json and --format disagree",
        { "--json": "json", "--format": format },
        "give one of the two",
      );
    }
    return "json";
  }
  return args.choice<F | "text">("format", formats, "text");
}
